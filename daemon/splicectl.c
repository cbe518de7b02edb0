/* SPDX-License-Identifier: GPL-2.0-or-later */
/* splicectl: asks a running spliced over its control socket, and prints the answer. */
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "ctl/ask.h"
#include "ctl/print.h"
#include "report/controlpath.h"
#include "util.h"

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

static const struct command {
	const char *name;
	const char *help;
	json_type shape;
	int (*print)(const json_t *answer);
} commands[] = {
    {"status", "the daemon, its listeners and pools", JSON_OBJECT, print_status},
    {"sessions", "every session there is now", JSON_ARRAY, print_sessions},
    {"pools", "every server, and whether it is passed over", JSON_ARRAY, print_pools},
    {"stats", "all counters", JSON_OBJECT, print_stats},
    {"doctor", "what this kernel can do, proven by trying", JSON_OBJECT, print_doctor},
};

/* How the answer is printed. */
enum form { FORM_TEXT, FORM_JSON, FORM_PROMETHEUS };

/* The text is in a string: the protocol knows JSON alone. */
static int show_prometheus(const char *path, const json_t *answer)
{
	const char *text = json_string_value(json_object_get(answer, "prometheus"));

	if (!text) {
		(void)fprintf(stderr, "splicectl: the answer from %s has no metrics\n", path);
		return -EBADMSG;
	}
	(void)fputs(text, stdout);
	return 0;
}

static int show(const struct command *cmd, const char *path, const json_t *answer, enum form form)
{
	const char *error = json_string_value(json_object_get(answer, "error"));

	if (error) {
		(void)fprintf(stderr, "splicectl: the daemon at %s says: %s\n", path, error);
		return -EREMOTEIO;
	}
	if (form == FORM_PROMETHEUS)
		return show_prometheus(path, answer);
	if (form == FORM_JSON) {
		if (json_dumpf(answer, stdout, JSON_INDENT(2)) < 0)
			return -EIO;
		(void)putchar('\n');
		return 0;
	}
	if (json_typeof(answer) != cmd->shape) {
		(void)fprintf(stderr, "splicectl: the answer from %s is not what %s looks like\n",
			      path, cmd->name);
		return -EBADMSG;
	}
	if (cmd->print(answer) < 0) {
		(void)fprintf(stderr, "splicectl: out of memory\n");
		return -ENOMEM;
	}
	return 0;
}

static int run(const struct command *cmd, const char *path, enum form form)
{
	json_t *answer = NULL;
	json_error_t error;
	char *text = NULL;
	size_t len = 0;
	int r;

	r = ask(path, form == FORM_PROMETHEUS ? "stats prometheus" : cmd->name, &text, &len);
	if (r == 0)
		answer = json_loadb(text, len, 0, &error);
	free(text);
	if (r < 0)
		return EXIT_FAILED;
	if (!answer) {
		(void)fprintf(stderr, "splicectl: the answer from %s is not JSON: %s\n", path,
			      error.text);
		return EXIT_FAILED;
	}
	r = show(cmd, path, answer, form);
	json_decref(answer);
	if (r == 0 && (fflush(stdout) == EOF || ferror(stdout))) {
		(void)fprintf(stderr, "splicectl: cannot write: %s\n", strerror(errno));
		return EXIT_FAILED;
	}
	return r < 0 ? EXIT_FAILED : EXIT_OK;
}

/* ---- command line ---- */

static void usage(FILE *out)
{
	(void)fputs("Usage: splicectl [-s SOCKET] [--json] COMMAND\n"
		    "\n"
		    "Commands:\n",
		    out);
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		(void)fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].help);
	(void)fputs("\n"
		    "Options:\n"
		    "  -s, --socket=SOCKET  the control socket (" CONTROL_PATH_DEFAULT ",\n"
		    "                       or that of your own daemon)\n"
		    "  -j, --json           print the daemon's JSON document\n"
		    "      --prometheus     of stats: print what Prometheus reads\n"
		    "  -h, --help           print this text\n"
		    "  -V, --version        print the version\n",
		    out);
}

static int usage_error(const char *text, const char *word)
{
	(void)fprintf(stderr, "splicectl: %s%s (try --help)\n", text, word);
	return EXIT_USAGE;
}

/* A user's own daemon goes before the system's. */
static const char *default_path(char own[CONTROL_PATH_MAX])
{
	if (geteuid() != 0 && control_path_of_user(own, false) == 0 && access(own, F_OK) == 0)
		return own;
	return CONTROL_PATH_DEFAULT;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
	    {"socket", required_argument, NULL, 's'}, {"json", no_argument, NULL, 'j'},
	    {"prometheus", no_argument, NULL, 'p'},   {"help", no_argument, NULL, 'h'},
	    {"version", no_argument, NULL, 'V'},      {NULL, 0, NULL, 0},
	};
	char own[CONTROL_PATH_MAX];
	const char *path = default_path(own);
	enum form form = FORM_TEXT;
	int c;

	while ((c = getopt_long(argc, argv, "s:jhV", options, NULL)) >= 0) {
		switch (c) {
		case 's':
			path = optarg;
			break;
		case 'j':
			form = FORM_JSON;
			break;
		case 'p':
			form = FORM_PROMETHEUS;
			break;
		case 'h':
			usage(stdout);
			return EXIT_OK;
		case 'V':
			(void)puts("splicectl " SPLICED_VERSION);
			return EXIT_OK;
		default:
			(void)fputs("Try splicectl --help\n", stderr);
			return EXIT_USAGE;
		}
	}
	if (optind == argc)
		return usage_error("which command?", "");
	if (optind + 1 < argc)
		return usage_error("too many arguments: ", argv[optind + 1]);
	if (form == FORM_PROMETHEUS && strcmp(argv[optind], "stats") != 0)
		return usage_error("--prometheus is for stats, not for ", argv[optind]);
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (strcmp(commands[i].name, argv[optind]) == 0)
			return run(&commands[i], path, form);
	return usage_error("unknown command: ", argv[optind]);
}
