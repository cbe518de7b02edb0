/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The doctor's findings as a table: for `splicectl doctor` and `spliced doctor` alike. */
#pragma once

#include <jansson.h>
#include <stdio.h>

/*
 * doctor: {"kernel", "engine", "engine_reason", "checks": [{"name", "answer", "why", "fact"}]}.
 * What is missing or of another type is printed as "-" or left out.
 */
void doctor_print(const json_t *doctor, FILE *out);
