/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The configuration as the daemon uses it. A file is parsed into a new struct config,
 * checked as a whole, and only then used; nothing is ever half-applied.
 * Times are nanoseconds, sizes bytes. All strings are owned by the struct.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "../addr.h"
#include "../cidr.h"
#include "../log.h"
#include "accept.h"
#include "destination.h"
#include "statuses.h"

enum engine_choice { ENGINE_AUTO, ENGINE_KERNEL, ENGINE_COPY, _ENGINE_CHOICE_MAX };
extern const char *const engine_choice_str[_ENGINE_CHOICE_MAX];

/* By what the kernel chooses the worker of a client. */
enum spread_by { SPREAD_AUTO, SPREAD_HASH, SPREAD_SESSIONS, _SPREAD_BY_MAX };
extern const char *const spread_by_str[_SPREAD_BY_MAX];

enum local_congestion { LOCAL_CONGESTION_AUTO, LOCAL_CONGESTION_SYSTEM, _LOCAL_CONGESTION_MAX };
extern const char *const local_congestion_str[_LOCAL_CONGESTION_MAX];

/* Whose applications' sockets are bypassed. */
enum bypass_trust { BYPASS_TRUST_NONBLOCKING, BYPASS_TRUST_ALL, _BYPASS_TRUST_MAX };
extern const char *const bypass_trust_str[_BYPASS_TRUST_MAX];

/* Which of a listener's peers are applications of this host that may be joined. */
enum local_bypass {
	LOCAL_BYPASS_NO,
	LOCAL_BYPASS_BOTH,   /* client and server, to each other */
	LOCAL_BYPASS_CLIENT, /* that one alone, to the daemon's socket at the other side */
	LOCAL_BYPASS_SERVER,
	_LOCAL_BYPASS_MAX
};
extern const char *const local_bypass_str[_LOCAL_BYPASS_MAX];

enum balance { BALANCE_ROUND_ROBIN, BALANCE_LEAST_SESSIONS, _BALANCE_MAX };
extern const char *const balance_str[_BALANCE_MAX];

enum listener_protocol { PROTOCOL_TCP, PROTOCOL_TLS, PROTOCOL_HTTP, PROTOCOL_AUTO, _PROTOCOL_MAX };
extern const char *const protocol_str[_PROTOCOL_MAX];

extern const char *const proxy_accept_str[_PROXY_ACCEPT_MAX];

/* From whose address connections to servers are made. */
enum pool_source { SOURCE_OWN, SOURCE_CLIENT, _POOL_SOURCE_MAX };
extern const char *const pool_source_str[_POOL_SOURCE_MAX];

enum proxy_send { PROXY_SEND_NO, PROXY_SEND_V1, PROXY_SEND_V2, _PROXY_SEND_MAX };
extern const char *const proxy_send_str[_PROXY_SEND_MAX];

/* Whose requests may go on a connection that others have used; as HAProxy's http-reuse. */
enum reuse { REUSE_NEVER, REUSE_SAFE, REUSE_ALWAYS, _REUSE_MAX };
extern const char *const reuse_str[_REUSE_MAX];

/* What a check of a pool's servers is: see health/. */
enum health_check {
	HEALTH_CHECK_NONE,
	HEALTH_CHECK_TCP,
	HEALTH_CHECK_HTTP,
	HEALTH_CHECK_TLS,
	_HEALTH_CHECK_MAX,
};
extern const char *const health_check_str[_HEALTH_CHECK_MAX];

/* What sessions get when all servers of a pool are passed over. */
enum all_down { ALL_DOWN_TRY, ALL_DOWN_REFUSE, _ALL_DOWN_MAX };
extern const char *const all_down_str[_ALL_DOWN_MAX];

/* What becomes of a field that earlier proxies may have written. */
enum forward_mode { FORWARD_NO, FORWARD_APPEND, FORWARD_REPLACE, _FORWARD_MODE_MAX };
extern const char *const forward_mode_str[_FORWARD_MODE_MAX];

enum traceparent_mode {
	TRACEPARENT_PASS,
	TRACEPARENT_BEGIN,
	TRACEPARENT_REPLACE,
	_TRACEPARENT_MODE_MAX
};
extern const char *const traceparent_mode_str[_TRACEPARENT_MODE_MAX];

/* What becomes of connects that cannot be intercepted: they go where they were to go, or are
 * refused. */
enum intercept_mode { INTERCEPT_WHILE_READY, INTERCEPT_REQUIRE, _INTERCEPT_MODE_MAX };
extern const char *const intercept_mode_str[_INTERCEPT_MODE_MAX];

