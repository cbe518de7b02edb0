/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The terminal while a picture of the daemon is on it: a screen of its own, keys without a newline.
 * However the program ends, by a signal too, and while it is stopped, the terminal is as it was.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Standard output is one. */
bool terminal_is_there(void);
void terminal_enter(void);
void terminal_leave(void); /* one that was not entered is fine */
/* How much fits, at least 1 of each; 24 by 80 where it does not say. */
void terminal_size(size_t *ret_rows, size_t *ret_columns);
/* Shows the text, whose lines are cut to the width, from the top. */
void terminal_show(const char *text, size_t rows, size_t columns);
/* What terminal_wait() says instead of a key. */
enum { TERMINAL_NO_KEY = -1, TERMINAL_ENDED = -2 };

/*
 * Waits until then (now_ns()), for a key, or for another size. The key as a byte; TERMINAL_ENDED:
 * there will be none any more, as the input has ended.
 */
int terminal_wait(uint64_t until_ns);
