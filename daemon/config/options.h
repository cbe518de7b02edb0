/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * THE option table. Add a row here and a field in config.h; nothing else knows an option.
 * Included several times, so there is no include guard.
 *
 *   OPTION(section, key, field, type, default, reload, help, ...)
 *   OPTION_LIST(...)   the same; the field's length is n_FIELD. The key may be written on several
 *                      lines, and all but `server` take several values in one line.
 *
 * The rest of a row are designated initializers of struct option: .min and .max in the field's
 * unit (ns, bytes), .word (allowed besides the numbers) and its .word_value, .unit, CHOICES(), ...
 * A default of NULL means that the option must be written.
 */
/* clang-format off */

OPTION(SPLICED, workers, workers, UINT, "auto", RESTART,
       "Worker threads. auto is one for each CPU the process may run on.",
       .min = 1, .max = 256, .word = "auto", .word_value = 0, .unit = "threads")
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
       "The unix socket that splicectl talks to. none: no such socket.",
       .word = "none")
OPTION(SPLICED, log_target, log_target, ENUM, "auto", RELOAD,
       "Where log lines go. auto is the journal when standard error is connected to it, and "
       "standard error otherwise.",
       CHOICES(log_target_choices))
OPTION(SPLICED, log_level, log_level, ENUM, "info", RELOAD,
       "The least important messages that are still logged.",
       CHOICES(log_level_choices))
OPTION(SPLICED, access_log, access_log, BOOL, "yes", RELOAD,
       "Log one line at the end of each session, whatever log_level is.")
OPTION(SPLICED, user, user, USER, "spliced", RESTART,
       "The user the daemon gives up root for once everything is set up. It must exist if it is "
       "written here; if it is not and there is no user of the default's name, the daemon stays "
       "who it is and drops its capabilities. Empty keeps the user.",
       .may_be_empty = true, .where = offsetof(struct config, user_where))
OPTION(SPLICED, shutdown_grace, shutdown_grace, DURATION, "30s", RESTART,
       "How long sessions may go on after SIGTERM before they are closed. A second SIGTERM closes "
       "them at once.",
       .min = 0, .max = 86400 * NSEC_PER_SEC)
OPTION_LIST(SPLICED, nameserver, nameservers, NAMESERVERS, "", RESTART,
       "DNS servers for the host names of servers; the port is 53 unless given. Empty: those of "
       "/etc/resolv.conf.",
       .may_be_empty = true)
OPTION(SPLICED, engage_after, engage_after, DURATION, "10ms", RESTART,
       "How old a session is before its bytes are handed to the kernel. Sessions that are over "
       "sooner are cheaper to copy.",
       .min = 0, .max = 10 * NSEC_PER_SEC)
OPTION(SPLICED, splice_high, splice_high, SIZE, "1M", RESTART,
       "Bytes that may wait in the kernel to be sent to a slow receiver before its sender is "
       "paused. Must be more than splice_low.",
       .min = 64 << 10, .max = 1 << 30)
OPTION(SPLICED, splice_low, splice_low, SIZE, "512K", RESTART,
       "A paused sender goes on when no more than this still waits.",
       .min = 64 << 10, .max = 1 << 30)
OPTION(SPLICED, splice_hard, splice_hard, SIZE, "16M", RESTART,
       "From this many waiting bytes on, the kernel hands what still comes in back to the daemon: "
       "the bound of a session's memory when the daemon is too busy to pause its sender in time. "
       "Must be more than splice_high.",
       .min = 64 << 10, .max = 1 << 30)
OPTION(SPLICED, splice_window, splice_window, SIZE, "2M", RESTART,
       "The receive window a spliced socket offers to its sender, and what a paused sender may "
       "still have sent. A long path needs its bandwidth times its round-trip time.",
       .min = 64 << 10, .max = 16 << 20)
