# SPDX-License-Identifier: GPL-2.0-or-later
"""What the proxies are configured with, by group.

Each runs with what was best for it here. 64 KiB buffers gave HAProxy up to half more stream
throughput (also with splice, and for HTTP bodies) and nginx streams a third; more or larger pipes
gave nothing, nor did one listening socket for all of nginx's workers instead of one each
(reuseport). HTTP and TLS are routed by the name that the client asks for.
"""

from probes import HOST

# What the proxies are configured for in each group of measurements.
PROTOCOLS = {"tcp": "tcp", "http": "http", "tls": "tls",
             "local": "tcp", "local-redis": "tcp", "local-pgbench": "tcp",
             "sidecar": "tcp", "observe-http": "http", "observe-tcp": "tcp"}
LOCAL = tuple(group for group in PROTOCOLS if group.startswith("local"))
OBSERVE = tuple(group for group in PROTOCOLS if group.startswith("observe"))
SIDECAR = ("sidecar",)
PLAIN = tuple(group for group in PROTOCOLS if group not in SIDECAR + OBSERVE)

_HAPROXY_GLOBAL = """\
global
    nbthread 2
    maxconn {sessions}
{tuning}
defaults
    maxconn {sessions}
    timeout connect 10s
    timeout client 1h
    timeout server 1h
{option}
"""

HAPROXY = {
    "tcp": _HAPROXY_GLOBAL + """\
    mode tcp
listen b
    bind 127.0.0.1:{port} backlog 4096
    server a 127.0.0.1:{backend}
""",
    "http": _HAPROXY_GLOBAL + f"""\
    mode http
    http-reuse always
    timeout http-request 10s
    timeout http-keep-alive 1h
frontend f
    bind 127.0.0.1:{{port}} backlog 4096
    use_backend b if {{{{ req.hdr(host) -m str {HOST} }}}}
backend b
    server a 127.0.0.1:{{backend}}
""",
    "tls": _HAPROXY_GLOBAL + f"""\
    mode tcp
frontend f
    bind 127.0.0.1:{{port}} backlog 4096
    tcp-request inspect-delay 5s
    tcp-request content accept if {{{{ req.ssl_hello_type 1 }}}}
    use_backend b if {{{{ req.ssl_sni -m str {HOST} }}}}
backend b
    server a 127.0.0.1:{{backend}}
""",
}

_NGINX_GLOBAL = """\
{module}
worker_processes 2;
daemon off;
user root;
pid {directory}/nginx.pid;
error_log stderr crit;
events {{ worker_connections {connections}; }}
"""

NGINX = {
    "tcp": _NGINX_GLOBAL + """\
stream {{
    access_log off;
    server {{
        listen 127.0.0.1:{port} backlog=4096 reuseport;
        proxy_pass 127.0.0.1:{backend};
        proxy_buffer_size 64k;
        proxy_timeout 1h;
    }}
}}
""",
    # The least CPU for bodies of 1 and 100 MiB, and none more for small ones; buffering would
    # use temporary files. A connection would end after 1000 requests by default.
    "http": _NGINX_GLOBAL + f"""\
http {{{{
    access_log off;
    keepalive_timeout 1h;
    keepalive_requests 1000000000;
    upstream b {{{{
        server 127.0.0.1:{{backend}};
        keepalive 256;
        keepalive_timeout 1h;
        keepalive_requests 1000000000;
    }}}}
    server {{{{
        listen 127.0.0.1:{{port}} backlog=4096 reuseport;
        server_name {HOST};
        location / {{{{
            proxy_pass http://b;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
            proxy_buffer_size 256k;
            proxy_buffers 8 256k;
            proxy_busy_buffers_size 512k;
            proxy_read_timeout 1h;
        }}}}
    }}}}
}}}}
""",
}

# ---- with a log line for each session or request, and figures to be fetched --------------------

# To its standard output, which is a file: what costs it least.
HAPROXY_LOG = {"tcp": "    log stdout format raw local0\n    option tcplog",
               "http": "    log stdout format raw local0\n    option httplog"}
HAPROXY_METRICS = """
frontend metrics
    mode http
    bind 127.0.0.1:{port}
    no log
    http-request use-service prometheus-exporter if {{ path /metrics }}
"""
NGINX_LOG = {
    "tcp": """log_format line '$remote_addr [$time_local] $protocol $status $bytes_sent '
                   '$bytes_received $session_time "$upstream_addr"';
    access_log {directory}/access.log line;""",
    "http": "access_log {directory}/access.log combined;"}
NGINX_METRICS = """
http {{
    access_log off;
    server {{
        listen 127.0.0.1:{port};
        location /metrics {{ stub_status; }}
    }}
}}
"""

SNIPROXY = f"""\
user root
pidfile {{directory}}/sniproxy.pid
error_log {{{{
    filename {{directory}}/error.log
    priority notice
}}}}
listen 127.0.0.1:{{port}} {{{{
    proto tls
    table names
}}}}
table names {{{{
    {HOST} 127.0.0.1:{{backend}}
}}}}
"""

_SPLICED_GLOBAL = """\
[spliced]
engine = {engine}
workers = 2
control = {directory}/ctl.sock
access_log = no
user =
max_sessions = {sessions}
{options}

[pool p]
server = a 127.0.0.1:{backend}
"""

SPLICED = {
    "tcp": _SPLICED_GLOBAL + """
[listener b]
bind = 127.0.0.1:0
pool = p
{listener}
""",
    "http": _SPLICED_GLOBAL + f"""\
keepalive = 256
keepalive_timeout = 1h

[listener b]
bind = 127.0.0.1:0
protocol = http
route = host:{HOST} -> p
keepalive_timeout = 1h
{{listener}}
""",
    "tls": _SPLICED_GLOBAL + f"""
[listener b]
bind = 127.0.0.1:0
protocol = tls
route = sni:{HOST} -> p
{{listener}}
""",
}

# On the client's side: it asks for the backend, and is intercepted.
SPLICED_INTERCEPT = SPLICED["tcp"].replace(
    "server = a 127.0.0.1:{backend}", "server = any original:").replace(
    "bind = 127.0.0.1:0", "bind = 127.0.0.1:0\nbind = [::1]:0") + """
[intercept i]
cgroup = {cgroup}
outbound = {backend}
listener = b
"""
# On the server's side, at an address where it can be taken for the server.
SPLICED_SERVER = SPLICED["tcp"].replace(
    "bind = 127.0.0.1:0", "bind = 0.0.0.0:0\nallow = 127.0.0.1, {host}")
