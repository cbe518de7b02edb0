# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs that everybody knows, with every request on its own."""

import os
import random
import re
import subprocess

from lib import case, pattern, programs, tls, wait_until
from lib.http import proxy, request_log, wait_requests
from lib.pattern import MIB
from lib.sniffing import Recorder
from lib.traffic import check_kernel_share

AT_DEBUG = False


def curl(*options, timeout=60, input=None):
    """What curl prints; it must succeed."""
    return programs.run_bytes(programs.find("curl"), "-sS", "--fail", "--max-time",
                              programs.scaled(timeout), *options, timeout=timeout + 10, input=input)


def files(env, *sizes):
    """Files 0, 1, ... of these sizes in the directory that nginx serves; their hashes."""
    (env.tmp / "www").mkdir(exist_ok=True)
    return [pattern.write_file(env.tmp / "www" / str(number), size, number)
            for number, size in enumerate(sizes)]


def http_proxy(env, server, protocol="http", **listener):
    """A daemon in front of one server."""
    return proxy(env, server.address, {"protocol": protocol, **listener})


def statuses(daemon):
    """{status: how often} of all requests."""
    found = [line["status"] for line in request_log(daemon)]
    return {status: found.count(status) for status in set(found)}


# ---- curl and nginx ----------------------------------------------------------------------------

@case(timeout=60)
def test_curl_versions(env):
    """HTTP/1.0 and 1.1, several requests on a connection, HEAD, ranges, and what is not there."""
    wanted = files(env, 100_000, 0, 3_000_000)
    with programs.Nginx(env) as nginx:
        daemon = http_proxy(env, nginx)
        url = f"http://{daemon.address()}"
        for options in (("--http1.0",), ("--http1.1",), ("--http1.0", "--keepalive-time", 5),
                        ("--http1.1", "-H", "Connection: close")):
            for number in range(3):
                curl(*options, "-o", env.tmp / "got", f"{url}/{number}")
                assert pattern.sha256_file(env.tmp / "got") == wanted[number], (options, number)
        said = curl("-w", "%{num_connects} %{http_code} %{http_version}\n",
                    *(word for number in range(3) for word in
                      ("-o", env.tmp / f"got{number}", f"{url}/{number}")))
        kept = ["0", "200", "1.1"]
        assert said.decode().split() == ["1", "200", "1.1", *kept, *kept], said
        for number in range(3):
            assert pattern.sha256_file(env.tmp / f"got{number}") == wanted[number], number
        whole = (env.tmp / "www/2").read_bytes()
        assert curl("-r", "1000-1999", f"{url}/2") == whole[1000:2000]
        assert b"content-length: 3000000" in curl("-I", f"{url}/2").lower()
        said = curl("-o", "/dev/null", "-w", "%{http_code}", "--no-fail", f"{url}/none")
        assert said == b"404"


@case(timeout=60)
def test_curl_next(env):
    """Different requests on one connection, each to its own server."""
    echo = 'location / {{ return 200 "NAME $request_method $request_uri\\n"; }}'
    server = "server {{ listen {address}; %s }}"
    with programs.Nginx(env, server % echo.replace("NAME", "one"), "one", 8001) as one, \
            programs.Nginx(env, server % echo.replace("NAME", "two"), "two", 8002) as two:
        daemon = proxy(env, one.address, {"route": ["host:two.test -> two", "method:PUT -> two"]},
                       {"two": two.address})
        url = f"http://{daemon.address()}"
        said = curl("-w", "%{num_connects}\n", f"{url}/a", "--next", "-sS", "-w",
                    "%{num_connects}\n", "-H", "Host: two.test", f"{url}/b", "--next", "-sS", "-w",
                    "%{num_connects}\n", "-X", "PUT", "-d", "body", f"{url}/c", "--next", "-sS",
                    "-w", "%{num_connects}\n", "-d", "body", f"{url}/d")
        assert said.decode().splitlines() == ["one GET /a", "1", "two GET /b", "0", "two PUT /c",
                                              "0", "one POST /d", "0"], said
    assert [line["pool"] for line in wait_requests(daemon, 4)] == ["main", "two", "two", "main"]


