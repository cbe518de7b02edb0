// SPDX-License-Identifier: GPL-2.0-or-later
#include "place.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#define SYSLOG_NAMES
#include <syslog.h>

#include "../addr.h"

#define DEFAULT_TAG "spliced"

const char log_place_allowed[] =
    "yes, no, stderr, stdout, journal, /PATH, or syslog:ADDRESS with ADDRESS as /PATH, "
    "IPV4:PORT or [IPV6]:PORT, and after commas facility=NAME, severity=NAME, tag=NAME, "
    "rfc3164 or rfc5424";

static int invalid(char why[128], const char *problem, const char *text)
{
	(void)snprintf(why, 128, "%s%s%.60s%s", problem, text ? " \"" : "", text ? text : "",
		       text ? "\"" : "");
	return -EINVAL;
}

static int code_of(const CODE *names, const char *name)
{
	for (; names->c_name; names++)
		if (strcmp(names->c_name, name) == 0)
			return names->c_val;
	return -1;
}

static int parse_tag(struct log_place *p, const char *tag, char why[128])
{
	size_t len = strlen(tag);

	if (!len || len >= sizeof(p->syslog.tag))
		return invalid(why, "a tag has 1 to 32 characters, not", tag);
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)tag[i]) && !strchr("_.-", tag[i]))
			return invalid(why, "a tag is letters, digits, '_', '.' and '-', not", tag);
	memcpy(p->syslog.tag, tag, len + 1);
	return 0;
}

/* One word after a comma. */
static int parse_option(struct log_place *p, const char *word, int *facility, int *severity,
			char why[128])
{
	if (strcmp(word, "rfc3164") == 0 || strcmp(word, "rfc5424") == 0) {
		p->syslog.rfc5424 = word[3] == '5';
		return 0;
	}
	if (strncmp(word, "tag=", 4) == 0)
		return parse_tag(p, word + 4, why);
	if (strncmp(word, "facility=", 9) == 0) {
		*facility = code_of(facilitynames, word + 9);
		return *facility < 0 ? invalid(why, "unknown facility", word + 9) : 0;
	}
	if (strncmp(word, "severity=", 9) == 0) {
		*severity = code_of(prioritynames, word + 9);
		return *severity < 0 || *severity > LOG_DEBUG
			   ? invalid(why, "unknown severity", word + 9)
			   : 0;
	}
	return invalid(why, "unknown option", word);
}

/* Port 514 where an IP address has none, as with nginx. */
static int parse_address(struct log_place *p, const char *text, char why[128])
{
	char full[ADDR_STR_MAX];
	const char *problem = "not an address";
	struct addr a;

	if (text[0] == '/')
		(void)snprintf(full, sizeof(full), "unix:%.110s", text);
	else if (text[0] == '[' ? text[strlen(text) - 1] == ']' : !strchr(text, ':'))
		(void)snprintf(full, sizeof(full), "%.110s:514", text);
	else
		(void)snprintf(full, sizeof(full), "%.120s", text);
	if (addr_parse(full, &a, &problem) < 0)
		return invalid(why, problem, text);
	if (a.sa.sa_family != AF_UNIX && addr_port(&a) == 0)
		return invalid(why, "port is not 1-65535", text);
	memcpy(&p->syslog.addr, &a.sa, a.len);
	p->syslog.len = a.len;
	p->syslog.rfc5424 = a.sa.sa_family != AF_UNIX;
	return 0;
}

static int parse_syslog(const char *text, struct log_place *p, char why[128])
{
	int facility = LOG_DAEMON, severity = LOG_INFO, err;
	char copy[512], *rest = copy, *word;

	if (strlen(text) >= sizeof(copy))
		return invalid(why, "too long", NULL);
	memcpy(copy, text, strlen(text) + 1);
	memcpy(p->syslog.tag, DEFAULT_TAG, sizeof(DEFAULT_TAG));
	word = strsep(&rest, ",");
	if (!*word)
		return invalid(why, "syslog: has no address", NULL);
	err = parse_address(p, word, why);
	while (!err && (word = strsep(&rest, ",")))
		err = parse_option(p, word + strspn(word, " \t"), &facility, &severity, why);
	p->syslog.priority = facility | severity;
	return err;
}

int log_place_parse(const char *text, struct log_place *ret, char why[128])
{
	static const struct {
		const char *word;
		enum log_place_kind kind;
	} words[] = {
	    {"no", LOG_PLACE_NONE},         {"yes", LOG_PLACE_WITH},
	    {"stderr", LOG_PLACE_STDERR},   {"stdout", LOG_PLACE_STDOUT},
	    {"journal", LOG_PLACE_JOURNAL},
	};

	*ret = (struct log_place){0};
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (strcmp(text, words[i].word) == 0) {
			ret->kind = words[i].kind;
			return 0;
		}
	if (strncmp(text, "syslog:", 7) == 0) {
		ret->kind = LOG_PLACE_SYSLOG;
		return parse_syslog(text + 7, ret, why);
	}
	if (text[0] != '/')
		return invalid(why, "neither a known word nor an absolute path:", text);
	if (strlen(text) >= sizeof(ret->path) || text[strlen(text) - 1] == '/')
		return invalid(why, "not the path of a file:", text);
	ret->kind = LOG_PLACE_FILE;
	memcpy(ret->path, text, strlen(text) + 1);
	return 0;
}