/* What is done with clients that speak HTTP/2 without being asked. */
enum h2_mode { H2_AUTO, H2_NO, H2_TUNNEL, _H2_MODE_MAX };
extern const char *const h2_mode_str[_H2_MODE_MAX];

/* When connections between two requests are closed once the daemon drains. */
enum idle_close {
	IDLE_CLOSE_AUTO, /* RESPONSE where another process serves, else NOW */
	IDLE_CLOSE_RESPONSE,
	IDLE_CLOSE_NOW,
	_IDLE_CLOSE_MAX
};
extern const char *const idle_close_str[_IDLE_CLOSE_MAX];

/* TCP's own question whether a silent peer is still there. */
enum tcp_keepalive_mode {
	TCP_KEEPALIVE_NO,
	TCP_KEEPALIVE_YES,
	TCP_KEEPALIVE_AUTO, /* where nothing else would notice sooner than the system's time */
	_TCP_KEEPALIVE_MAX,
};
struct tcp_keepalive {
	enum tcp_keepalive_mode mode;
	/* Seconds of silence before the first question, and between questions; how many without an
	 * answer end the connection. 0: the system's. */
	unsigned int idle, interval, count;
};

/* Where a value was written: a place, as in source.h, for config_where(); 0: nowhere (a default).
 */
struct config_where {
	int line;
};

/* What the settings come from, those of more weight last. */
enum config_source_kind { SOURCE_FILE, SOURCE_ENVIRONMENT, SOURCE_ARGUMENT };
struct config_source {
	enum config_source_kind kind;
	char *name;   /* SOURCE_FILE: its path */
	char **items; /* of the others: the variables, or SECTION.KEY of each option -o */
	size_t n_items;
};

/* Files to be read, too. */
struct include_config {
	char *pattern;
	struct config_where where;
};

enum endpoint_kind {
	ENDPOINT_ADDR,     /* a literal address */
	ENDPOINT_NAME,     /* host:port, resolved at run time */
	ENDPOINT_INTERNAL, /* internal:hello */
	ENDPOINT_ORIGINAL, /* where the client wanted to go: original: */
};

/* Something that is valid and yet hardly meant. */
struct config_warning {
	int line;    /* 0: of a default, which no line has */
	char *where; /* "FILE:LINE", or "FILE" */
	char *text;
};

struct endpoint {
	enum endpoint_kind kind;
	struct addr addr; /* ENDPOINT_ADDR */
	char *host;       /* ENDPOINT_NAME: the name; ENDPOINT_INTERNAL: "hello" */
	uint16_t port;    /* ENDPOINT_NAME */
};

#define WEIGHT_MAX 256

struct server_config {
	char *name;
	char *text; /* the address as written */
	struct endpoint endpoint;
	unsigned int weight;       /* 1-WEIGHT_MAX, default 1 */
	unsigned int max_sessions; /* 0: no limit */
	bool backup;
	struct config_where where;
};

enum match_kind {
	MATCH_SNI,
	MATCH_ALPN,
	MATCH_HOST,
	MATCH_PATH,
	MATCH_METHOD,
	MATCH_SOURCE,
	MATCH_DESTINATION,
	MATCH_PORT,
	MATCH_HEADER,
	_MATCH_KIND_MAX,
};
extern const char *const match_kind_str[_MATCH_KIND_MAX];

enum match_host { HOST_EXACT, HOST_SUFFIX, HOST_ANY };

struct route_match {
	enum match_kind kind;
	enum match_host host; /* of MATCH_SNI and MATCH_HOST */
	char *text;           /* lower case for hosts; ".suffix" for HOST_SUFFIX */
	char *value;          /* MATCH_HEADER: NULL if the field only has to be there */
	struct cidr network;  /* MATCH_SOURCE, MATCH_DESTINATION */
	uint16_t first, last; /* MATCH_PORT */
};

struct route_config {
	char *text;                  /* as written */
	struct route_match *matches; /* all must hold; ordered by kind, the cheap ones first */
	size_t n_matches;
	char *pool;
	size_t pool_index; /* valid after the check */
	struct config_where where;
};

