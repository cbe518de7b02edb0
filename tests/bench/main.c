// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * spliced-bench: the load generator behind `make bench`. Each run is one role:
 *
 *   backend                              serves echo, sink, source and HTTP; prints its ports
 *   echo | connrate | up | down | get    loads HOST:PORT and prints one JSON object
 *   idle | idle-get                      opens connections, reports, holds them until EOF
 */
#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

struct role {
	const char *name;
	void (*load)(struct load *load);
};

static const struct role roles[] = {
    {"echo", echo_load},     {"connrate", connrate_load}, {"up", upload_load},
    {"down", download_load}, {"get", get_load},
};

/* What is read at both ends of the measured time. */
struct snapshot {
	uint64_t time;
	struct cpu_time cpu;
	uint64_t client_bytes;
	uint64_t backend_bytes;
};

struct run {
	const struct options *options;
	const struct role *role;
	struct backend_stats *stats;
	struct load *loads;
	pthread_t *threads;
	_Atomic int phase;
	struct snapshot begin;
	struct snapshot end;
};

static void snapshot_take(struct run *run, struct snapshot *snapshot)
{
	snapshot->client_bytes = 0;
	for (unsigned i = 0; i < run->options->threads; i++)
		snapshot->client_bytes +=
		    atomic_load_explicit(&run->loads[i].bytes, memory_order_relaxed);
	snapshot->backend_bytes = atomic_load_explicit(&run->stats->received, memory_order_relaxed);
	snapshot->time = now_ns();
	cpu_read(run->options->watched, &snapshot->cpu);
}

static void sleep_seconds(double seconds)
{
	struct timespec time = {.tv_sec = (time_t)seconds};

	time.tv_nsec = (long)((seconds - (double)time.tv_sec) * 1e9);
	while (clock_nanosleep(CLOCK_MONOTONIC, 0, &time, &time) == EINTR)
		;
}

struct thread_start {
	void (*function)(struct load *load);
	struct load *load;
};

static void *thread_main(void *argument)
{
	struct thread_start start = *(struct thread_start *)argument;

	free(argument);
	start.function(start.load);
	return NULL;
}

static void thread_begin(struct run *run, unsigned number)
{
	const struct options *options = run->options;
	struct load *load = &run->loads[number];
	struct thread_start *start = malloc(sizeof(*start));

	if (start == NULL)
		die("malloc");
	load->options = options;
	load->phase = &run->phase;
	load->first = options->connections * number / options->threads;
	load->connections = options->connections * (number + 1) / options->threads - load->first;
	*start = (struct thread_start){run->role->load, load};
	if ((errno = pthread_create(&run->threads[number], NULL, thread_main, start)) != 0)
		die("pthread_create");
}

/* A proxy may still hold connections the client has closed: the next run waits for them. */
static int64_t await_backend(struct backend_stats *stats)
{
	for (int i = 0; i < 300; i++) {
		if (atomic_load(&stats->active) <= 0)
			return 0;
		sleep_seconds(0.01);
	}
	return atomic_load(&stats->active);
}

static double microseconds(const struct hist *hist, double share)
{
	return (double)hist_quantile(hist, share) / 1e3;
}

static void report(struct run *run, int64_t leftover)
{
	struct load *total = &run->loads[0];
	double ticks = (double)sysconf(_SC_CLK_TCK);
	bool upload = run->role->load == upload_load;
	uint64_t client = run->end.client_bytes - run->begin.client_bytes;
	uint64_t backend = run->end.backend_bytes - run->begin.backend_bytes;

	for (unsigned i = 1; i < run->options->threads; i++) {
		hist_merge(&total->latency, &run->loads[i].latency);
		total->errors += run->loads[i].errors;
		total->mismatches += run->loads[i].mismatches;
	}
	const struct hist *latency = &total->latency;
	printf("{\"seconds\": %.6f, \"bytes\": %llu, \"requests\": %llu, ",
	       (double)(run->end.time - run->begin.time) / 1e9,
	       (unsigned long long)(upload ? backend : client), (unsigned long long)latency->count);
	printf("\"mean_us\": %.3f, \"p50_us\": %.3f, \"p90_us\": %.3f, \"p99_us\": %.3f, "
	       "\"p999_us\": %.3f, \"max_us\": %.3f, ",
	       latency->count ? (double)latency->sum / (double)latency->count / 1e3 : 0,
	       microseconds(latency, 0.5), microseconds(latency, 0.9), microseconds(latency, 0.99),
	       microseconds(latency, 0.999), (double)latency->max / 1e3);
	printf("\"busy_s\": %.3f, \"steal_s\": %.3f, ",
	       (double)(run->end.cpu.busy - run->begin.cpu.busy) / ticks,
	       (double)(run->end.cpu.stolen - run->begin.cpu.stolen) / ticks);
	if (run->options->watched != NULL)
		printf("\"watched_s\": %.3f, ",
		       (double)(run->end.cpu.watched - run->begin.cpu.watched) / ticks);
	printf("\"errors\": %llu, \"mismatches\": %llu, \"leftover\": %lld}\n",
	       (unsigned long long)total->errors, (unsigned long long)total->mismatches,
	       (long long)leftover);
}

