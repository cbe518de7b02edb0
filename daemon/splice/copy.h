/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The copy engine: read, write, and wait for whichever of the two is not ready. It holds memory
 * only while a target takes less than was read. */
#pragma once

#include "stream.h"

extern const struct engine engine_copy;
