// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernelversion.h"

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "util.h"

static uint32_t parse(const char *text)
{
	unsigned int major, minor, patch = 0;

	if (sscanf(text, "%u.%u.%u", &major, &minor, &patch) < 2)
		return 0;
	return MIN(major, 255u) << 16 | MIN(minor, 255u) << 8 | MIN(patch, 255u);
}

uint32_t kernel_version_of(const char *release, const char *version, const char *signature)
{
	static const char debian[] = "Debian ";
	const char *at;
	uint32_t found = 0;

	/* "Ubuntu 6.8.0-31.31-generic 6.8.1" */
	if (signature && (at = strrchr(signature, ' ')))
		found = parse(at + 1);
	/* "#1 SMP PREEMPT_DYNAMIC Debian 6.1.140-1 (2025-05-22)"; its release is 6.1.0-37-amd64 */
	if (!found && (at = strstr(version, debian)))
		found = parse(at + strlen(debian));
	return found ? found : parse(release);
}

uint32_t kernel_version(void)
{
	FILE *f = fopen("/proc/version_signature", "re");
	char line[256] = "";
	struct utsname u;

	if (f) {
		if (!fgets(line, sizeof(line), f))
			line[0] = '\0';
		(void)fclose(f);
	}
	if (uname(&u) < 0)
		return 0;
	return kernel_version_of(u.release, u.version, line[0] ? line : NULL);
}
