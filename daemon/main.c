// SPDX-License-Identifier: GPL-2.0-or-later
/* The command line of spliced. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#include "bypass/maps.h"
#include "config/config.h"
#include "doctor/doctor.h"
#include "doctor/print.h"
#include "intercept/mark.h"
#include "ledger.h"
#include "log.h"
#include "parent/link.h"
#include "parent/parent.h"
#include "privileges.h"
#include "report/counter.h"
#include "run.h"
#include "util.h"

#define DEFAULT_CONFIG "/etc/spliced/spliced.conf"

enum { EXIT_OK, EXIT_RUNTIME, EXIT_USAGE };

enum mode { MODE_RUN, MODE_CHECK, MODE_DUMP, MODE_SAMPLE, MODE_MAN, MODE_COUNTERS };

struct arguments {
	struct config_input input;
	const char *engine;
	enum mode mode;
};

static void print_help(FILE *out)
{
	(void)fputs(
	    "usage: spliced [-c FILE] [-o SECTION.KEY=VALUE]... [-t] [--dump-config]\n"
	    "               [--engine=ENGINE]\n"
	    "       spliced doctor [--json]\n"
	    "\n"
	    "An L4 and L7 proxy whose payload is moved inside the kernel. Runs in the foreground.\n"
	    "\n"
	    "  -c, --config=FILE    the configuration (default " DEFAULT_CONFIG ")\n"
	    "  -o, --option=SECTION.KEY=VALUE\n"
	    "                       set an option, whatever files and the environment say:\n"
	    "                       spliced.KEY, listener.NAME.KEY, pool.NAME.KEY or\n"
	    "                       intercept.NAME.KEY\n"
	    "  -t, --check          check the configuration and exit\n"
	    "      --dump-config    print the configuration with all defaults and exit\n"
	    "      --print-sample   print a commented sample configuration and exit\n"
	    "      --engine=ENGINE  auto, kernel or copy, instead of what the file says\n"
	    "      --version        print the version and exit\n"
	    "  -h, --help           print this and exit\n"
	    "\n"
	    "  doctor               tell what this kernel can do, proven by trying\n"
	    "      --json           as JSON\n"
	    "\n"
	    "Exit codes: 0 well, 1 failure at run time, 2 usage or configuration.\n"
	    "SIGTERM, SIGINT and SIGQUIT drain, after drain_delay; a second one ends that, or all\n"
	    "sessions at once. SIGHUP reads the file again,\n"
	    "SIGUSR1 opens log files again, SIGUSR2 starts the program and the file on disk "
	    "anew.\n",
	    out);
}

/* A mistake in the command line; the exit code. */
static int usage(const char *fmt, const char *what)
{
	(void)fprintf(stderr, "spliced: ");
	(void)fprintf(stderr, fmt, what);
	(void)fprintf(stderr, "\nTry 'spliced --help'.\n");
	return EXIT_USAGE;
}

/* Whether what was printed has arrived; the exit code. */
static int written(void)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return EXIT_OK;
	(void)fprintf(stderr, "spliced: cannot write: %s\n", strerror(errno));
	return EXIT_RUNTIME;
}

/* Which protections a test has switched off, see enum splice_debug. */
static int parse_debug(const char *text, uint32_t *ret)
{
	static const struct {
		const char *name;
		uint32_t flag;
	} names[] = {
	    {"no-trim", SPLICE_DEBUG_NO_TRIM},         {"no-rcvlowat", SPLICE_DEBUG_NO_RCVLOWAT},
	    {"no-marks", SPLICE_DEBUG_NO_MARKS},       {"no-proof", SPLICE_DEBUG_NO_PROOF},
	    {"no-canary", SPLICE_DEBUG_NO_CANARY},     {"pass-fin", SPLICE_DEBUG_PASS_FIN},
	    {"no-gate", SPLICE_DEBUG_NO_GATE},         {"no-stop", SPLICE_DEBUG_NO_STOP},
	    {"check-bytes", SPLICE_DEBUG_CHECK_BYTES},
	};
	_cleanup_free_ char *copy = strdup(text);
	char *word, *rest;

	if (!copy)
		return -ENOMEM;
	for (word = strtok_r(copy, ",", &rest); word; word = strtok_r(NULL, ",", &rest)) {
		size_t i;

		for (i = 0; i < ARRAY_SIZE(names) && strcmp(word, names[i].name) != 0; i++)
			;
		if (i == ARRAY_SIZE(names))
			return usage("SPLICED_DEBUG: unknown switch '%s'", word);
		*ret |= names[i].flag;
	}
	return 0;
}

