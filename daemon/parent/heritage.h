/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the parent's program hands over to the one that it becomes in an upgrade: its sockets, its
 * workers and what it has counted, as text in a sealed file without a name, and the descriptors
 * themselves, which stay open.
 */
#pragma once

struct parent;

/* Of that text. A program that understands another one is not upgraded to. */
#define HERITAGE_VERSION  3
#define HERITAGE_VARIABLE "SPLICED_HERITAGE"

/* Becomes the program on disk. Returns only if that fails, which is logged: then everything goes on
 * with this one. */
void heritage_hand_over(struct parent *p);
/* Fills in what was handed over, if something was. 0, or a negative errno after logging. */
int heritage_take(struct parent *p);
