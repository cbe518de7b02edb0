/* SPDX-License-Identifier: GPL-2.0-or-later */
/* splicectl: asks a running spliced over its control socket, and prints the answer. */
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "ctl/ask.h"
#include "ctl/live.h"
#include "ctl/pick.h"
#include "ctl/print.h"
#include "report/controlpath.h"
#include "util.h"

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

#define INTERVAL_MAX_S 86400

/* How the answer is printed. */
enum form { FORM_TEXT, FORM_JSON, FORM_PROMETHEUS };

/* Options that are of some commands alone. */
enum option_bit {
	OPTION_PROMETHEUS = 1 << 0,
	OPTION_JSON = 1 << 1,
	OPTION_PICK = 1 << 2,
	OPTION_INTERVAL = 1 << 3,
};

static const struct command {
	const char *name;
	const char *help;
	json_type shape;
	int (*print)(const json_t *answer); /* NULL: it goes on, as `live` */
	unsigned int options;
	int (*live)(const struct live *l);
	const char *arguments; /* words, all of which are needed; NULL: none */
} commands[] = {
    {"status", "the daemon, its listeners and pools", JSON_OBJECT, print_status, OPTION_JSON, NULL,
     NULL},
    {"sessions", "every session there is now", JSON_ARRAY, print_sessions,
     OPTION_JSON | OPTION_PICK, NULL, NULL},
    {"pools", "every server, and whether it is passed over", JSON_ARRAY, print_pools, OPTION_JSON,
     NULL, NULL},
    {"stats", "all counters", JSON_OBJECT, print_stats, OPTION_JSON | OPTION_PROMETHEUS, NULL,
     NULL},
    {"doctor", "what this kernel can do, proven by trying", JSON_OBJECT, print_doctor, OPTION_JSON,
     NULL, NULL},
    {"reload", "have the daemon read its file again, and wait", JSON_OBJECT, print_reload,
     OPTION_JSON, NULL, NULL},
    {"upgrade", "start the program and the file on disk anew", JSON_OBJECT, print_upgrade,
     OPTION_JSON, NULL, NULL},
    {"top", "rates and the busiest sessions, until you type q", JSON_OBJECT, NULL,
     OPTION_PICK | OPTION_INTERVAL, live_top, NULL},
    {"watch", "a line with rates each interval, and what changes", JSON_OBJECT, NULL,
     OPTION_JSON | OPTION_INTERVAL, live_watch, NULL},
    {"drain", "no new sessions; those it has go on", JSON_OBJECT, print_order, OPTION_JSON, NULL,
     "POOL/SERVER"},
    {"maint", "the same, and it is not checked", JSON_OBJECT, print_order, OPTION_JSON, NULL,
     "POOL/SERVER"},
    {"ready", "it gets sessions again", JSON_OBJECT, print_order, OPTION_JSON, NULL, "POOL/SERVER"},
    {"enable", "the same", JSON_OBJECT, print_order, OPTION_JSON, NULL, "POOL/SERVER"},
    {"weight", "its share of the sessions, 1 to 256", JSON_OBJECT, print_order, OPTION_JSON, NULL,
     "POOL/SERVER N"},
    {"kill", "end a session: both peers are reset", JSON_OBJECT, print_order, OPTION_JSON, NULL,
     "SESSION"},
};

/* What is sent to the daemon. */
#define REQUEST_MAX 512
struct request {
	char text[REQUEST_MAX];
};

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

static int show_json(const json_t *answer)
{
	if (json_dumpf(answer, stdout, JSON_INDENT(2)) < 0)
		return -EIO;
	(void)putchar('\n');
	return 0;
}

static int show(const struct command *cmd, const char *path, const json_t *answer, enum form form)
{
	int r;

	if (form == FORM_PROMETHEUS)
		return show_prometheus(path, answer);
	if (form == FORM_JSON) {
		r = show_json(answer);
		return r == 0 && print_has_failed(answer) ? -EREMOTEIO : r;
	}
	if (json_typeof(answer) != cmd->shape) {
		(void)fprintf(stderr, "splicectl: the answer from %s is not what %s looks like\n",
			      path, cmd->name);
		return -EBADMSG;
	}
	r = cmd->print(answer);
	if (r == -ENOMEM)
		(void)fprintf(stderr, "splicectl: out of memory\n");
	return r;
}

/* Takes the answer; of another kind than an array it is shown, or complained of, as it is. */
static json_t *picked_of(const struct pick *pick, json_t *answer)
{
	json_t *picked;

	if (!json_is_array(answer))
		return answer;
	picked = pick_sessions(pick, answer);
	json_decref(answer);
	if (!picked)
		(void)fprintf(stderr, "splicectl: out of memory\n");
	return picked;
}

