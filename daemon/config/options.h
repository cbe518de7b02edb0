/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * THE option table. Add a row here and a field in config.h; nothing else knows an option.
 * Included several times, so there is no include guard.
 *
 *   OPTION(section, key, field, type, default, reload, help, ...)
 *   OPTION_LIST(...)   the same; the field's length is n_FIELD. The key may be written on several
 *                      lines, and all but `server` and `route` take several values in one line.
 *
 * The rest of a row are designated initializers of struct option: .min and .max in the field's
 * unit (ns, bytes), .word (allowed besides the numbers) and its .word_value, .unit, CHOICES(), ...
 * A default of NULL means that the option must be written.
 */
/* clang-format off */

OPTION(SPLICED, workers, workers, UINT, "auto", RESTART,
       "Worker threads. auto is one for each CPU the process may run on.",
       .min = 1, .max = 256, .word = "auto", .word_value = 0, .unit = "threads")
OPTION(SPLICED, spread, spread, ENUM, "auto", RELOAD,
       "By what the kernel chooses a client's worker thread. sessions: the one with the fewest, by a BPF program. "
       "hash: a hash of the addresses, whoever is busy. auto: sessions where it can be had and engine is not copy, else hash. "
       "From hash to sessions takes a restart where the program was not wanted at the start.",
       CHOICES(spread_by_str))
OPTION(SPLICED, engine, engine, ENUM, "auto", RESTART,
       "Who moves the bytes of a session. kernel uses the BPF programs, copy never does, and auto "
       "uses them when this kernel has passed the test that the daemon runs at start. "
       "Sessions that exist keep their engine.",
       CHOICES(engine_choice_str))
OPTION(SPLICED, max_sessions, max_sessions, UINT, "65536", RESTART,
       "Sessions at the same time over all listeners. Further clients wait in the listeners' "
       "backlogs. The kernel's tables are sized by it.",
       .min = 1, .max = 1048576, .unit = "sessions")
OPTION(SPLICED, control, control, PATH, "/run/spliced/control.sock", RESTART,
       "The unix socket that splicectl talks to. none: no such socket. Unless it is written here, a "
       "daemon that may not write to /run/spliced has it in $XDG_RUNTIME_DIR/spliced, or else in "
       "/tmp/spliced-UID, where splicectl looks for it, too.",
       .word = "none", .where = offsetof(struct config, control_where))
OPTION(SPLICED, status, status, ADDRESS, "none", RESTART,
       "Where the daemon answers HTTP: / is a page that shows what it does, /metrics is for Prometheus; "
       "there are /healthz and /readyz. A port alone is one of 127.0.0.1. It only tells, and it tells everybody who can connect. none: nowhere.",
       .word = "none", .where = offsetof(struct config, status_where))
OPTION(SPLICED, log_target, log_target, ENUM, "auto", RELOAD,
       "Where log lines go. auto is the journal when standard error is connected to it, and "
       "standard error otherwise.",
       CHOICES(log_target_str))
OPTION(SPLICED, log_level, log_level, ENUM, "info", RELOAD,
       "The least important messages that are still logged.",
       CHOICES(log_level_str))
OPTION(SPLICED, access_log, access_log, LOG, "yes", RELOAD,
       "Log one line at the end of each session, and for each HTTP request, whatever log_level is. "
       "yes: along with the daemon's messages. stderr, stdout, journal, the path of a file (which "
       "SIGUSR1 opens again), or syslog:/dev/log and syslog:IP:PORT (UDP), which may be followed by "
       ",facility=NAME ,severity=NAME ,tag=NAME and ,rfc3164 or ,rfc5424: there.",
       .word = "no")
OPTION(SPLICED, access_log_format, access_log_format, ENUM, "text", RELOAD,
       "How these lines are written: as key=value, or as a JSON object each. json: the daemon's "
       "messages are JSON objects, too, where they go to the same place.",
       CHOICES(log_format_str))
