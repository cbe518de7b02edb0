/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * THE table of counters, in the order of `splicectl stats` and of /metrics. Add a row here, and
 * count it: the field of struct stats, the JSON, the metric and their sum over the workers come
 * from the row. The help of those that are not a FAMILY is what docs/operations.md says: `spliced
 * --print-counters` prints its table. Included several times, so there is no include guard.
 *
 *   COUNTER(name, help)                    grows
 *   GAUGE(name, help)                      is so much now
 *   FAMILY(name, label, names, n, help)    a counter for each value of an enum, which has these
 *                                          names; what the label is called that has them
 *
 * and those of each listener (struct listener_stats) and of each server (struct server_stats):
 *
 *   LISTENER_FAMILY, SERVER_FAMILY(name, http, label, names, n, help)
 *   LISTENER_TIMES, SERVER_TIMES(name, http, from, to, help)
 *
 * TIMES is a histogram, of whose bounds (histogram.h) those from one time to another are told, in
 * seconds. http: HTTP alone counts it.
 *
 * What the includer has not defined is left out, and all are undefined at the end.
 */
/* clang-format off */
#ifndef COUNTER
#define COUNTER(name, help)
#endif
#ifndef GAUGE
#define GAUGE(name, help)
#endif
#ifndef FAMILY
#define FAMILY(name, label, names, n, help)
#endif
#ifndef LISTENER_FAMILY
#define LISTENER_FAMILY(name, http, label, names, n, help)
#endif
#ifndef LISTENER_TIMES
#define LISTENER_TIMES(name, http, from, to, help)
#endif
#ifndef SERVER_FAMILY
#define SERVER_FAMILY(name, http, label, names, n, help)
#endif
#ifndef SERVER_TIMES
#define SERVER_TIMES(name, http, from, to, help)
#endif

GAUGE(sessions_active, "sessions now")
GAUGE(sessions_sniffing,
      "of them those that have not said where they belong; `max_sniffing` bounds it")
COUNTER(sessions_bypass, "sessions whose applications were joined directly: see `local_bypass`")
COUNTER(sessions_total,
	"clients that were accepted and not denied, and those that get an answer all the same (HTTP) or "
	"were denied by their PROXY header")
COUNTER(sessions_kernel,
	"of them handed to the kernel; one of which a side is joined alone is in `sessions_bypass` "
	"as well; in HTTP those of which the kernel moved a part of a body or "
	"tunnel")
COUNTER(sessions_copy,
	"of them connected to a server and copied to the end (under `engine = auto` mostly those that "
	"were over within `engage_after`), and other connections of HTTP/1")
COUNTER(bytes_redirected, "moved by the kernel")
COUNTER(bytes_copied,
	"moved by the daemon, in kernel sessions too: at the beginning, at the end, what was handed up, "
	"and most of a lone busy stream whose receiver is fast")
COUNTER(bytes_bypassed, "sent by one application into the other's queue")
COUNTER(bytes_trimmed, "cut off by the verdict program because they had been seen before")
COUNTER(pauses, "how often a sender was stopped because its receiver was slow")
COUNTER(resumes, "how often one that was stopped was let go on")
COUNTER(looks,
	"how often it was looked whether a stream that waits may go on; those of stopped receivers are "
	"rare")
COUNTER(served, "how often the daemon had to take over bytes that the kernel handed up")
COUNTER(unlocked_deletes,
	"how often a source left the verdict map without its socket's lock, because sockops is not "
	"attached or was not called: a segment that comes at that moment may be lost, and then the "
	"session ends with `end=integrity`")
COUNTER(integrity_aborts, "sessions that ended with `end=integrity`; watch that it stays 0")
COUNTER(accept_failures, "accepts that failed, for want of descriptors among others")
COUNTER(accepted_spread,
	"accepted connections of listeners whose workers are chosen by their sessions: see `spread`")
COUNTER(handovers,
	"accepted connections that went on to another worker, which had clearly fewer sessions")
COUNTER(denied, "clients turned away, those that got 403 included")
COUNTER(retries,
	"further tries after one failed: another server, another address of one, or an HTTP request "
	"sent again")
COUNTER(events_lost,
	"events that did not fit a worker's ring buffer; the worker then looks at all its sessions")
COUNTER(memory_refusals, "clients refused because of `memory_max`, those that got 503 included")
COUNTER(http_requests, "request heads that were complete, and those refused")
COUNTER(backend_reused, "requests that were sent on a kept connection")
COUNTER(log_lost,
	"log lines that were lost because nobody took them in time, or a write failed, those of the parent since the daemon's start included")
FAMILY(copy_reasons, "reason", copy_reason_str, _COPY_REASON_MAX, "directions that were left to the copy engine")
FAMILY(bypass_left, "reason", way_why_str, _WAY_WHY_MAX,
       "directions of `local_bypass` listeners that were not bypassed, or no more")
FAMILY(ends, "end", session_end_str, _SESSION_END_MAX, "sessions that ended so")
FAMILY(http_ends, "end", http_end_str, _HTTP_END_MAX, "requests that ended so")
FAMILY(http_errors, "error", http_error_str, _HTTP_ERROR_MAX, "messages in which this was wrong")
FAMILY(http_responses, "class", status_class_str, _STATUS_CLASS_MAX, "responses by the status' first digit")
FAMILY(verdicts, "verdict", verdict_why_str, _VERDICT_MAX, "what the BPF programs decided")

LISTENER_FAMILY(sessions_ended, false, "engine", moved_by_str, _MOVED_BY_MAX,
		"sessions that have ended, by who moved their bytes; `none`: nobody, as no server was connected")
LISTENER_FAMILY(bytes, false, NULL, bytes_labels, _BYTES_OF_MAX,
		"bytes of its sessions, heads and framing included, by direction (up: to the server) and "
		"by who moved them")
LISTENER_FAMILY(http_responses, true, "class", status_class_str, _STATUS_CLASS_MAX,
		"responses to its clients by the status' first digit, the daemon's own included")
LISTENER_TIMES(session_duration, false, 0.001, 10000, "how long its sessions lasted")
LISTENER_TIMES(request_duration, true, 0.0005, 500,
	       "from the first byte of a request to the last of its response; of a tunnel, to its end")

SERVER_FAMILY(bytes, false, NULL, bytes_labels, _BYTES_OF_MAX,
	      "bytes of sessions while they had this server, by direction (up: to the server) and by who "
	      "moved them")
SERVER_FAMILY(http_responses, true, "class", status_class_str, _STATUS_CLASS_MAX,
	      "responses to requests that it had, by the status' first digit, those included with which "
	      "the daemon had to answer for it")
SERVER_TIMES(connect_duration, false, 0.0001, 10, "how long new connections to it took, of those that succeeded")
SERVER_TIMES(first_byte_duration, true, 0.0005, 100,
	     "from a whole request head to the first byte of its response, connecting included")

#undef COUNTER
#undef GAUGE
#undef FAMILY
#undef LISTENER_FAMILY
#undef LISTENER_TIMES
#undef SERVER_FAMILY
#undef SERVER_TIMES