def stored_size(env):
    if env.vm or env.sanitized:
        return 16 * MIB
    return 1024 * MIB if env.full else 256 * MIB


@case(timeout=120, slow=True)
def test_curl_large_download(env):
    wanted = files(env, size := stored_size(env))
    with programs.Nginx(env) as nginx:
        daemon = http_proxy(env, nginx)
        with subprocess.Popen([programs.find("curl"), "-sS", "--fail", "--max-time",
                               str(programs.scaled(90)), f"http://{daemon.address()}/0"],
                              stdout=subprocess.PIPE) as client:
            got = pattern.sha256_stream(client.stdout)
        assert client.returncode == 0 and got == wanted[0]
        line = wait_requests(daemon)[0]
        assert (line["bytes_down"], line["engine"]) == (str(size), env.engine), line
        check_kernel_share(env, daemon, 0.01)


@case(timeout=120, slow=True)
def test_curl_large_upload(env):
    """With a length and Expect: 100-continue, then in chunks from a pipe."""
    size = stored_size(env)
    wanted = pattern.write_file(env.tmp / "up", size, 4)
    (env.tmp / "www").mkdir()
    with programs.Nginx(env) as nginx:
        if not nginx.dav:
            env.skip("nginx has no dav module")
        daemon = http_proxy(env, nginx)
        curl("-T", env.tmp / "up", f"http://{daemon.address()}/stored", timeout=90)
        assert pattern.sha256_file(nginx.root / "stored") == wanted
        (nginx.root / "stored").unlink()
        piece = (env.tmp / "up").open("rb").read(size // 8)
        curl("-T", "-", f"http://{daemon.address()}/chunked", timeout=90, input=piece)
        assert (nginx.root / "chunked").read_bytes() == piece
        lines = wait_requests(daemon, 2)
        assert [line["bytes_up"] for line in lines] == [str(size), str(len(piece))], lines
        assert lines[0]["engine"] == env.engine, lines[0]
        check_kernel_share(env, daemon, 0.01)


@case(timeout=60)
def test_curl_chunked_upload(env):
    """A pipe has no length."""
    (env.tmp / "www").mkdir()
    with programs.Nginx(env) as nginx:
        if not nginx.dav:
            env.skip("nginx has no dav module")
        daemon = http_proxy(env, nginx)
        for size in (0, 1, 100, 70_000, 5_000_000):
            data = random.Random(size).randbytes(size)
            curl("-T", "-", f"http://{daemon.address()}/stored", input=data)
            assert (nginx.root / "stored").read_bytes() == data, size


@case(timeout=60)
def test_curl_expect(env):
    """curl waits for 100 before it sends a large body; with a server that refuses it sends none."""
    refuse = """
    server {{
        listen {address};
        client_max_body_size 1k;
        location / {{ return 200; }}
    }}
"""
    (env.tmp / "up").write_bytes(bytes(3_000_000))
    with programs.Nginx(env, refuse) as nginx:
        daemon = http_proxy(env, nginx)
        said = curl("--no-fail", "-o", "/dev/null", "-w", "%{http_code} %{size_upload}",
                    "-H", "Expect: 100-continue", "--expect100-timeout", "20",
                    "-T", env.tmp / "up", f"http://{daemon.address()}/x")
        assert said == b"413 0", said


@case(timeout=60)
def test_curl_parallel(env):
    """Many files at once over connections that are kept."""
    wanted = files(env, *[random.Random(i).randint(0, 400_000) for i in range(env.pick(120, 30))])
    with programs.Nginx(env) as nginx:
        daemon = http_proxy(env, nginx)
        curl("--parallel", "--parallel-max", 8, "--create-dirs", "-o", f"{env.tmp}/got/#1",
             f"http://{daemon.address()}/[0-{len(wanted) - 1}]")
        for number, sha in enumerate(wanted):
            assert pattern.sha256_file(env.tmp / f"got/{number}") == sha, number
        assert {line["status"] for line in wait_requests(daemon, len(wanted))} == {"200"}
        assert daemon.stats()["sessions_total"] <= 20, daemon.stats()


# ---- wrk ---------------------------------------------------------------------------------------

def wrk(url, *options):
    """(requests, all that wrk says); no error may have happened."""
    said = programs.run(programs.find("wrk"), "-t1", *options, "--timeout", 5, url).stdout
    match = re.search(r"^\s+(\d+) requests in", said, re.MULTILINE)
    assert match and int(match[1]) > 0, said
    assert "Socket errors" not in said and "Non-2xx" not in said, said
    return int(match[1])


@case(timeout=60)
def test_wrk(env):
    """Many small requests; each is counted and logged."""
    files(env, 100, 2_000_000)
    with programs.Nginx(env) as nginx:
        daemon = http_proxy(env, nginx)
        done = wrk(f"http://{daemon.address()}/0", "-c16", "-d1")
        done += wrk(f"http://{daemon.address()}/1", "-c4", "-d1")
        stats = daemon.stats()
        assert done <= stats["http_requests"] <= done + 40, (done, stats)
        assert stats["backend_reused"] > stats["http_requests"] * 0.9, stats
        wait_until(lambda: daemon.stats()["sessions_active"] == 0, 5, "no session is left")
        env.note(f"{done} requests")


@case(timeout=60)
def test_wrk_pipelining(env):
    """Sixteen requests in each segment."""
    files(env, 100)
    script = env.tmp / "pipeline.lua"
    script.write_text("""
local all
init = function() local one = {} for i = 1, 16 do one[i] = wrk.format() end
    all = table.concat(one) end
request = function() return all end
""", encoding="ascii")
    with programs.Nginx(env) as nginx:
        daemon = http_proxy(env, nginx)
        done = wrk(f"http://{daemon.address()}/0", "-c4", "-d1", "-s", script)
        assert done <= daemon.stats()["http_requests"] <= done + 100, daemon.stats()


# ---- HTTP/2 ------------------------------------------------------------------------------------

H2C_NGINX = """
    server {{
        listen {address} http2;
        http2_max_requests 1000000;
        root {root};
    }}
"""


def check_http2(env, server, protocol):
    """curl and h2load with prior knowledge, routed by their :authority and :path."""
    wanted = files(env, 100, 5_000_000)
    other = Recorder(env, "other")
    daemon = proxy(env, other.address, {"protocol": protocol, "h2": "tunnel",
                                        "route": "host:a.test path:/ -> h2"},
                   {"h2": server.address})
    host, port = programs.split(daemon.address())
    url = f"http://a.test:{port}"
    options = "--http2-prior-knowledge", "--resolve", f"a.test:{port}:{host}"
    for number in (0, 1):
        curl(*options, "-o", env.tmp / "got", f"{url}/{number}")
        assert pattern.sha256_file(env.tmp / "got") == wanted[number], number
    # A second request of curl 7.88 on such a connection fails without a proxy, too: h2load's not.
    number = env.pick(2000, 200)
    said = programs.run(programs.find("h2load"), "-n", number, "-c", 4, "-m", 10,
                        f"--connect-to={host}:{port}", f"{url}/0").stdout
    assert f"{number} succeeded, 0 failed, 0 errored, 0 timeout" in said, said
    assert other.accepted == 0
    assert {line["end"] for line in daemon.wait_access(2)} == {"done"}


@case(timeout=60)
def test_http2_nghttpd(env):
    (env.tmp / "www").mkdir()
    with programs.Nghttpd(env) as server:
        check_http2(env, server, "http")
        check_http2(env, server, "auto")


@case(timeout=60)
def test_http2_nginx(env):
    (env.tmp / "www").mkdir()
    with programs.Nginx(env, H2C_NGINX) as server:
        check_http2(env, server, "http")
        check_http2(env, server, "auto")


def test_http2_without_route(env):
    """No server for its authority: the connection ends, and soon."""
    other = Recorder(env, "other")
    daemon = proxy(env, other.address, {"route": "host:a.test -> main", "pool": None})
    done = programs.run(programs.find("curl"), "-sS", "--max-time", 5, "--http2-prior-knowledge",
                        f"http://{daemon.address()}/", check=False)
    assert done.returncode not in (0, 28), done
    assert other.accepted == 0
    assert daemon.wait_access()[0]["end"] == "no_route"


# ---- HAProxy and Node as servers ---------------------------------------------------------------

ECHO_NODE = """
const http = require("http"), crypto = require("crypto");
http.createServer((asked, answer) => {
    const sha = crypto.createHash("sha256");
    if (asked.url == "/echo") {                     // streamed, in whatever chunks come
        answer.writeHead(200, {"X-Method": asked.method});
        asked.pipe(answer);
        return;
    }
    asked.on("data", data => sha.update(data));
    asked.on("end", () => {
        const text = sha.digest("hex") + " " + asked.method + " " + asked.url + "\\n";
        answer.writeHead(200, {"Content-Length": text.length});
        answer.end(text);
    });
}).listen(+process.env.PORT, process.env.HOST);
"""


@case(timeout=60)
def test_node(env):
    """A server that answers in chunks while it reads."""
    with programs.Node(env, ECHO_NODE) as node:
        daemon = http_proxy(env, node)
        url = f"http://{daemon.address()}"
        for size in (0, 1000, env.pick(20, 2) * MIB):
            data = random.Random(size).randbytes(size)
            assert curl("-T", "-", f"{url}/echo", input=data) == data, size
            assert curl("--data-binary", "@-", "-H", "Expect:", f"{url}/echo", input=data) == data
        said = curl("-d", "abc", f"{url}/one", "--next", "-sS", f"{url}/two").decode().split()
        assert said[1:3] == ["POST", "/one"] and said[4:] == ["GET", "/two"], said
        assert set(statuses(daemon)) == {"200"}


HAPROXY_IN_FRONT_OF_NGINX = """
frontend front
    bind {{address}}
    http-request set-header X-Seen yes
    default_backend files
backend files
    http-reuse always
    server files {files}
"""


@case(timeout=60)
def test_haproxy(env):
    """HAProxy as a server, which has nginx behind it."""
    wanted = files(env, 1000, 5_000_000)
    with programs.Nginx(env) as nginx, \
            programs.HAProxy(env, HAPROXY_IN_FRONT_OF_NGINX.format(files=nginx.address)) as haproxy:
        daemon = http_proxy(env, haproxy)
        url = f"http://{daemon.address()}"
        for number in (0, 1, 0):
            curl("-o", env.tmp / "got", f"{url}/{number}")
            assert pattern.sha256_file(env.tmp / "got") == wanted[number], number
        if nginx.dav:
            curl("-T", env.tmp / "www/1", f"{url}/stored")
            assert pattern.sha256_file(nginx.root / "stored") == wanted[1]
        wrk(f"{url}/0", "-c8", "-d1")


def test_haproxy_in_front(env):
    """The other way round: spliced behind a proxy that keeps its connections."""
    files(env, 1000)
    with programs.Nginx(env) as nginx:
        daemon = http_proxy(env, nginx, x_forwarded_for="append")
        with programs.HAProxy(env, HAPROXY_IN_FRONT_OF_NGINX.format(
                files=daemon.address())) as haproxy:
            done = wrk(f"http://{haproxy.address}/0", "-c8", "-d1")
        assert daemon.stats()["http_requests"] >= done
        assert set(statuses(daemon)) == {"200"}


# ---- a browser ---------------------------------------------------------------------------------

ASSETS = 60

PAGE = """<!DOCTYPE html>
<html><head><title>page</title>
<script>var loaded = 0, failed = 0;</script>
{assets}
</head><body onload="document.body.dataset.count = loaded + ' loaded, ' + failed + ' failed'">
</body></html>
"""


def write_page(env):
    """A page with scripts, style sheets and pictures, each of which counts itself in."""
    root, assets = env.tmp / "www", []
    root.mkdir()
    counts = 'onload="loaded++" onerror="failed++"'
    for number in range(ASSETS):
        filling = random.Random(number).randbytes(500 * (number + 1)).hex()
        kind = ("js", "css", "svg")[number % 3]
        path = f"asset{number}.{kind}"
        if kind == "js":
            text, tag = f"/* {filling} */", f'<script src="{path}" {counts}></script>'
        elif kind == "css":
            text, tag = f"/* {filling} */", f'<link rel="stylesheet" href="{path}" {counts}>'
        else:
            text = f'<svg xmlns="http://www.w3.org/2000/svg"><!-- {filling} --></svg>'
            tag = f'<script>{{let i = new Image(); i.onload = () => loaded++;' \
                  f' i.onerror = () => failed++; i.src = "{path}"}}</script>'
        (root / path).write_text(text, encoding="ascii")
        assets.append(tag)
    (root / "index.html").write_text(PAGE.format(assets="\n".join(assets)), encoding="ascii")


BROWSER = """
    types {{ text/html html; text/javascript js; text/css css; image/svg+xml svg; }}
    server {{
        listen {address} %s;
        server_name page.test;
        root {root};
        %s
    }}
"""


def browse(env, url, address):
    """What Chromium makes of a page whose host is at that address: the finished document."""
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
               "--disable-background-networking", "--disable-component-update", "--disable-sync",
               "--disable-dev-shm-usage", "--ignore-certificate-errors", "--dump-dom",
               f"--user-data-dir={env.tmp}/chromium",
               f"--host-resolver-rules=MAP page.test {address}"]
    return programs.run(programs.find("chromium"), *options, url, timeout=60,
                        env={**os.environ, "HOME": str(env.tmp)}).stdout