OPTION(SPLICED, log_empty, log_empty, BOOL, "yes", RELOAD,
       "no: sessions whose client sent nothing at all, or no more than a PROXY header, and then left "
       "have no such line: port scans and the probes of load balancers.")
OPTION(SPLICED, max_sniffing, max_sniffing, UINT, "4096", RELOAD,
       "Sessions that may still be sending what they are routed by: the first bytes, or the first "
       "request head. Where there are more, the one that has taken longest is closed, so that slow "
       "clients do not keep others out.",
       .min = 1, .max = 1048576, .unit = "sessions")
OPTION(SPLICED, user, user, USER, "spliced", RESTART,
       "The user the daemon gives up root for once everything is set up. It must exist if it is "
       "written here; if it is not and there is no user of the default's name, the daemon stays "
       "who it is and drops its capabilities. Empty keeps the user.",
       .may_be_empty = true, .where = offsetof(struct config, user_where))
OPTION(SPLICED, seccomp, seccomp, BOOL, "yes", RESTART,
       "Give up the system calls that the daemon does not need once it is set up. A call that is not on "
       "its list fails as one that the kernel does not have.")
OPTION(SPLICED, shutdown_grace, shutdown_grace, DURATION, "30s", RELOAD,
       "How long sessions may go on after SIGTERM and drain_delay, or after an upgrade, before they are "
       "closed. Another SIGTERM closes them at once.",
       .min = 0, .max = 86400 * NSEC_PER_SEC)
OPTION(SPLICED, drain_delay, drain_delay, DURATION, "0s", RELOAD,
       "How long clients are still accepted after SIGTERM, and connects intercepted, before shutdown_grace "
       "begins: for those who have yet to hear of the end. /readyz says so at once, and so does each response of "
       "HTTP, with Connection: close. Another SIGTERM ends it.",
       .min = 0, .max = 3600 * NSEC_PER_SEC)
OPTION_LIST(SPLICED, nameserver, nameservers, NAMESERVERS, "", RESTART,
       "DNS servers for the host names of servers; the port is 53 unless given. Empty: those of "
       "/etc/resolv.conf, whose changes are followed.",
       .may_be_empty = true)
OPTION(SPLICED, engage_after, engage_after, DURATION, "10ms", RESTART,
       "How old a session is before its bytes are handed to the kernel, or its applications are joined "
       "(see local_bypass). Sessions that are over sooner are cheaper to copy.",
       .min = 0, .max = 10 * NSEC_PER_SEC)
OPTION(SPLICED, splice_high, splice_high, SIZE, "1M", RESTART,
       "Bytes that may wait in the kernel to be sent to a slow receiver before its sender is "
       "paused. Must be more than splice_low.",
       .min = 64 << 10, .max = 1 << 30)
OPTION(SPLICED, splice_low, splice_low, SIZE, "512K", RESTART,
       "A paused sender goes on when no more than this still waits.",
       .min = 64 << 10, .max = 1 << 30)
OPTION(SPLICED, splice_hard, splice_hard, SIZE, "16M", RESTART,
       "From this many waiting bytes on, the kernel pauses the sender on its own: the bound of a session's "
       "memory when the daemon is too busy to do it in time. Must be more than splice_high.",
       .min = 64 << 10, .max = 1 << 30)
OPTION(SPLICED, splice_window, splice_window, SIZE, "2M", RESTART,
       "The receive window a spliced socket offers to its sender, and what a paused sender may "
       "still have sent; two of its largest segments at the least, which over loopback are 128K. A long path "
       "needs its bandwidth times its round-trip time.",
       .min = 64 << 10, .max = 16 << 20)
OPTION(SPLICED, bypass_cgroup, bypass_cgroup, FOLDER, "", RESTART,
       "The folder of a cgroup (v2). Applications in it that are clients or servers of listeners with "
       "local_bypass are joined directly. What that changes for them is in operations.md: it is meant for programs "
       "that wait for events. Empty: no bypass. The root of all cgroups needs bypass_trust to be written, too.",
       .may_be_empty = true)
