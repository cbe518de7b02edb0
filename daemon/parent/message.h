/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the parent and a worker process tell each other: packets of one struct over a pair of
 * sockets, with at most one descriptor. A parent may have a worker of another version, once in an
 * upgrade: whoever changes the struct counts MESSAGE_VERSION up. A new kind, and a field at the end
 * of one of the structs for which 0 says what older ones mean, are no such change.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "../addr.h"
#include "../log.h"
#include "bound.h"

#define MESSAGE_VERSION  3
#define MESSAGE_TEXT_MAX 1024
#define MESSAGE_CALL_MAX 256 /* with the names of passed sockets that there are */
#define STATUS_MAX       256
#define FILE_MAX         128 /* no longer one is a default */

/* What is said of an optional file that is gone, with strerror(). */
#define FILE_IS_GONE                                                                       \
	"%s: cannot open: %s; what is in effect was read from it; allowed: a file, which " \
	"may be empty"

enum message_kind {
	/* from the worker */
	MESSAGE_HOLD = 1,  /* a socket is wanted: answered by MESSAGE_HELD */
	MESSAGE_RELEASE,   /* those of a name are not, any more: answered so, too */
	MESSAGE_READY,     /* everything is loaded and proven; nothing is accepted yet */
	MESSAGE_RELOADING, /* it reads its file again */
	MESSAGE_RELOADED,  /* ... and that is over */
	MESSAGE_FAILED,    /* why it will end */
	MESSAGE_SERVING,   /* it was told to accept, and does */
	MESSAGE_RETIRED,   /* it accepts nothing any more */
	MESSAGE_UPGRADE,   /* somebody asks for one: answered by MESSAGE_UPGRADED */
	MESSAGE_ALIVE,   /* each of its threads' loops has turned since it was asked; and once more
			  * what MESSAGE_RELOADED may have said in vain */
	MESSAGE_LEAVE,   /* a descriptor for later workers, and for as long as there is none */
	MESSAGE_FETCH,   /* one that an earlier worker has left: answered by MESSAGE_HELD */
	MESSAGE_ACCESS,  /* whose the file of a unix socket should be: answered so, too */
	MESSAGE_YIELDED, /* no connect comes to it any more by what it intercepts itself */
	MESSAGE_HIDE,    /* the sockets of a name are given up: answered by MESSAGE_HELD, when they
			  * are hidden, or are not to be. MESSAGE_RELEASE is to come */
	/* from the parent */
	MESSAGE_HELD = 101, /* with the socket, if there was no error */
	MESSAGE_FACTS,      /* what it should know of its family */
	MESSAGE_SIGNAL,     /* the parent got one that is the worker's to heed */
	MESSAGE_SERVE,      /* accept from now on */
	MESSAGE_RETIRE,     /* another one will: accept what has come, then drain; or it does */
	MESSAGE_UPGRADED,   /* how it went */
	MESSAGE_BEAT,       /* answered by MESSAGE_ALIVE, by a worker that is */
	MESSAGE_ENDING,     /* the daemon was told to end: when the worker is to drain */
	MESSAGE_YIELD,      /* another one will accept, and intercepts already: intercept nothing,
			     * and accept on. Answered by MESSAGE_YIELDED; MESSAGE_RETIRE is next */
};

struct message_held {
	int32_t error;               /* a negative errno */
	char call[MESSAGE_CALL_MAX]; /* the one that failed */
	uint32_t n;                  /* the sockets of this name, this one included */
	bool old;         /* an earlier worker had sockets of this name: they may be listening */
	bool outlives;    /* somebody else has it, too: it goes on listening when the daemon ends */
	bool foreign;     /* another process has made it: perhaps in another cgroup */
	struct addr addr; /* where it is bound */
};

struct message_ready {
	struct log_manner manner;
	uint64_t drain_ns;       /* drain_delay and shutdown_grace */
	char status[STATUS_MAX]; /* for systemd */
	uint32_t heritage;       /* the HERITAGE_VERSION that this program understands */
	uint64_t delay_ns;       /* of drain_ns: drain_delay, which is the parent's to wait for; 0:
				  * none, or the worker does it by itself */
	char file[FILE_MAX];     /* see config_optional_file() */
};

/* What is the parent's business of a file that was read again; where nothing was changed it is as
 * before. */
struct message_reloaded {
	struct log_manner manner;
	uint64_t drain_ns;
	char status[STATUS_MAX]; /* "": nothing is told, a file is being read */
	uint64_t delay_ns;
	char file[FILE_MAX];
};

struct message_facts {
	int32_t parent;      /* its pid */
	uint32_t generation; /* of this worker: the first is 1 */
	uint64_t deaths;     /* of workers that should not have died */
	uint64_t log_lost;   /* lines of the parent's own log */
};

struct message_upgraded {
	bool failed;
	char text[MESSAGE_TEXT_MAX]; /* why */
};

struct message {
	uint32_t version; /* message_send() fills it in */
	uint32_t kind;
	union {
		struct bind_request hold;
		char release[BIND_NAME_MAX]; /* of MESSAGE_HIDE, too */
		char deposit[BIND_NAME_MAX];
		struct message_held held;
		struct message_ready ready;
		uint64_t reloading;               /* when it began, of CLOCK_MONOTONIC, in us */
		struct message_reloaded reloaded; /* of MESSAGE_RELOADED and MESSAGE_ALIVE */
		uint64_t ending;                  /* in so many ns; 0: now */
		struct message_facts facts;
		struct message_upgraded upgraded;
		int32_t signal;
		uint32_t served; /* of MESSAGE_RETIRE: the other one has said that it accepts */
		char failure[MESSAGE_TEXT_MAX];
	};
};

union message_control {
	struct cmsghdr header;
	char space[CMSG_SPACE(sizeof(int))];
};

/* A descriptor goes along with a message of whatever kind; it stays the caller's, and *control has
 * to be there until that was sent. */
void message_attach(struct msghdr *msg, union message_control *control, int fd);
/* Never waits. `fd` stays the caller's; -1: none. 0 or a negative errno. */
int message_send(int socket, struct message *m, int fd);
/* The same, but it waits up to a second where memory is short: what is told here is not told
 * again. For a worker: its parent waits for nobody, see outbox.h. */
int message_send_surely(int socket, struct message *m, int fd);
/*
 * Never waits. 1, or 0 at the end of the stream, or a negative errno: -EAGAIN when nothing is
 * there, -EPROTO when it was sent by another version. A descriptor that came with it is the
 * caller's, or -1.
 */
int message_receive(int socket, struct message *ret, int *ret_fd);