# On an emulated machine a browser takes its time between a connection and a request.
PATIENT = {"sniff_timeout": "60s", "head_timeout": "60s"}


def check_page(text):
    assert f'data-count="{ASSETS} loaded, 0 failed"' in text, text[-500:]


@case(timeout=120)
def test_browser(env):
    """A page with many parts over connections that are kept."""
    write_page(env)
    with programs.Nginx(env, BROWSER % ("", "")) as nginx:
        daemon = proxy(env, Recorder(env, "other").address,
                       {"route": "host:page.test -> page", **PATIENT}, {"page": nginx.address})
        host, port = programs.split(daemon.address())
        check_page(browse(env, f"http://page.test:{port}/index.html", host))
        lines = [line for line in request_log(daemon) if line["path"] != "/favicon.ico"]
        assert {line["status"] for line in lines} == {"200"}, lines
        assert len({line["path"] for line in lines}) == ASSETS + 1, lines
        assert daemon.stats()["sessions_total"] <= 12, daemon.stats()


@case(timeout=120)
def test_browser_tls(env):
    """The same through TLS passthrough, with HTTP/2 in it."""
    write_page(env)
    cert, key = tls.certificate(env, "page.test")
    with programs.Nginx(env, BROWSER % ("ssl http2", f"ssl_certificate {cert};"
                                        f" ssl_certificate_key {key};")) as nginx:
        daemon = env.spliced(Recorder(env, "other").address, listener={
            "protocol": "tls", "route": "sni:page.test -> page", "sniff_timeout": "60s"},
            more={"pool page": {"server": f"s {nginx.address}"}})
        host, port = programs.split(daemon.address())
        check_page(browse(env, f"https://page.test:{port}/index.html", host))

        def routed():   # beside spare connections that it closed without a word
            return [line for line in daemon.access_log() if "sni" in line]
        line = wait_until(routed, 10, "the page's session is logged")[0]
        assert (line["sni"], line["pool"]) == ("page.test", "page"), line