OPTION(SPLICED, bypass_trust, bypass_trust, ENUM, "nonblocking", RESTART,
       "Whose applications' sockets are bypassed. nonblocking: those with O_NONBLOCK. all: others, too, "
       "although a blocking recv() may then fail with EAGAIN.",
       CHOICES(bypass_trust_str))
OPTION(SPLICED, bypass_high, bypass_high, SIZE, "4M", RESTART,
       "Bytes that may wait in an application's queue, sent there directly, before the sender has to wait. "
       "Must be more than bypass_low.",
       .min = 8 << 10, .max = 1 << 30)
OPTION(SPLICED, bypass_low, bypass_low, SIZE, "2M", RESTART,
       "It goes on when no more than this is left.",
       .min = 4 << 10, .max = 1 << 30)
OPTION(SPLICED, bypass_messages, bypass_messages, UINT, "4096", RESTART,
       "The same in messages, each of which costs 1 KiB besides its bytes.",
       .min = 8, .max = 1048576, .unit = "messages")
OPTION(SPLICED, memory_max, memory_max, SIZE, "auto", RESTART,
       "What sessions may hold in all: in the queues of their sockets, between them and in the daemon. "
       "From 20 % of it on they get smaller buffers, from 60 % on nothing more is given to the kernel "
       "engine, and from 90 % on new clients are refused. auto is the second number of net.ipv4.tcp_mem: what TCP may hold without pressure. "
       "Where less than 1G is written, no socket's buffer is larger than a 256th of it, or 256K over loopback.",
       .min = 16 << 20, .max = UINT64_C(1) << 44, .word = "auto", .word_value = 0)
OPTION(SPLICED, local_congestion, local_congestion, ENUM, "auto", RESTART,
       "The congestion control of connections over loopback. system: the system's. auto: reno where "
       "the system's paces what it sends (bbr), which between two sockets of one host only costs "
       "time.",
       CHOICES(local_congestion_str))
OPTION(SPLICED, numa_node, numa_node, UINT, "any", RESTART,
       "The NUMA node on which the kernel's tables are allocated.",
       .min = 0, .max = 1023, .word = "any", .word_value = UINT64_MAX)
OPTION_LIST(SPLICED, include, includes, INCLUDES, "", RELOAD,
       "More files, or patterns like conf.d/*.conf, in the order of their names; a relative one is "
       "looked for beside the file that names it, or from where spliced was started if no file does. Each has sections of its own, may have a [spliced], "
       "and may name more. A pattern that nothing matches is no mistake.",
       .may_be_empty = true)

OPTION_LIST(LISTENER, bind, binds, BINDS, NULL, RELOAD,
       "Where to accept clients. Port 0 lets the kernel choose one. systemd:NAME: at the sockets that "
       "systemd passes with FileDescriptorName=NAME. steer:10.0.0.0/24:8000-8999, steer:*:1-65535 except 22 "
       "10.0.0.9: what comes to these addresses and ports of this network namespace, whoever listens there, "
       "but for what follows except; of such a listener all are of this kind, and server = NAME original: is "
       "where the client wanted to go.",
       .example = "127.0.0.1:8080")
OPTION(LISTENER, protocol, protocol, ENUM, "tcp", RELOAD,
       "What is read from a client before a server is dialled. tcp: nothing. tls: the ClientHello, "
       "which then goes on unchanged. http: every request of HTTP/1, each routed on its own; HTTP/2 "
       "with prior knowledge by its first request. auto: TLS or HTTP where it is that, else nothing.",
       CHOICES(protocol_str))
OPTION(LISTENER, pool, pool, NAME, "", RELOAD,
       "The pool that is used where no route matches. Empty: such sessions and requests are refused.",
       .example = "hello", .may_be_empty = true,
       .where = offsetof(struct listener_config, pool_where))