static int ask_and_show(const struct command *cmd, const struct request *request,
			const struct live *l, enum form form)
{
	char why[ASK_WHY_MAX];
	json_t *answer =
	    ask(l->path, form == FORM_PROMETHEUS ? "stats prometheus" : request->text, why);
	int r;

	if (!answer) {
		(void)fprintf(stderr, "splicectl: %s\n", why);
		return -EIO;
	}
	if (cmd->options & OPTION_PICK)
		answer = picked_of(&l->pick, answer);
	if (!answer)
		return -ENOMEM;
	r = show(cmd, l->path, answer, form);
	json_decref(answer);
	return r;
}

/* Whether what was printed has arrived; the exit code. */
static int written(void)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return EXIT_OK;
	(void)fprintf(stderr, "splicectl: cannot write: %s\n", strerror(errno));
	return EXIT_FAILED;
}

static int run(const struct command *cmd, const struct request *request, const struct live *l,
	       enum form form)
{
	int r = cmd->live ? cmd->live(l) : ask_and_show(cmd, request, l, form);

	return r < 0 ? EXIT_FAILED : written();
}

/* ---- command line ---- */

static void usage(FILE *out)
{
	char head[32];

	(void)fputs("Usage: splicectl [-s SOCKET] [--json] COMMAND [ARGUMENT]...\n"
		    "\n"
		    "Commands:\n",
		    out);
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		(void)snprintf(head, sizeof(head), "%s %s", commands[i].name,
			       commands[i].arguments ? commands[i].arguments : "");
		(void)fprintf(out, "  %-20s %s\n", head, commands[i].help);
	}
	(void)fputs("\n"
		    "Options:\n"
		    "  -s, --socket=SOCKET  the control socket (" CONTROL_PATH_DEFAULT ",\n"
		    "                       or that of your own daemon)\n"
		    "  -j, --json           print the daemon's JSON document; of watch: a line of\n"
		    "                       JSON each interval\n"
		    "      --prometheus     of stats: print what Prometheus reads\n"
		    "  -h, --help           print this text\n"
		    "  -V, --version        print the version\n"
		    "\n"
		    "Options of sessions and top:\n"
		    "  -f, --filter=TEST    only sessions of which this is true, and each further\n"
		    "                       one: KEY=PATTERN, KEY!=PATTERN, KEY<N, KEY>N\n"
		    "      --sort=KEY       the largest number, or the first text, at the top;\n"
		    "                       -KEY: the other way round\n"
		    "      --limit=N        no more than N of them\n"
		    "Keys: id listener pool server client backend engine engine_reason state age\n"
		    "up down bytes pauses, and of top rate. Ages are 90s, 5m, 2h; bytes 10K, 5M.\n"
		    "\n"
		    "Options of top and watch:\n"
		    "  -i, --interval=S     seconds from one look to the next (1)\n"
		    "  -c, --count=N        end after so many\n",
		    out);
}

static int usage_error(const char *text, const char *word)
{
	(void)fprintf(stderr, "splicectl: %s%s (try --help)\n", text, word);
	return EXIT_USAGE;
}

/* A user's own daemon goes before the system's; for root, whose own that usually is, behind it. */
static const char *default_path(char own[CONTROL_PATH_MAX])
{
	bool other = geteuid() != 0 || access(CONTROL_PATH_DEFAULT, F_OK) < 0;

	if (other && control_path_of_user(own, false) == 0 && access(own, F_OK) == 0)
		return own;
	return CONTROL_PATH_DEFAULT;
}

/* What the command line says. */
struct line {
	struct live live;
	enum form form;
	unsigned int options; /* that are of some commands alone, and were given */
	char own[CONTROL_PATH_MAX];
};

/* 0 or EXIT_USAGE. */
static int set_interval(struct line *l, const char *text)
{
	char *end;
	double seconds = strtod(text, &end);

	if (end == text || *end || !(seconds >= 0.1 && seconds <= INTERVAL_MAX_S))
		return usage_error("--interval is 0.1 to 86400 seconds, not ", text);
	l->live.interval_ns = (uint64_t)(seconds * (double)NSEC_PER_SEC);
	l->options |= OPTION_INTERVAL;
	return 0;
}

static int set_number(const char *name, const char *text, uint64_t *ret)
{
	char *end;

	errno = 0;
	*ret = strtoull(text, &end, 10);
	if (errno || end == text || *end || *text == '-' || !*ret)
		return usage_error(name, text);
	return 0;
}

static int set_pick(struct line *l, int (*set)(struct pick *p, const char *text, char *why),
		    const char *text)
{
	char why[PICK_WHY_MAX];

	l->options |= OPTION_PICK;
	return set(&l->live.pick, text, why) < 0 ? usage_error(why, "") : 0;
}

