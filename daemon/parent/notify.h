/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Messages to the service manager, as sd_notify(3) sends them; but that one waits for as long as
 * the manager does not read, and who waits for it heeds no signal.
 */
#pragma once

/*
 * One message; `fd`, if it is one, goes along. 1: told. 0: there is no manager. Otherwise a
 * negative errno; -EAGAIN: it does not read. For that it is waited for half a second, and then not
 * at all until it reads again.
 */
int notify(const char *text, int fd);

/* ... of what state the service is in, which is kept where the manager does not read: */
void notify_state(const char *text);
/* What was kept is told, as far as it can be. */
void notify_again(void);