OPTION_LIST(LISTENER, route, routes, ROUTES, "", RELOAD,
       "The pool for what matches: of the routes, in their order here, the first whose matchers all "
       "hold is taken. host:*.example path:/api/ -> api is one.",
       .may_be_empty = true)
OPTION(LISTENER, accept_proxy, accept_proxy, ENUM, "no", RELOAD,
       "Whether clients begin with a header of the PROXY protocol, and of which version. It must "
       "be there then. The address in it takes the client's place: in allow and deny, in routes, in "
       "the log. With protocol = auto and no, one is still taken from those that are trusted.",
       CHOICES(proxy_accept_str))
OPTION_LIST(LISTENER, trusted, trusted, CIDRS, "", RELOAD,
       "Who may send a PROXY header; from anybody else it is refused. Empty: everyone if "
       "accept_proxy says so, and nobody otherwise.",
       .may_be_empty = true)
OPTION(LISTENER, sniff_timeout, sniff_timeout, DURATION, "5s", RELOAD,
       "How long a client may take to send what it is routed by; for http, its first bytes.",
       .min = 10 * NSEC_PER_MSEC, .max = 3600 * NSEC_PER_SEC)
OPTION(LISTENER, auto_wait, auto_wait, DURATION, "500ms", RELOAD,
       "protocol = auto: a client that is silent for this long is taken for one whose server speaks "
       "first, as those of SMTP and MySQL do.",
       .min = NSEC_PER_MSEC, .max = 60 * NSEC_PER_SEC,
       .only = ONLY_AUTO)
OPTION_LIST(LISTENER, allow, allow, CIDRS, "", RELOAD,
       "Who may connect: networks, addresses, or the word unix for clients of a unix socket. "
       "Empty: everyone who is not denied.",
       .may_be_empty = true)
OPTION_LIST(LISTENER, deny, deny, CIDRS, "", RELOAD,
       "Who may not connect, even if allowed.",
       .may_be_empty = true)
OPTION(LISTENER, max_sessions, max_sessions, UINT, "0", RELOAD,
       "Sessions of this listener at the same time. 0: only the global limit.",
       .min = 0, .max = 1048576, .unit = "sessions")
OPTION(LISTENER, backlog, backlog, UINT, "4096", RELOAD,
       "Connections that may wait to be accepted. The kernel caps it at net.core.somaxconn.",
       .min = 1, .max = 65535, .unit = "connections")
OPTION(LISTENER, ipv6_only, ipv6_only, BOOL, "yes", RELOAD,
       "Whether [::]:PORT is for clients of IPv6 alone. no: it also takes those of IPv4, who are known by "
       "their IPv4 addresses; 0.0.0.0 with the same port cannot be bound beside it.",
       .only = ONLY_IPV6)
OPTION(LISTENER, unix_mode, unix_mode, MODE, "0666", RELOAD,
       "The permissions of a unix socket that is bound.",
       .min = 0, .max = 0777,
       .only = ONLY_UNIX)
OPTION(LISTENER, unix_user, unix_user, USER, "", RELOAD,
       "The user it belongs to. Empty: who the daemon is when it binds it; a reload leaves that as it is.",
       .may_be_empty = true, .where = offsetof(struct listener_config, unix_user_where),
       .only = ONLY_UNIX)
OPTION(LISTENER, unix_group, unix_group, GROUP, "", RELOAD,
       "The group it belongs to. Empty: that of unix_user, or of the daemon when it binds it; without either a reload leaves it as it is.",
       .may_be_empty = true, .where = offsetof(struct listener_config, unix_group_where),
       .only = ONLY_UNIX)
OPTION(LISTENER, idle_timeout, idle_timeout, DURATION, "10m", RELOAD,
       "Close a session in which no byte has moved for this long. 0: never.",
       .min = 0, .max = 30 * 86400 * NSEC_PER_SEC,
       .only = ONLY_RAW)
