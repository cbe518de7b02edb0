# SPDX-License-Identifier: GPL-2.0-or-later
"""What is told: the tables and charts, and which measurements are in them."""

from dataclasses import dataclass

BASE = "haproxy-splice"
DIRECT = "direct"
OBSERVED = "spliced-kernel"  # without being observed


@dataclass(frozen=True)
class Section:
    """One table, and one chart."""

    name: str  # of the chart's file
    title: str
    unit: str
    better: str  # "more" or "less"
    field: str
    rows: list  # of (label, measurement)
    base: str = BASE  # the target whose multiples the others are given as


def _echo_rows(start):
    return [(f"{count} connection{'s' if count > 1 else ''}", f"{start}-{count}")
            for count in (1, 16, 256)]


STREAMS = [("1 stream up", "up-1"), ("8 streams up", "up-8"),
           ("1 stream down", "down-1"), ("8 streams down", "down-8")]
CONNRATE = [("connect, 64 B, close", "connrate")]
HELD = [("idle session", "idle")]
GETS = [("16 connections", "http-get-16"), ("256 connections", "http-get-256")]
BODIES = [("1 MiB, 8 connections", "http-1m-8"), ("100 MiB, 8 connections", "http-100m-8")]
HTTP_HELD = [("idle connection", "http-idle")]
TLS_CONNRATE = [("connect, hello, close", "tls-connrate")]
TLS_STREAMS = [("8 streams up", "tls-up-8"), ("8 streams down", "tls-down-8")]
LOCAL_ECHO = _echo_rows("local-echo64")
LOCAL_STREAMS = [(f"{count} stream{'s' if count > 1 else ''}, writes of {size}",
                  f"local-up{name}-{count}")
                 for name, size in (("64k", "64 KiB"), ("1000", "1000 B")) for count in (1, 8)]
LOCAL_CONNRATE = [("connect, 64 B, close", "local-connrate")]
REDIS = [(f"{count} client{'s' if count > 1 else ''}{depth}", f"local-redis-{count}-{name}")
         for name, depth in (("p1", ""), ("p16", ", -P 16")) for count in (1, 50)]
PGBENCH = [(f"{count} client{'s' if count > 1 else ''}", f"local-pgbench-{count}")
           for count in (1, 16)]
OBSERVED_GETS = [(f"{count} connections", f"observe-get-{count}") for count in (16, 256)]
OBSERVED_CONNRATE = [("connect, 64 B, close", "observe-connrate")]

SIDECAR_ECHO = _echo_rows("sidecar-echo64")
SIDECAR_STREAMS = [("1 stream up", "sidecar-up-1"), ("8 streams up", "sidecar-up-8")]
SIDECAR_CONNRATE = [("connect, 64 B, close", "sidecar-connrate")]

