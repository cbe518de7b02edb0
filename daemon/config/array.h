/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stddef.h>

/*
 * Makes room for one more item of `size` bytes, zeroed. `array` points to the list's pointer.
 * The new item counts only when the caller adds one to the length. NULL without memory.
 */
void *array_grow(void *array, size_t n, size_t size);