static int set_engine(struct config *c, const char *name)
{
	for (int i = 0; i < _ENGINE_CHOICE_MAX; i++) {
		if (strcmp(name, engine_choice_str[i]) == 0) {
			c->engine = (enum engine_choice)i;
			c->engine_forced = true;
			return 0;
		}
	}
	return usage("--engine: '%s' is not auto, kernel or copy", name);
}

/* `link`: to the parent, of a worker; it is taken. */
static int run(const struct arguments *args, struct link *link)
{
	_cleanup_link_ struct link *own = link;
	const char *debug_text = getenv("SPLICED_DEBUG");
	_cleanup_config_ struct config *config = NULL;
	uint32_t debug = 0;
	int code;

	if (debug_text && debug_text[0]) {
		code = parse_debug(debug_text, &debug);
		if (code)
			return code < 0 ? EXIT_RUNTIME : code;
		if (debug & SPLICE_DEBUG_CHECK_BYTES)
			ledger_check_bytes();
		if (debug & ~(uint32_t)SPLICE_DEBUG_CHECK_BYTES)
			(void)fprintf(
			    stderr,
			    "spliced: SPLICED_DEBUG=%s: protections are off, data WILL be lost\n",
			    debug_text);
	}
	if (config_load(&args->input, &config, stderr) < 0)
		return EXIT_USAGE;
	if (args->engine) {
		code = set_engine(config, args->engine);
		if (code)
			return code;
	}
	if (args->mode == MODE_CHECK) {
		for (size_t i = 0; i < config->n_warnings; i++)
			(void)fprintf(stderr, "%s: warning: %s\n", config->warnings[i].where,
				      config->warnings[i].text);
		(void)fprintf(stderr, "%s: the configuration is valid\n",
			      *config->path ? config->path : "no file");
		return EXIT_OK;
	}
	if (args->mode == MODE_DUMP) {
		config_dump(config, stdout);
		return written();
	}
	return run_daemon(TAKE_PTR(config), debug, TAKE_PTR(own));
}

/* The bypass, with sockets of this process alone. Without the kernel engine it is not tried: what
 * stands in its way has been named. */
static void try_bypass(struct doctor *d, struct maps *kernel)
{
	static const struct bypass_maps_options o = {.max_sessions = 16, .workers = 1};
	struct bypass_maps *maps = NULL;

	if (d->kernel)
		doctor_load_bypass(d, &o, &maps);
	if (maps)
		(void)doctor_prove_bypass(d, maps, kernel);
	bypass_maps_close(maps);
}

/* Tries everything with a private configuration and prints it. Whether the kernel engine works
 * here. */
static bool try_engine(bool json)
{
	struct maps_options o = {
	    .max_sessions = 16, .workers = 1, .numa_node = -1, .collecting = true};
	struct maps *maps = NULL;
	struct mark *mark = NULL;
	struct doctor d;
	char why[256];
	json_t *answer;
	bool works;

	log_setup(LOG_TO_STDERR, LOG_LVL_ERROR);
	doctor_begin(&d, ENGINE_AUTO);
	/* What is tried stays here, where another daemon intercepts or steers. Where there can be
	 * no mark the checks say what is missing. */
	(void)mark_open(&mark, why);
	doctor_load(&d, &o, &maps);
	if (maps)
		doctor_canary(&d, maps);
	try_bypass(&d, maps);
	maps_close(maps);
	(void)doctor_try_interception(&d, why);
	(void)doctor_try_steering(&d, why);
	mark_close(mark);
	answer = doctor_json(&d);
	if (json && answer)
		(void)json_dumpf(answer, stdout, JSON_INDENT(2));
	else if (answer)
		doctor_print(answer, stdout);
	if (json)
		(void)putchar('\n');
	works = d.kernel && answer;
	json_decref(answer);
	doctor_end(&d);
	return works;
}

static int doctor(int argc, char **argv)
{
	bool json = argc == 3 && strcmp(argv[2], "--json") == 0;
	int code;

	if (argc > 2 && !json)
		return usage("doctor takes --json and nothing else, not '%s'", argv[2]);
	code = try_engine(json) ? EXIT_OK : EXIT_RUNTIME;
	return written() == EXIT_OK ? code : EXIT_RUNTIME;
}

