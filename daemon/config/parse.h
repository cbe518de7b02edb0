/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdio.h>

struct config_file;

/*
 * Adds what the stream says to f->config; everything wrong goes to file_error() or sets no_memory.
 * f->line is the place in front of its first line.
 */
void parse_file(struct config_file *f, FILE *stream);
