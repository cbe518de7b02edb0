# SPDX-License-Identifier: GPL-2.0-or-later
"""Every way to move bytes and to end, as the load tool's options."""

# One direction is long, and its receiver ends its own stream last: as downloads and uploads do.
# (Where the receiver ends first, the rest is copied: the kernel cannot move what is half-closed.)
DOWNLOAD = ("--half-close", "server", "--concurrent")
UPLOAD = ("--half-close", "client", "--concurrent")

# Each scenario is a test: the load tool's options, and which part of the bytes the kernel engine
# must have moved itself (0: the sessions are too short to say). That it was at work, no more: how
# much it moves is a matter of the machine's load.
SCENARIOS = {
    "hundred_sessions": (0.05, "--sessions", 100, "--bytes-up", "2M", "--bytes-down", "3M"),
    "echo": (0.05, "--sessions", 20, "--echo", "--bytes-up", "4M"),
    "pingpong_small": (0.05, "--sessions", 16, "--pingpong", 64, 1000),
    "pingpong_large": (0.05, "--sessions", 4, "--pingpong", "100K", 100),
    "pauses": (0.05, "--sessions", 50, "--pause", "0.2:10-3000"),
    "one_byte_writes": (0.05, "--sessions", 4, "--one-byte", "--bytes-up", "20K",
                        "--bytes-down", "20K"),
    "server_first": (0.05, "--sessions", 20, "--server-first"),
    "only_up": (0.05, "--sessions", 20, "--bytes-down", 0, "--bytes-up", "3M", *UPLOAD),
    "only_down": (0.05, "--sessions", 20, "--bytes-up", 0, "--bytes-down", "3M", *DOWNLOAD),
    "only_up_other_end_early": (0, "--sessions", 20, "--bytes-down", 0, "--bytes-up", "3M"),
    "only_down_other_end_early": (0, "--sessions", 20, "--bytes-up", 0, "--bytes-down", "3M"),
    "short_sessions": (0, "--sessions", 2000, "--concurrency", 50, "--bytes-up", 200,
                       "--bytes-down", 2000),
    "tiny_buffers": (0.05, "--sessions", 10, "--rcvbuf", 4096, "--sndbuf", 4096,
                     "--bytes-up", "300K", "--bytes-down", "300K"),
    # Bytes that are there before the session is: the kernel sees no segment for them.
    "early_data_small": (0, "--sessions", 50, "--early-data", "--bytes-up", 100),
    "early_data_big": (0.1, "--sessions", 20, "--early-data", "--bytes-up", "8M"),
    "early_data_and_end": (0, "--sessions", 50, "--early-data", "--bytes-up", "30K",
                           "--half-close", "client", "--bytes-down", "100K"),
    # Readers that do not keep up: pauses, resumes, and the hard mark.
    "slow_client": (0.05, "--sessions", 8, "--slow-reader", "client", "8M", "--bytes-down", "12M",
                    *DOWNLOAD),
    "slow_server": (0.05, "--sessions", 8, "--slow-reader", "server", "8M", "--bytes-up", "12M",
                    *UPLOAD),
    "slow_client_other_end_early": (0, "--sessions", 8, "--slow-reader", "client", "8M",
                                    "--bytes-down", "12M"),
    "slow_server_other_end_early": (0, "--sessions", 8, "--slow-reader", "server", "8M",
                                    "--bytes-up", "12M"),
    "slow_both": (0, "--sessions", 8, "--slow-reader", "both", "4M", "--bytes-up", "6M",
                  "--bytes-down", "6M"),
    "sleeping_client": (0.05, "--sessions", 4, "--sleep-reader", "client", "1M", 1.5,
                        "--bytes-down", "40M", *DOWNLOAD),
    "sleeping_server": (0.05, "--sessions", 4, "--sleep-reader", "server", "1M", 1.5,
                        "--bytes-up", "40M", *UPLOAD),
    "sleeping_from_the_start": (0.05, "--sessions", 4, "--sleep-reader", "client", 0, 1,
                                "--bytes-down", "20M", *DOWNLOAD),
    # Ends: one side first, the other going on; bytes in flight when the end comes.
    "half_close_client": (0, "--sessions", 20, "--half-close", "client"),
    "half_close_server": (0, "--sessions", 20, "--half-close", "server"),
    # What the other side still sends after the end is copied: on a busy machine that is nearly all.
    "half_close_client_concurrent": (0.01, "--sessions", 20, "--half-close", "client",
                                     "--concurrent", "--bytes-up", "4M", "--bytes-down", "4M"),
    "half_close_server_concurrent": (0.01, "--sessions", 20, "--half-close", "server",
                                     "--concurrent", "--bytes-up", "4M", "--bytes-down", "4M"),
    "half_close_with_backlog_up": (0.01, "--sessions", 8, "--half-close", "client", "--concurrent",
                                   "--slow-reader", "server", "6M", "--bytes-up", "8M"),
    "half_close_with_backlog_down": (0.01, "--sessions", 8, "--half-close", "server",
                                     "--concurrent", "--slow-reader", "client", "6M",
                                     "--bytes-down", "8M"),
    "half_close_while_asleep": (0, "--sessions", 8, "--half-close", "client", "--concurrent",
                                "--sleep-reader", "server", 1000, 1, "--bytes-up", "6M"),
    "end_after_pause": (0.05, "--sessions", 20, "--fin-delay", 50),
    "close_without_half_close": (0.05, "--sessions", 20, "--half-close", "none"),
    # Resets pass as resets, and what came before is a right prefix.
    "reset_by_client": (0, "--sessions", 20, "--rst", "client", "1M"),
    "reset_by_server": (0, "--sessions", 20, "--rst", "server", "1M"),
    "reset_at_start": (0, "--sessions", 20, "--rst", "client", 16),
    "reset_of_slow_reader": (0, "--sessions", 10, "--rst", "client", "2M", "--bytes-up", 16,
                             "--bytes-down", "20M", "--slow-reader", "client", "2M"),
    "reset_of_sleeping_server": (0, "--sessions", 10, "--rst", "server", "3M", "--bytes-up", "20M",
                                 "--sleep-reader", "server", "1M", 0.7),
}