static int parse(int argc, char **argv, struct arguments *args)
{
	enum { OPT_DUMP = 256, OPT_SAMPLE, OPT_MAN, OPT_COUNTERS, OPT_ENGINE, OPT_VERSION };
	static const struct option options[] = {
	    {"config", required_argument, NULL, 'c'},
	    {"option", required_argument, NULL, 'o'},
	    {"check", no_argument, NULL, 't'},
	    {"dump-config", no_argument, NULL, OPT_DUMP},
	    {"print-sample", no_argument, NULL, OPT_SAMPLE},
	    {"print-man", no_argument, NULL, OPT_MAN}, /* for the build of spliced.conf(5) */
	    {"print-counters", no_argument, NULL, OPT_COUNTERS}, /* of docs/operations.md */
	    {"engine", required_argument, NULL, OPT_ENGINE},
	    {"version", no_argument, NULL, OPT_VERSION},
	    {"help", no_argument, NULL, 'h'},
	    {0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "c:o:th", options, NULL)) != -1) {
		switch (c) {
		case 'c':
			args->input.path = optarg;
			args->input.optional = false;
			break;
		case 'o':
			args->input.settings[args->input.n_settings++] = optarg;
			break;
		case 't':
			args->mode = MODE_CHECK;
			break;
		case OPT_DUMP:
			args->mode = MODE_DUMP;
			break;
		case OPT_SAMPLE:
			args->mode = MODE_SAMPLE;
			break;
		case OPT_MAN:
			args->mode = MODE_MAN;
			break;
		case OPT_COUNTERS:
			args->mode = MODE_COUNTERS;
			break;
		case OPT_ENGINE:
			args->engine = optarg;
			break;
		case OPT_VERSION:
			(void)printf("spliced %s\n", SPLICED_VERSION);
			return written();
		case 'h':
			print_help(stdout);
			return written();
		default:
			(void)fprintf(stderr, "Try 'spliced --help'.\n");
			return EXIT_USAGE;
		}
	}
	if (optind < argc)
		return usage("unexpected argument '%s'", argv[optind]);
	return -1;
}

/* Whoever starts it without standard descriptors must not have a socket or a file take their place,
 * and then log into it. */
static int open_standard_fds(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) < 0)
			return -errno;
	return 0;
}

/* The worker process. */
static int work(struct link *link, const void *args)
{
	(void)prctl(PR_SET_NAME, "spliced-worker"); /* cannot fail */
	return run(args, link);
}

/* The process that is started is the parent. It forks its workers off, but one of an upgrade is
 * started from the program on disk. */
static int parent_or_worker(const struct arguments *args, char **argv)
{
	struct link *link;
	int err = link_open(&link);

	if (err)
		return usage(LINK_VARIABLE " is for spliced's own use: %s", strerror(-err));
	return link ? work(link, args) : parent_run(argv, work, args);
}

int main(int argc, char **argv)
{
	/* The configuration points to it as long as the process lives. */
	static struct arguments args = {.input = {.path = DEFAULT_CONFIG, .optional = true}};
	int code, err;

	args.input.environment = environ;

	/* A write to a peer that has gone is an error to handle, not the end of the process. */
	(void)signal(SIGPIPE, SIG_IGN);
	err = open_standard_fds();
	if (err) {
		(void)fprintf(stderr, "spliced: opening /dev/null for a standard descriptor: %s\n",
			      strerror(-err));
		return EXIT_RUNTIME;
	}
	privileges_take();
	if (argc > 1 && strcmp(argv[1], "doctor") == 0)
		return doctor(argc, argv);
	/* As many as there can be. */
	args.input.settings = calloc((size_t)argc, sizeof(*args.input.settings));
	if (!args.input.settings) {
		(void)fprintf(stderr, "spliced: %s\n", strerror(ENOMEM));
		return EXIT_RUNTIME;
	}
	code = parse(argc, argv, &args);
	if (code >= 0)
		return code;
	switch (args.mode) {
	case MODE_SAMPLE:
		config_print_sample(stdout);
		return written();
	case MODE_MAN:
		config_print_man(stdout);
		return written();
	case MODE_COUNTERS:
		counter_print(stdout);
		return written();
	case MODE_RUN:
		return parent_or_worker(&args, argv);
	case MODE_CHECK:
	case MODE_DUMP:
		args.input.once = true;
		break;
	}
	return run(&args, NULL);
}
