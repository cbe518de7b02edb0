// SPDX-License-Identifier: GPL-2.0-only
/* The bypass: its programs are one object, since they share its maps. See bypass-api.h. */
#include "bypass-enrol.h"
#include "bypass-forward.h"
#include "bypass-join.h"
#include "bypass-look.h"

char LICENSE[] SEC("license") = "GPL";
