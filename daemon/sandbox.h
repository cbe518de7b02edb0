/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The system calls that the daemon may still make once it is set up: a list of what it and its
 * libraries need, for whoever takes it over has all the others as well. Of bpf(2) only what changes
 * and reads maps that are open is left, and running a program that is, where that is needed.
 */
#pragma once

#include <stdbool.h>

/*
 * Filters them for this thread and those that it starts; no_new_privs must be set. A call that is
 * not on the list fails with ENOSYS, which libraries expect of an older kernel, and is told by the
 * kernel's audit log. With `kill` it ends the process with SIGSYS: for tests, so that a call that
 * was forgotten is noticed. `runs_programs`: BPF_PROG_TEST_RUN is on the list. `capable`: the
 * process keeps a capability over the network, and of sockets, their options and ioctl() the list
 * has only what it needs: nothing with which interfaces, routes or packet filters are changed, or
 * packets written. (Settings of the network below /proc/sys are files, and CAP_NET_ADMIN may write
 * them where they are not mounted read-only.) 0, or a negative errno: there is no filter then.
 */
int sandbox_enter(bool kill, bool runs_programs, bool capable);
/* False in a build with sanitizers, which have threads and calls of their own. */
bool sandbox_is_possible(void);