OPTION(LISTENER, half_close_timeout, half_close_timeout, DURATION, "1m", RELOAD,
       "The same once one side has ended its stream. 0: idle_timeout only.",
       .min = 0, .max = 30 * 86400 * NSEC_PER_SEC)
OPTION(LISTENER, local_bypass, local_bypass, ENUM, "no", RELOAD,
       "both: where client and server are applications of this host, and both in bypass_cgroup, what one "
       "sends goes into the other's queue directly, without this daemon's TCP between them. client, server: that one "
       "alone is an application of this host, in bypass_cgroup: what it sends goes into the daemon's TCP to the other "
       "one directly, and what comes for it goes as without the bypass. Of HTTP the tunnels: what follows an upgrade or "
       "CONNECT, and HTTP/2.",
       CHOICES(local_bypass_str))

OPTION(LISTENER, tcp_keepalive, tcp_keepalive, KEEPALIVE, "auto", RELOAD,
       "Whether the kernel asks silent clients if they are still there, and ends the connection of one "
       "that does not answer. yes: after the times that the system has (net.ipv4.tcp_keepalive_*). "
       "IDLE:INTERVAL:COUNT: after a silence of IDLE, then every INTERVAL, COUNT times; what is left out "
       "is the system's, a number without a unit is seconds. auto: yes where sessions of this listener "
       "may be silent for longer than net.ipv4.tcp_keepalive_time.")

OPTION(LISTENER, head_timeout, head_timeout, DURATION, "10s", RELOAD,
       "http: how long a request head may take, from its first byte on.",
       .min = 10 * NSEC_PER_MSEC, .max = 3600 * NSEC_PER_SEC)
OPTION(LISTENER, request_timeout, request_timeout, DURATION, "1m", RELOAD,
       "http: how long a client may be silent in a request's body.",
       .min = 10 * NSEC_PER_MSEC, .max = 86400 * NSEC_PER_SEC)
OPTION(LISTENER, response_timeout, response_timeout, DURATION, "1m", RELOAD,
       "http: how long a server may take to begin its response, and how long nothing may move in "
       "the response's body.",
       .min = 10 * NSEC_PER_MSEC, .max = 86400 * NSEC_PER_SEC)
OPTION(LISTENER, keepalive_timeout, keepalive_timeout, DURATION, "1m", RELOAD,
       "http: how long a client's connection is kept open between two requests.",
       .min = 10 * NSEC_PER_MSEC, .max = 86400 * NSEC_PER_SEC)
OPTION(LISTENER, idle_close, idle_close, ENUM, "auto", RELOAD,
       "http: when a client's connection that is between two requests is closed once the daemon drains. "
       "response: after the response to its next request, which says Connection: close; without a request "
       "after keepalive_timeout, or when shutdown_grace is over. now: at once, unless the next request is "
       "there. auto: response after an upgrade, when another process serves, and now when the daemon ends.",
       CHOICES(idle_close_str))
OPTION(LISTENER, tunnel_timeout, tunnel_timeout, DURATION, "1h", RELOAD,
       "http: idle_timeout of what follows an upgrade or CONNECT, and of HTTP/2. 0: never.",
       .min = 0, .max = 30 * 86400 * NSEC_PER_SEC)
OPTION(LISTENER, abort_on_close, abort_on_close, BOOL, "no", RELOAD,
       "http: give a request up when its client ends the connection before the response has begun, "
       "and close the server's. A client that ends only what it sends, and still waits, looks the "
       "same. no: the request goes on, and is logged as client_reset if nobody took the response.")
OPTION(LISTENER, h2, h2, ENUM, "auto", RELOAD,
       "http: clients that begin with HTTP/2 (prior knowledge). tunnel: the first request chooses "
       "the pool, and everything is forwarded as it comes: what later requests of the connection ask "
       "for, and whatever the listener does to HTTP/1, is not looked at. no: they get 505. auto: "
       "tunnel where routes look at the host and the client alone, and neither body_max nor an option "
       "that adds fields is set, and no elsewhere.",
       CHOICES(h2_mode_str))
