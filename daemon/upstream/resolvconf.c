// SPDX-License-Identifier: GPL-2.0-or-later
#include "resolvconf.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../log.h"

#define FILE_MAX_ ((off_t)1 << 20)
#define DNS_PORT  "53"

/* glibc's limits (resolv.conf(5)). */
#define TIMEOUT_MAX  30
#define ATTEMPTS_MAX 5

static const char space[] = " \t\r\n";

static void add_server(struct resolvconf *r, const char *text)
{
	char with_port[128];
	const char *why;
	int n = snprintf(with_port, sizeof(with_port), strchr(text, ':') ? "[%s]:%s" : "%s:%s",
			 text, DNS_PORT);

	if (r->n_servers == RESOLVCONF_SERVERS)
		return;
	if (n < 0 || (size_t)n >= sizeof(with_port) ||
	    addr_parse(with_port, &r->servers[r->n_servers], &why) < 0) {
		log_warn("%s: nameserver %s is no address: not used", RESOLVCONF_PATH, text);
		return;
	}
	r->n_servers++;
}

static void add_option(struct resolvconf *r, const char *text)
{
	int value;

	if (sscanf(text, "timeout:%d", &value) == 1)
		r->timeout = MAX(1, MIN(value, TIMEOUT_MAX));
	else if (sscanf(text, "attempts:%d", &value) == 1)
		r->attempts = MAX(1, MIN(value, ATTEMPTS_MAX));
}

static void read_line(struct resolvconf *r, char *line)
{
	char *rest = NULL, *word;
	const char *key;

	line[strcspn(line, "#;")] = '\0';
	key = strtok_r(line, space, &rest);
	if (!key)
		return;
	if (strcmp(key, "nameserver") == 0) {
		word = strtok_r(NULL, space, &rest);
		if (word)
			add_server(r, word);
	} else if (strcmp(key, "options") == 0) {
		while ((word = strtok_r(NULL, space, &rest)))
			add_option(r, word);
	}
}

int resolvconf_read(struct resolvconf *ret)
{
	_cleanup_free_ char *line = NULL;
	struct resolvconf r = {.n_servers = 0};
	FILE *file = fopen(RESOLVCONF_PATH, "re");
	size_t size = 0;
	int err = 0;

	*ret = r;
	if (!file)
		return -errno;
	/* Before it is read: what is written meanwhile is a change. */
	if (fstat(fileno(file), &r.st) < 0)
		err = -errno;
	else if (!S_ISREG(r.st.st_mode) || r.st.st_size > FILE_MAX_)
		err = -EINVAL;
	ret->st = r.st;
	while (!err && getline(&line, &size, file) >= 0)
		read_line(&r, line);
	if (!err && ferror(file))
		err = -EIO;
	(void)fclose(file); /* it was only read */
	if (!err)
		*ret = r;
	return err;
}

static bool same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

bool resolvconf_changed(const struct resolvconf *r)
{
	struct stat st;

	if (stat(RESOLVCONF_PATH, &st) < 0)
		memset(&st, 0, sizeof(st));
	return st.st_dev != r->st.st_dev || st.st_ino != r->st.st_ino ||
	       st.st_size != r->st.st_size || !same_time(st.st_mtim, r->st.st_mtim) ||
	       !same_time(st.st_ctim, r->st.st_ctim);
}