OPTION(SPLICED, local_congestion, local_congestion, ENUM, "reno", RESTART,
       "TCP congestion control of connections over the loopback. There is nothing to probe there, "
       "and an algorithm that paces (bbr) costs up to a third of the throughput. system: what "
       "net.ipv4.tcp_congestion_control says, as for all other connections.",
       CHOICES(local_congestion_choices))
OPTION(SPLICED, numa_node, numa_node, UINT, "any", RESTART,
       "The NUMA node on which the kernel's tables are allocated.",
       .min = 0, .max = 1023, .word = "any", .word_value = UINT64_MAX)

OPTION_LIST(LISTENER, bind, binds, BINDS, NULL, RESTART,
       "Where to accept clients. Port 0 lets the kernel choose one.",
       .example = "127.0.0.1:8080")
OPTION(LISTENER, protocol, protocol, ENUM, "tcp", RESTART,
       "What is read from a client before a server is dialled. tcp: nothing.",
       CHOICES(protocol_str))
OPTION(LISTENER, pool, pool, NAME, NULL, RESTART,
       "The pool whose servers get the sessions.",
       .example = "hello", .where = offsetof(struct listener_config, pool_where))
OPTION_LIST(LISTENER, allow, allow, CIDRS, "", RESTART,
       "Who may connect: networks, addresses, or the word unix for clients of a unix socket. "
       "Empty: everyone who is not denied.",
       .may_be_empty = true)
OPTION_LIST(LISTENER, deny, deny, CIDRS, "", RESTART,
       "Who may not connect, even if allowed.",
       .may_be_empty = true)
OPTION(LISTENER, max_sessions, max_sessions, UINT, "0", RESTART,
       "Sessions of this listener at the same time. 0: only the global limit.",
       .min = 0, .max = 1048576, .unit = "sessions")
OPTION(LISTENER, backlog, backlog, UINT, "4096", RESTART,
       "Connections that may wait to be accepted. The kernel caps it at net.core.somaxconn.",
       .min = 1, .max = 65535, .unit = "connections")
OPTION(LISTENER, unix_mode, unix_mode, MODE, "0666", RESTART,
       "The permissions of a unix socket that is bound.",
       .min = 0, .max = 0777)
OPTION(LISTENER, idle_timeout, idle_timeout, DURATION, "10m", RESTART,
       "Close a session in which no byte has moved for this long. 0: never.",
       .min = 0, .max = 30 * 86400 * NSEC_PER_SEC)
OPTION(LISTENER, half_close_timeout, half_close_timeout, DURATION, "1m", RESTART,
       "The same once one side has ended its stream. 0: idle_timeout only.",
       .min = 0, .max = 30 * 86400 * NSEC_PER_SEC)

OPTION(POOL, balance, balance, ENUM, "round_robin", RESTART,
       "How a server is chosen: in turn, or the one with the fewest sessions; both by weight.",
       CHOICES(balance_str))
OPTION_LIST(POOL, server, servers, SERVERS, NULL, RESTART,
       "A server of the pool. A HOST is looked up again and again, and each of its addresses is "
       "used. internal:hello is a small HTTP server inside the daemon.",
       .example = "demo internal:hello")
OPTION(POOL, connect_timeout, connect_timeout, DURATION, "5s", RESTART,
       "How long a server may take to accept a connection.",
       .min = NSEC_PER_MSEC, .max = 600 * NSEC_PER_SEC)
OPTION(POOL, retries, retries, UINT, "2", RESTART,
       "How often another server, or another address of a server, is tried when a connection fails.",
       .min = 0, .max = 16, .unit = "attempts")

OPTION(SERVER, weight, weight, UINT, "1", RESTART,
       "the server's share, relative to the others",
       .min = 1, .max = 256)
OPTION(SERVER, max_sessions, max_sessions, UINT, "0", RESTART,
       "sessions at the same time; 0: no limit",
       .min = 0, .max = 1048576)
OPTION(SERVER, backup, backup, BOOL, "no", RESTART,
       "used only while no other server can be")
