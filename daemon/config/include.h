/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

struct config_file;

/* Reads the files that f->config includes, and those that they include. What is wrong goes to
 * file_error(). */
void include_files(struct config_file *f);
