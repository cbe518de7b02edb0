// SPDX-License-Identifier: GPL-2.0-or-later
/* Processor time: of the whole machine, and of the processes that are watched. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

static void read_machine(struct cpu_time *cpu)
{
	unsigned long long user, nice, system, idle, iowait, irq, softirq, steal;
	FILE *file = fopen("/proc/stat", "re");

	if (file == NULL)
		die("/proc/stat");
	if (fscanf(file, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &user, &nice, &system,
		   &idle, &iowait, &irq, &softirq, &steal) != 8)
		die("/proc/stat");
	fclose(file);
	cpu->busy = user + nice + system + irq + softirq;
	cpu->stolen = steal;
}

/* Of all its threads, also of those that have ended. */
static uint64_t read_process(long pid)
{
	char path[32], text[1024];
	unsigned long long user, system;

	snprintf(path, sizeof(path), "/proc/%ld/stat", pid);
	FILE *file = fopen(path, "re");
	if (file == NULL)
		die(path);
	size_t length = fread(text, 1, sizeof(text) - 1, file);
	fclose(file);
	text[length] = '\0';
	/* The name, in brackets, may hold anything; eleven fields are between it and the times. */
	const char *rest = strrchr(text, ')');
	if (rest == NULL ||
	    sscanf(rest + 1, "%*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu %llu", &user,
		   &system) != 2)
		die(path);
	return user + system;
}

void cpu_read(const char *watched, struct cpu_time *cpu)
{
	read_machine(cpu);
	cpu->watched = 0;
	while (watched != NULL && *watched != '\0') {
		char *end;
		long pid = strtol(watched, &end, 10);
		cpu->watched += read_process(pid);
		watched = *end == ',' ? end + 1 : NULL;
	}
}