/* One option; 0 or EXIT_USAGE. */
static int set_option(struct line *l, int c, const char *value)
{
	uint64_t n;
	int err;

	switch (c) {
	case 's':
		l->live.path = value;
		return 0;
	case 'j':
		l->form = FORM_JSON;
		l->live.json = true;
		l->options |= OPTION_JSON;
		return 0;
	case 'p':
		l->form = FORM_PROMETHEUS;
		l->options |= OPTION_PROMETHEUS;
		return 0;
	case 'f':
		return set_pick(l, pick_add_filter, value);
	case 'o':
		return set_pick(l, pick_set_sort, value);
	case 'l':
		err = set_number("--limit is a number of sessions, not ", value, &n);
		l->live.pick.limit = (size_t)n;
		l->options |= OPTION_PICK;
		return err;
	case 'i':
		return set_interval(l, value);
	case 'c':
		l->options |= OPTION_INTERVAL;
		return set_number("--count is a number, not ", value, &l->live.count);
	default:
		(void)fputs("Try splicectl --help\n", stderr);
		return EXIT_USAGE;
	}
}

/* Whether every option that was given is one of the command; if not, EXIT_USAGE. */
static int check_options(const struct command *cmd, const struct line *l)
{
	static const struct {
		unsigned int bit;
		const char *text;
	} of_some[] = {
	    {OPTION_PROMETHEUS, "--prometheus is for stats, not for "},
	    {OPTION_JSON, "--json is not for "},
	    {OPTION_PICK, "--filter, --sort and --limit are for sessions and top, not for "},
	    {OPTION_INTERVAL, "--interval and --count are for top and watch, not for "},
	};

	if ((l->options & OPTION_PROMETHEUS) && (l->options & OPTION_JSON))
		return usage_error("one of --json and --prometheus", "");
	for (size_t i = 0; i < ARRAY_SIZE(of_some); i++)
		if (l->options & ~cmd->options & of_some[i].bit)
			return usage_error(of_some[i].text, cmd->name);
	if (!cmd->live && pick_needs_rate(&l->live.pick))
		return usage_error("rate is for top, not for ", cmd->name);
	return 0;
}

/* The command and its arguments, with a space between, as the daemon takes them apart. 0 or
 * EXIT_USAGE. */
static int make_request(const struct command *cmd, char **words, struct request *ret)
{
	const char *wanted = cmd->arguments;
	size_t len = (size_t)snprintf(ret->text, REQUEST_MAX, "%s", cmd->name);

	for (; *words; words++) {
		if (!wanted)
			return usage_error("too many arguments: ", *words);
		if (!**words || strpbrk(*words, " \t\r\n") ||
		    len + strlen(*words) + 2 > REQUEST_MAX)
			return usage_error("not an argument: ", *words);
		len += (size_t)snprintf(ret->text + len, REQUEST_MAX - len, " %s", *words);
		wanted = strchr(wanted, ' ');
		if (wanted)
			wanted++;
	}
	return wanted ? usage_error("what is missing: ", wanted) : 0;
}

static int run_named(char **words, const struct line *l)
{
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		struct request request;
		int err;

		if (strcmp(commands[i].name, words[0]) != 0)
			continue;
		err = make_request(&commands[i], words + 1, &request);
		if (!err)
			err = check_options(&commands[i], l);
		return err ? err : run(&commands[i], &request, &l->live, l->form);
	}
	return usage_error("unknown command: ", words[0]);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
	    {"socket", required_argument, NULL, 's'},
	    {"json", no_argument, NULL, 'j'},
	    {"prometheus", no_argument, NULL, 'p'},
	    {"help", no_argument, NULL, 'h'},
	    {"version", no_argument, NULL, 'V'},
	    {"filter", required_argument, NULL, 'f'},
	    {"sort", required_argument, NULL, 'o'},
	    {"limit", required_argument, NULL, 'l'},
	    {"interval", required_argument, NULL, 'i'},
	    {"count", required_argument, NULL, 'c'},
	    {NULL, 0, NULL, 0},
	};
	struct line l = {.live.interval_ns = NSEC_PER_SEC};
	int c, err;

	l.live.path = default_path(l.own);
	while ((c = getopt_long(argc, argv, "s:jhVf:i:c:", options, NULL)) >= 0) {
		if (c == 'h') {
			usage(stdout);
			return written();
		}
		if (c == 'V') {
			(void)puts("splicectl " SPLICED_VERSION);
			return written();
		}
		err = set_option(&l, c, optarg);
		if (err)
			return err;
	}
	if (optind == argc)
		return usage_error("which command?", "");
	return run_named(argv + optind, &l);
}
