# SPDX-License-Identifier: GPL-2.0-or-later
"""Chromium without a screen, steered by its DevTools protocol."""

import base64
import contextlib
import json
import os
import shutil
import signal
import subprocess
import urllib.request

from . import process, websocket
from .http import Client
from .wait import wait_until

OPTIONS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
           "--disable-extensions", "--disable-background-networking", "--disable-component-update",
           "--disable-sync", "--no-proxy-server", "--hide-scrollbars", "--remote-debugging-port=0")


def runs_chromium(pid):
    """Or whether it ran something and is about to be gone: then it has no program any more."""
    try:
        return "chrom" in os.path.basename(os.readlink(f"/proc/{pid}/exe"))
    except OSError:
        return os.path.exists(f"/proc/{pid}")


class Browser:
    """One page. complaints: what the console said of errors, violated policies among them."""

    def __init__(self, env, timeout=30):
        program = shutil.which("chromium")
        if not program:
            env.skip("chromium is not installed")
        self.profile = env.tmp / "chromium"
        self.log = open(env.tmp / "chromium.log", "wb")
        self.complaints, self.number, self.client = [], 0, None
        self.process = subprocess.Popen(
            [program, *OPTIONS, f"--user-data-dir={self.profile}", "about:blank"],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
            env={**env.environment(), "HOME": str(env.tmp)})
        try:
            self._connect(timeout)
        except BaseException:
            self.close()
            raise

    def _connect(self, timeout):
        told = self.profile / "DevToolsActivePort"
        port = wait_until(lambda: told.exists() and told.read_text().splitlines()[:1], timeout,
                          "chromium tells its port")[0]

        def page():
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=5) as answer:
                return [t["webSocketDebuggerUrl"] for t in json.load(answer) if t["type"] == "page"]
        url = wait_until(page, timeout, "chromium has a page")[0]
        self.client = Client(f"127.0.0.1:{port}", timeout=timeout)
        websocket.upgrade(self.client, "/" + url.split("/", 3)[3], host="127.0.0.1")
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self.client:
            self.client.close()
        self.process.kill()
        self.process.wait()
        self.log.close()
        wait_until(self._is_gone, 10, "chromium is gone")

    @staticmethod
    def _is_gone():
        """Kills what is left of it. Some of its helpers have left its family: they are known by
        their program."""
        left = [pid for pid in process.descendants(os.getpid()) if runs_chromium(pid)]
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not left

    def call(self, method, **parameters):
        """The result of a command; what the page complains of meanwhile is remembered."""
        self.number += 1
        text = json.dumps({"id": self.number, "method": method, "params": parameters})
        self.client.send(websocket.frame(websocket.TEXT, text.encode(), masked=True))
        while True:
            kind, payload = websocket.read_frame(self.client.reader, masked=False)
            assert kind == websocket.TEXT, (kind, payload)
            message = json.loads(payload)
            if message.get("id") == self.number:
                assert "error" not in message, (method, message["error"])
                return message["result"]
            self._hear(message)

    def _hear(self, message):
        told = message.get("params", {})
        if message.get("method") == "Log.entryAdded" and told["entry"]["level"] == "error":
            self.complaints.append(told["entry"]["text"])
        elif message.get("method") == "Runtime.exceptionThrown":
            self.complaints.append(told["exceptionDetails"].get("exception", {}).get("description"))
        elif message.get("method") == "Runtime.consoleAPICalled" and told["type"] == "error":
            self.complaints.append(str(told["args"]))

    def look(self, width, height, dark=False, scale=1):
        """The window's size, and whether the user likes it dark."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=scale, mobile=width < 600)
        self.call("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])

    def open(self, url):
        """Back when the page is there, and its scripts have been run."""
        answer = self.call("Page.navigate", url=url)
        assert "errorText" not in answer, answer
        self.wait(f"location.href === {json.dumps(url)} && document.readyState === 'complete'", 20, url)

    def run(self, expression):
        """Its value in the page; a promise is waited for."""
        answer = self.call("Runtime.evaluate", expression=expression, awaitPromise=True,
                           returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, expression, seconds, what):
        """Its value, as soon as that counts as true."""
        return wait_until(lambda: self.run(expression), seconds, what, poll=0.1)

    def screenshot(self):
        """PNG of what the window shows."""
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])