SECTIONS = (
    Section("requests-64", "64 B echo", "requests/s", "more", "per_s", _echo_rows("echo64")),
    Section("requests-64-p50", "64 B echo, p50 latency", "µs", "less", "p50_us",
            _echo_rows("echo64")),
    Section("requests-64-p99", "64 B echo, p99 latency", "µs", "less", "p99_us",
            _echo_rows("echo64")),
    Section("requests-64-cpu", "64 B echo, CPU", "CPU s per 100 k requests", "less",
            "cpu_s_per_100k", _echo_rows("echo64")),
    Section("requests-16k", "16 KiB echo", "requests/s", "more", "per_s", _echo_rows("echo16k")),
    Section("requests-16k-p50", "16 KiB echo, p50 latency", "µs", "less", "p50_us",
            _echo_rows("echo16k")),
    Section("requests-16k-p99", "16 KiB echo, p99 latency", "µs", "less", "p99_us",
            _echo_rows("echo16k")),
    Section("requests-16k-cpu", "16 KiB echo, CPU", "CPU s per 100 k requests", "less",
            "cpu_s_per_100k", _echo_rows("echo16k")),
    Section("throughput", "Streams", "Gbit/s", "more", "gbit_s", STREAMS),
    Section("throughput-cpu", "Streams, CPU", "CPU s per GB", "less", "cpu_s_per_gb", STREAMS),
    Section("connections", "New connections", "connections/s", "more", "per_s", CONNRATE),
    Section("connections-p99", "New connections, p99 latency", "µs", "less", "p99_us", CONNRATE),
    Section("connections-cpu", "New connections, CPU", "CPU s per 100 k connections", "less",
            "cpu_s_per_100k", CONNRATE),
    Section("memory-rss", "Memory of the proxy (Rss)", "bytes per idle session", "less",
            "rss_per_session", HELD),
    Section("memory-pss", "Memory of the proxy (Pss)", "bytes per idle session", "less",
            "pss_per_session", HELD),
    Section("memory-machine", "Memory of the machine, with sockets, client and backend",
            "bytes per idle session", "less", "machine_per_session", HELD),
    Section("http-requests", "HTTP GET of 64 B", "requests/s", "more", "per_s", GETS),
    Section("http-requests-p50", "HTTP GET of 64 B, p50 latency", "µs", "less", "p50_us", GETS),
    Section("http-requests-p99", "HTTP GET of 64 B, p99 latency", "µs", "less", "p99_us", GETS),
    Section("http-requests-cpu", "HTTP GET of 64 B, CPU", "CPU s per 100 k requests", "less",
            "cpu_s_per_100k", GETS),
    Section("http-bodies", "HTTP response bodies", "Gbit/s", "more", "gbit_s", BODIES),
    Section("http-bodies-cpu", "HTTP response bodies, CPU", "CPU s per GB", "less", "cpu_s_per_gb",
            BODIES),
    Section("http-memory-rss", "Memory of the HTTP proxy (Rss)", "bytes per idle connection",
            "less", "rss_per_session", HTTP_HELD),
    Section("http-memory-pss", "Memory of the HTTP proxy (Pss)", "bytes per idle connection",
            "less", "pss_per_session", HTTP_HELD),
    Section("tls-connections", "TLS routed by SNI: new connections", "connections/s", "more",
            "per_s", TLS_CONNRATE),
    Section("tls-connections-p99", "TLS routed by SNI: new connections, p99 latency", "µs", "less",
            "p99_us", TLS_CONNRATE),
    Section("tls-connections-cpu", "TLS routed by SNI: new connections, CPU",
            "CPU s per 100 k connections", "less", "cpu_s_per_100k", TLS_CONNRATE),
    Section("tls-throughput", "TLS routed by SNI: streams", "Gbit/s", "more", "gbit_s",
            TLS_STREAMS),
    Section("tls-throughput-cpu", "TLS routed by SNI: streams, CPU", "CPU s per GB", "less",
            "cpu_s_per_gb", TLS_STREAMS),
    Section("local-requests", "On one host: 64 B echo", "requests/s", "more", "per_s",
            LOCAL_ECHO, DIRECT),
    Section("local-requests-p50", "On one host: 64 B echo, p50 latency", "µs", "less", "p50_us",
            LOCAL_ECHO, DIRECT),
    Section("local-requests-p99", "On one host: 64 B echo, p99 latency", "µs", "less", "p99_us",
            LOCAL_ECHO, DIRECT),
    Section("local-throughput", "On one host: streams up", "Gbit/s", "more", "gbit_s",
            LOCAL_STREAMS, DIRECT),
    Section("local-throughput-cpu", "On one host: streams up, CPU of the machine", "CPU s per GB",
            "less", "cpu_s_per_gb", LOCAL_STREAMS, DIRECT),
    Section("local-throughput-proxy-cpu",
            "On one host: streams up, CPU of the proxy without kernel threads", "CPU s per GB",
            "less", "proxy_cpu_s_per_gb", LOCAL_STREAMS, DIRECT),
    Section("local-connections", "On one host: new connections", "connections/s", "more", "per_s",
            LOCAL_CONNRATE, DIRECT),
    Section("local-redis", "redis-benchmark, GET of 64 B", "requests/s", "more", "per_s", REDIS,
            DIRECT),
    Section("local-redis-p99", "redis-benchmark, GET of 64 B, p99 latency", "µs", "less",
            "p99_us", REDIS, DIRECT),
    Section("local-pgbench", "pgbench, prepared SELECT", "transactions/s", "more", "per_s",
            PGBENCH, DIRECT),
    Section("local-pgbench-mean", "pgbench, prepared SELECT, mean latency", "µs", "less",
            "mean_us", PGBENCH, DIRECT),
    Section("sidecar-requests", "Sidecars: 64 B echo", "requests/s", "more", "per_s",
            SIDECAR_ECHO),
    Section("sidecar-requests-p50", "Sidecars: 64 B echo, p50 latency", "µs", "less", "p50_us",
            SIDECAR_ECHO),
    Section("sidecar-requests-p99", "Sidecars: 64 B echo, p99 latency", "µs", "less", "p99_us",
            SIDECAR_ECHO),
    Section("sidecar-requests-cpu", "Sidecars: 64 B echo, CPU", "CPU s per 100 k requests",
            "less", "cpu_s_per_100k", SIDECAR_ECHO),
    Section("sidecar-throughput", "Sidecars: streams", "Gbit/s", "more", "gbit_s",
            SIDECAR_STREAMS),
    Section("sidecar-throughput-cpu", "Sidecars: streams, CPU", "CPU s per GB", "less",
            "cpu_s_per_gb", SIDECAR_STREAMS),
    Section("sidecar-connections", "Sidecars: new connections", "connections/s", "more", "per_s",
            SIDECAR_CONNRATE),
    Section("observed-requests", "HTTP GET of 64 B, with access log and metrics", "requests/s",
            "more", "per_s", OBSERVED_GETS, OBSERVED),
    Section("observed-requests-cpu", "HTTP GET of 64 B, with access log and metrics, CPU",
            "CPU s per 100 k requests", "less", "cpu_s_per_100k", OBSERVED_GETS, OBSERVED),
    Section("observed-connections", "New connections, with access log and metrics",
            "connections/s", "more", "per_s", OBSERVED_CONNRATE, OBSERVED),
    Section("observed-connections-cpu", "New connections, with access log and metrics, CPU",
            "CPU s per 100 k connections", "less", "cpu_s_per_100k", OBSERVED_CONNRATE, OBSERVED),
)