struct pool_config {
	char *name;
	int *written; /* as in struct config */
	int **items;  /* as in struct config */
	struct config_where where;
	enum balance balance;
	uint64_t connect_timeout;
	unsigned int retries;
	unsigned int max_fails; /* 0: nobody is ever passed over */
	uint64_t fail_timeout;
	enum all_down all_down;
	uint64_t slow_start; /* 0: none */
	enum health_check health_check;
	char *health_path, *health_host; /* "": the server's address */
	struct statuses health_status;
	uint64_t health_interval, health_timeout;
	unsigned int health_rise, health_fall;
	enum pool_source source;
	struct config_where source_where;
	enum proxy_send send_proxy;
	struct tcp_keepalive tcp_keepalive;
	unsigned int keepalive; /* idle connections kept for each server, by each worker */
	uint64_t keepalive_timeout;
	enum reuse reuse;
	struct server_config *servers;
	size_t n_servers;
	/* The first option that only HTTP heeds; its line is 0 where none was written. */
	const char *http_key;
	struct config_where http_where;
};

struct listener_config {
	char *name;
	int *written; /* as in struct config */
	int **items;  /* as in struct config */
	struct config_where where;
	struct addr *binds;
	size_t n_binds;
	enum listener_protocol protocol;
	char *pool;        /* NULL: no default pool */
	size_t pool_index; /* into config.pools, valid after the check; SIZE_MAX without a pool */
	struct config_where pool_where;
	struct cidr *allow; /* empty: everyone who is not denied */
	size_t n_allow;
	struct cidr *deny; /* deny wins over allow */
	size_t n_deny;
	unsigned int max_sessions; /* 0: only the global limit */
	unsigned int backlog;
	bool ipv6_only;               /* [::] takes no IPv4 clients */
	unsigned int unix_mode;       /* permissions of a unix socket, octal in the file */
	char *unix_user, *unix_group; /* "": as it comes */
	struct config_where unix_user_where, unix_group_where;
	uint64_t idle_timeout;
	uint64_t half_close_timeout;
	enum local_bypass local_bypass;
	struct tcp_keepalive tcp_keepalive;
	struct route_config *routes;
	size_t n_routes;
	enum proxy_accept accept_proxy;
	struct cidr *trusted; /* empty: everyone who may connect */
	size_t n_trusted;
	uint64_t sniff_timeout, auto_wait;
	/* http */
	uint64_t head_timeout, request_timeout, response_timeout, keepalive_timeout, tunnel_timeout;
	enum idle_close idle_close;
	bool underscores_in_headers, abort_on_close;
	enum h2_mode h2; /* as written: see listener_config_tunnels_h2() */
	uint64_t head_max;
	unsigned int fields_max;
	uint64_t body_max;        /* 0: no limit */
	uint64_t body_splice_min; /* what is worth the kernel */
	enum forward_mode x_forwarded_for, forwarded;
	bool x_forwarded_proto;
	char *via;        /* "": none */
	char *request_id; /* name of a field, "": none */
	enum traceparent_mode traceparent;
	unsigned int traceparent_sample; /* percent */
};

/* The words that `cgroup` may be. */
#define INTERCEPT_SELF "self"
#define INTERCEPT_POD  "pod"

/* Connects of other programs that go to a listener. */
struct intercept_config {
	char *name;
	int *written; /* as in struct config */
	int **items;  /* as in struct config */
	struct config_where where;
	char *cgroup; /* its folder, or INTERCEPT_SELF or INTERCEPT_POD */
	bool whole_host;
	struct destination *outbound, *except;
	size_t n_outbound, n_except;
	char *listener;
	struct config_where listener_where;
	enum intercept_mode intercept;
};

/* What a configuration is made of. Who loads one keeps this as long as there is such a one. */
struct config_input {
	const char *path;
	bool optional; /* the file need not be there, if anything else is set */
	bool once;     /* it is read this one time: it may be a pipe */
	char *const
	    *environment;      /* "NAME=VALUE", a NULL behind the last; NULL: none is looked at */
	const char **settings; /* "SECTION.KEY=VALUE" of the command line */
	size_t n_settings;
};