OPTION(LISTENER, head_max, head_max, SIZE, "32K", RELOAD,
       "http: the largest head of a request (431) or response (502).",
       .min = 1 << 10, .max = 128 << 10)
OPTION(LISTENER, fields_max, fields_max, UINT, "128", RELOAD,
       "http: the most header fields in a head.",
       .min = 1, .max = 1000, .unit = "fields")
OPTION(LISTENER, body_max, body_max, SIZE, "0", RELOAD,
       "http: the largest body of a request (413). 0: no limit.",
       .min = 0, .max = UINT64_C(1) << 40)
OPTION(LISTENER, body_splice_min, body_splice_min, SIZE, "1M", RELOAD,
       "http: bodies, and chunks of bodies, of which this much is still to come are moved by the "
       "kernel; smaller ones are cheaper to copy.",
       .min = 1, .max = UINT64_C(1) << 40)
OPTION(LISTENER, underscores_in_headers, underscores_in_headers, BOOL, "no", RELOAD,
       "http: whether a request's fields with an underscore in the name go on to servers. Programs "
       "behind CGI, FastCGI or WSGI cannot tell X_Name from X-Name. What the listener itself writes "
       "or removes, it removes in every such spelling, whatever this says.")
OPTION(LISTENER, x_forwarded_for, x_forwarded_for, ENUM, "no", RELOAD,
       "http: tell servers the client's address in X-Forwarded-For. append keeps what the request "
       "says already, replace removes it.",
       CHOICES(forward_mode_str))
OPTION(LISTENER, x_forwarded_proto, x_forwarded_proto, BOOL, "no", RELOAD,
       "http: tell servers in X-Forwarded-Proto that the client used http.")
OPTION(LISTENER, forwarded, forwarded, ENUM, "no", RELOAD,
       "http: the client's address, the host it asked for and the protocol in Forwarded (RFC 7239).",
       CHOICES(forward_mode_str))
OPTION(LISTENER, via, via, TOKEN, "", RELOAD,
       "http: the name to add to Via in requests and responses. Empty: none.",
       .may_be_empty = true)
OPTION(LISTENER, request_id, request_id, FIELD, "", RELOAD,
       "http: the header field that is given a unique value in requests that have none, or an empty one, "
       "X-Request-Id for example. Of several the first goes on. Empty: none.",
       .may_be_empty = true)
OPTION(LISTENER, traceparent, traceparent, ENUM, "pass", RELOAD,
       "http: the trace that a request is of (W3C Trace Context). pass: traceparent and tracestate go on "
       "as they come. begin: a request without a valid traceparent begins a trace. replace: every one "
       "does, whatever the client says.",
       CHOICES(traceparent_mode_str))
OPTION(LISTENER, traceparent_sample, traceparent_sample, UINT, "100", RELOAD,
       "http: how many of the traces that begin here are marked to be recorded.",
       .min = 0, .max = 100, .unit = "percent")

OPTION(POOL, balance, balance, ENUM, "round_robin", RELOAD,
       "How a server is chosen: in turn, or the one with the fewest sessions; both by weight.",
       CHOICES(balance_str))
OPTION_LIST(POOL, server, servers, SERVERS, NULL, RELOAD,
       "A server of the pool. A HOST is looked up again and again, and each of its addresses is "
       "used. internal:hello is a small HTTP server inside the daemon.",
       .example = "demo internal:hello")
OPTION(POOL, connect_timeout, connect_timeout, DURATION, "5s", RELOAD,
       "How long a server may take to accept a connection. Addresses of one name share it: each that is "
       "tried has an equal part, but at least a second.",
       .min = NSEC_PER_MSEC, .max = 600 * NSEC_PER_SEC)
OPTION(POOL, retries, retries, UINT, "2", RELOAD,
       "How often another server is tried when a connection fails. All addresses of a server are tried "
       "before that, and count as one. Servers that are not passed over (see max_fails) are tried as "
       "often as need be while connect_timeout x (1 + retries) lasts, and one more when it is over: so "
       "this is the bound of the time, and of tries on servers that are passed over.",
       .min = 0, .max = 16, .unit = "attempts")
