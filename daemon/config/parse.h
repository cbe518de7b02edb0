/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdio.h>

struct config_file;

/* Fills f->config from the stream; everything wrong goes to file_error() or sets no_memory. */
void parse_file(struct config_file *f, FILE *stream);