struct config {
	const struct config_input *input; /* NULL: it was a stream */
	char *path;                       /* "": no file was read */
	struct config_source *sources;    /* the file first */
	size_t n_sources;
	bool mixed; /* not all is from one file */
	/* The place where each option was last written, by enum option_id: negative where its value
	 * was wrong, 0 for a default; NULL: nothing was read. */
	int *written;
	/* Of an option that is a list, by enum option_id: the place of each value; NULL: none was
	 * read. */
	int **items;
	struct include_config *includes;
	size_t n_includes;
	struct config_warning *warnings; /* of the file's check, by line */
	size_t n_warnings;
	bool engine_forced;   /* `engine` is the command line's */
	unsigned int workers; /* 0: auto, one per CPU the process may use */
	enum spread_by spread;
	enum engine_choice engine;
	unsigned int max_sessions;
	char *control; /* unix socket path; "none" in the file: NULL */
	struct config_where control_where;
	struct addr status; /* HTTP, for who watches it; its len is 0: none */
	struct config_where status_where;
	enum log_target log_target;
	enum log_level log_level;
	char *access_log; /* see log/place.h; NULL: no */
	bool log_empty;
	enum log_format access_log_format;
	unsigned int max_sniffing;
	char *user; /* "" : keep the user */
	struct config_where user_where;
	bool seccomp;
	uint64_t shutdown_grace;
	uint64_t drain_delay;
	struct addr *nameservers; /* empty: those of /etc/resolv.conf */
	size_t n_nameservers;
	uint64_t engage_after;  /* how old a session is before its lanes go to the kernel */
	uint64_t splice_high;   /* bytes queued in the kernel for a target: pause the source */
	uint64_t splice_low;    /* ... resume it */
	uint64_t splice_hard;   /* ... take bytes back to user space */
	uint64_t memory_max;    /* bytes; 0: by tcp_mem, see memory.h */
	uint64_t splice_window; /* receive window of a spliced socket */
	char *bypass_cgroup;    /* "": no bypass */
	enum bypass_trust bypass_trust;
	uint64_t bypass_high, bypass_low; /* bytes in an application's queue */
	unsigned int bypass_messages;
	enum local_congestion local_congestion;
	int numa_node; /* -1: any */
	struct listener_config *listeners;
	size_t n_listeners;
	struct pool_config *pools;
	size_t n_pools;
	struct intercept_config *intercepts;
	size_t n_intercepts;
};

/*
 * Reads and checks everything. On success *ret owns a complete configuration, which points to `in`.
 * On failure returns a negative errno and *ret is untouched; every problem found is written to
 * `errors` as "WHERE: what is wrong; what is allowed\n", at least one line. WHERE is FILE:LINE, a
 * variable of the environment, or the option -o.
 */
int config_load(const struct config_input *in, struct config **ret, FILE *errors);
/* The same with nothing but what can be read from `stream`; `path` is the name for the messages.
 * Files that it includes are not read. */
int config_load_stream(const char *path, FILE *stream, struct config **ret, FILE *errors);
/* The file that need not have been there and was: nobody means to lose with it what it said. ""
 * where there was none, or it had to be there. */
const char *config_optional_file(const struct config *c);
/* All defaults and no section: the base of tests and of the canary's private configuration. */
struct config *config_new(void);
void config_free(struct config *c);
static inline void config_freep_(struct config **c)
{
	config_free(*c);
}
#define _cleanup_config_ _cleanup_(config_freep_)

/*
 * Whether HTTP/2 with prior knowledge is forwarded: what h2 says, or with auto whether the listener
 * would do no more to HTTP/1 than choose a pool by the host. Of a tunnel only the first request's
 * host is known, and nothing in it is looked at, changed or counted.
 */
bool listener_config_tunnels_h2(const struct listener_config *c);

/* The place of value `bind` of the listener's `bind`, for config_where(); the section's, where none
 * was read. */
int listener_config_bind_place(const struct listener_config *c, size_t bind);

/* Takes n new [intercept NAME] sections, in an array that is to be freed; the old ones are freed.
 */
void intercepts_replace(struct config *c, struct intercept_config *all, size_t n);
/* Whether an [intercept NAME] section sends connects to the listener of that name. */
bool config_intercepts_to(const struct config *c, const char *listener);

/* The options that differ and take effect at a restart only are in `fresh` what they are in `old`
 * afterwards: it is what is in effect. Writes their names to `out`, with commas between. 0,
 * -ENOMEM, or -EINVAL where what stays cannot be beside what the file says: each mistake is a line
 * in `errors`, as of config_load(). */
int config_keep(const struct config *old, struct config *fresh, FILE *out, FILE *errors);
/* Writes where a place is into buf: "FILE:LINE", a variable's name, or "-o SECTION.KEY"; of place 0
 * "default". Returns buf. */
#define CONFIG_WHERE_MAX 4200
const char *config_where(const struct config *c, int place, char buf[static CONFIG_WHERE_MAX]);
/* Writes the configuration with every option, set or default, in the file's own syntax. Where there
 * is more than one file, each value has its place above it. */
void config_dump(const struct config *c, FILE *out);
/* Writes the commented sample file (conf/spliced.conf), from the option table alone. */
void config_print_sample(FILE *out);
/* Writes the OPTIONS part of spliced.conf(5), from the option table alone. */
void config_print_man(FILE *out);
