/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which release of upstream's the running kernel is made of. */
#pragma once

#include <stdint.h>

/* As LINUX_VERSION_CODE: 0x060150 is 6.1.80; what is beyond 255 in a place counts as 255. */
uint32_t kernel_version(void);
/* The same of uname()'s two words and Ubuntu's signature (NULL: none). 0: none of them says it. */
uint32_t kernel_version_of(const char *release, const char *version, const char *signature);