static int run_load(const struct options *options, const struct role *role)
{
	struct run run = {
	    .options = options, .role = role, .stats = stats_map(options->stats_path, false)};

	run.loads = aligned_alloc(64, options->threads * sizeof(*run.loads));
	run.threads = calloc(options->threads, sizeof(*run.threads));
	if (run.loads == NULL || run.threads == NULL)
		die("calloc");
	memset(run.loads, 0, options->threads * sizeof(*run.loads));
	for (unsigned i = 0; i < options->threads; i++)
		thread_begin(&run, i);
	sleep_seconds(options->warmup);
	snapshot_take(&run, &run.begin);
	atomic_store(&run.phase, PHASE_MEASURE);
	sleep_seconds(options->seconds);
	atomic_store(&run.phase, PHASE_STOP);
	snapshot_take(&run, &run.end);
	for (unsigned i = 0; i < options->threads; i++)
		pthread_join(run.threads[i], NULL);
	report(&run, await_backend(run.stats));
	free(run.threads);
	free(run.loads);
	return 0;
}

static void usage(int status)
{
	fputs("usage: spliced-bench ROLE --stats FILE [options]\n"
	      "  backend                            --listeners N --threads N\n"
	      "  echo | connrate | up | down | get  --host ADDRESS --port N --connections N\n"
	      "                                     --size BYTES --warmup S --seconds S\n"
	      "                                     --threads N --preface FILE\n"
	      "                                     --write BYTES (of a stream, at a time)\n"
	      "                                     --watch PID[,PID...] (for their CPU time)\n"
	      "  idle | idle-get                    --host ADDRESS --port N --connections N\n",
	      status == 0 ? stdout : stderr);
	exit(status);
}

static void read_preface(struct options *options, const char *path)
{
	static char preface[PREFACE_MAX];
	FILE *file = fopen(path, "re");

	if (file == NULL)
		die(path);
	options->preface_size = fread(preface, 1, sizeof(preface), file);
	options->preface = preface;
	fclose(file);
}

static void parse_option(struct options *options, int option)
{
	switch (option) {
	case 'f':
		options->stats_path = optarg;
		break;
	case 'h':
		options->host = optarg;
		break;
	case 'p':
		options->port = (uint16_t)strtoul(optarg, NULL, 10);
		break;
	case 'c':
		options->connections = (unsigned)strtoul(optarg, NULL, 10);
		break;
	case 'l':
		options->listeners = (unsigned)strtoul(optarg, NULL, 10);
		break;
	case 't':
		options->threads = (unsigned)strtoul(optarg, NULL, 10);
		break;
	case 's':
		options->size = strtoul(optarg, NULL, 10);
		break;
	case 'b':
		options->write = strtoul(optarg, NULL, 10);
		break;
	case 'W':
		options->watched = optarg;
		break;
	case 'w':
		options->warmup = strtod(optarg, NULL);
		break;
	case 'd':
		options->seconds = strtod(optarg, NULL);
		break;
	case 'x':
		read_preface(options, optarg);
		break;
	case '?':
		usage(2);
		break;
	default:
		usage(0);
	}
}

static void parse(struct options *options, int argc, char **argv)
{
	static const struct option longs[] = {
	    {"stats", 1, NULL, 'f'},       {"host", 1, NULL, 'h'},      {"port", 1, NULL, 'p'},
	    {"connections", 1, NULL, 'c'}, {"listeners", 1, NULL, 'l'}, {"threads", 1, NULL, 't'},
	    {"size", 1, NULL, 's'},        {"warmup", 1, NULL, 'w'},    {"seconds", 1, NULL, 'd'},
	    {"preface", 1, NULL, 'x'},     {"write", 1, NULL, 'b'},     {"watch", 1, NULL, 'W'},
	    {"help", 0, NULL, 'H'},        {NULL, 0, NULL, 0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "", longs, NULL)) != -1)
		parse_option(options, option);
	if (optind != argc - 1)
		usage(2);
	options->role = argv[optind];
	/* A message holds at least the service byte and a number, a body the mark. */
	if (options->write == 0 || options->write > CHUNK_SIZE)
		usage(2);
	if (options->connections == 0 || options->listeners == 0 || options->size < 16 ||
	    options->threads == 0 || options->threads > options->connections)
		usage(2);
}

int main(int argc, char **argv)
{
	struct options options = {.host = "127.0.0.1",
				  .connections = 1,
				  .listeners = 1,
				  .threads = 1,
				  .size = 64,
				  .write = CHUNK_SIZE,
				  .warmup = 0.5,
				  .seconds = 2};

	parse(&options, argc, argv);
	signal(SIGPIPE, SIG_IGN);
	raise_file_limit();
	if (strncmp(options.role, "idle", 4) == 0)
		return idle_main(&options);
	if (options.stats_path == NULL)
		usage(2);
	if (strcmp(options.role, "backend") == 0)
		return backend_main(&options);
	for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++)
		if (strcmp(options.role, roles[i].name) == 0)
			return run_load(&options, &roles[i]);
	usage(2);
}