OPTION(POOL, max_fails, max_fails, UINT, "1", RELOAD,
       "Connections to a server that must fail within fail_timeout for it to be passed over: other "
       "servers, and at last backups, take its sessions. Each address of a name is judged for itself. "
       "Where nobody else is left, it is tried all the same. 0: nobody is passed over.",
       .min = 0, .max = 1000, .unit = "failures")
OPTION(POOL, fail_timeout, fail_timeout, DURATION, "10s", RELOAD,
       "The time in which max_fails are counted, and for which the server is then passed over. When it "
       "is over, one session tries the server again. If that succeeds, it is back; if not, the time "
       "doubles, up to eight times this.",
       .min = 10 * NSEC_PER_MSEC, .max = 86400 * NSEC_PER_SEC)
OPTION(POOL, all_down, all_down, ENUM, "try", RELOAD,
       "What becomes of sessions when every server of the pool, backups included, is passed over, because "
       "of max_fails or of checks. try: they try them all the same, for one that cannot be reached may be "
       "right again. refuse: they are refused at once (HTTP: 503).",
       CHOICES(all_down_str))
OPTION(POOL, slow_start, slow_start, DURATION, "0", RELOAD,
       "A server's address that is back begins with a tenth of its turns, and has all of them after this "
       "time; so does the server's weight, if all of its addresses were away. 0: at once.",
       .min = 0, .max = 86400 * NSEC_PER_SEC)
OPTION(POOL, health_check, health_check, ENUM, "none", RELOAD,
       "Have each address of each server checked, whether there are sessions or not. tcp: it can be "
       "connected. http: GET of health_path is answered with one of health_status. tls: a ClientHello is "
       "answered with a ServerHello. A server that fails health_fall checks in a row gets no sessions "
       "until health_rise in a row have passed. With send_proxy a check begins with a header, too: one "
       "that speaks for the daemon itself (LOCAL, UNKNOWN).",
       CHOICES(health_check_str))
OPTION(POOL, health_path, health_path, TARGET, "/", RELOAD,
       "What is asked for, with health_check = http.")
OPTION(POOL, health_host, health_host, AUTHORITY, "", RELOAD,
       "The Host that is asked for, with health_check = http, and the server name, with tls. Empty: the "
       "server's address as it is written; with tls none, where that is not a name.",
       .may_be_empty = true)
OPTION(POOL, health_status, health_status, STATUSES, "200-399", RELOAD,
       "The statuses that are well, with health_check = http.")
OPTION(POOL, health_interval, health_interval, DURATION, "2s", RELOAD,
       "From the beginning of one check of an address to that of the next; each time it is between 90 % "
       "and 110 % of this, so that servers are not checked all at once.",
       .min = 10 * NSEC_PER_MSEC, .max = 86400 * NSEC_PER_SEC)
OPTION(POOL, health_timeout, health_timeout, DURATION, "2s", RELOAD,
       "How long a check may take, from connecting to the answer.",
       .min = 10 * NSEC_PER_MSEC, .max = 600 * NSEC_PER_SEC)
OPTION(POOL, health_rise, health_rise, UINT, "2", RELOAD,
       "Checks that must pass in a row for a server to be back. The very first check decides alone.",
       .min = 1, .max = 1000, .unit = "checks")
OPTION(POOL, health_fall, health_fall, UINT, "3", RELOAD,
       "Checks that must fail in a row for a server to be down.",
       .min = 1, .max = 1000, .unit = "checks")

OPTION(POOL, source, source, ENUM, "own", RELOAD,
       "From whose address connections to servers are made, checks aside. client: from that of the client, as a "
       "PROXY header or its connection says it, with a port of this host's choice. Needs CAP_NET_RAW or "
       "CAP_NET_ADMIN, and a way back through this host. A client of IPv4 can have no server of IPv6, nor one of "
       "IPv6 a server of IPv4. Clients without an address that means anything at the server, those "
       "of unix sockets, and those of loopback where the server is elsewhere, have this host's.",
       CHOICES(pool_source_str), .where = offsetof(struct pool_config, source_where))
OPTION(POOL, send_proxy, send_proxy, ENUM, "no", RELOAD,
       "Begin each connection to a server with a header of the PROXY protocol that tells it the "
       "client's address; with v2 also the name and protocol that a TLS client asked for, and a "
       "unique id.",
       CHOICES(proxy_send_str))
OPTION(POOL, tcp_keepalive, tcp_keepalive, KEEPALIVE, "auto", RELOAD,
       "The same of the servers as the listeners' tcp_keepalive of clients. auto: yes where the session's "
       "listener allows such a silence, or keepalive_timeout does.")
OPTION(POOL, keepalive, keepalive, UINT, "64", RELOAD,
       "Connections to each server that each worker keeps for later HTTP requests. 0: none.",
       .min = 0, .max = 65536, .unit = "connections")
OPTION(POOL, keepalive_timeout, keepalive_timeout, DURATION, "30s", RELOAD,
       "How long such a connection is kept. Should be less than the server keeps it.",
       .min = 100 * NSEC_PER_MSEC, .max = 86400 * NSEC_PER_SEC)
OPTION(POOL, reuse, reuse, ENUM, "safe", RELOAD,
       "Whose HTTP requests may go on a connection that was kept. never: those of the client that "
       "used it before. safe: all but the first one of a client's connection, and that one as well "
       "if it may be sent again should the server close at that moment. always: all.",
       CHOICES(reuse_str))

OPTION(INTERCEPT, cgroup, cgroup, FOLDER, NULL, RESTART,
       "The folder of a cgroup (v2): connects of the programs in it, and in those below it, are looked at. "
       "self: that of the daemon. pod: that of its pod, the nearest above it that Kubernetes or podman has "
       "named after one, or else the one directly above. What spliced itself connects is never intercepted.",
       .word = INTERCEPT_SELF, .other_word = INTERCEPT_POD, .example = "/sys/fs/cgroup/app.slice")
OPTION_LIST(INTERCEPT, outbound, outbound, DESTINATIONS, NULL, RESTART,
       "Which TCP connects are intercepted: by port, by network, or by both. Ports alone are those of "
       "every address, those of this host among them.",
       .example = "80, 443")
OPTION_LIST(INTERCEPT, except, except, DESTINATIONS, "", RESTART,
       "Which are not, even so.",
       .may_be_empty = true)
OPTION(INTERCEPT, listener, listener, LISTENER, NULL, RELOAD,
       "Where they go: a listener with an address of IPv4 for connects by IPv4, and one of IPv6 for those "
       "by IPv6. server = NAME original: is where they were to go.",
       .example = "web", .where = offsetof(struct intercept_config, listener_where))
OPTION(INTERCEPT, intercept, intercept, ENUM, "while_ready", RESTART,
       "What becomes of a connect that cannot be intercepted. while_ready: it goes where it was to go; so it "
       "does while nobody accepts, and where this host cannot intercept at all. require: it is refused, and "
       "the daemon does not start without.",
       CHOICES(intercept_mode_str))
OPTION(INTERCEPT, whole_host, whole_host, BOOL, "no", RESTART,
       "Whether cgroup may be the root of all, and thereby every program of this host.")

OPTION(SERVER, weight, weight, UINT, "1", RELOAD,
       "the server's share, relative to the others",
       .min = 1, .max = 256)
OPTION(SERVER, max_sessions, max_sessions, UINT, "0", RELOAD,
       "sessions at the same time; 0: no limit",
       .min = 0, .max = 1048576)
OPTION(SERVER, backup, backup, BOOL, "no", RELOAD,
       "used only while no other server can be")
