# SPDX-License-Identifier: GPL-2.0-or-later
"""A control socket without a daemon, for what splicectl makes of answers."""

import contextlib
import copy
import json
import socket
import threading

NOTHING = {"status": {"version": "1.2", "worker_pid": 7, "uptime_ms": 1000, "engine": "kernel", "canary": "passed",
                      "sessions_active": 0, "max_sessions": 100, "memory_used": 0, "memory_max": 0,
                      "draining": False, "listeners": [], "pools": []},
           "stats": {"sessions_total": 0, "http_requests": 0, "bytes_redirected": 0, "bytes_copied": 0,
                     "bytes_bypassed": 0, "retries": 0, "denied": 0, "integrity_aborts": 0},
           "sessions": []}


class Fake:
    """A control socket that answers what it is told to. tick(n) changes `answers` before the nth
    status."""

    def __init__(self, path, answers=None, tick=None):
        self.path, self.answers, self.tick = path, copy.deepcopy(answers or NOTHING), tick
        self.asked = []
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(str(path))
        self.socket.listen(64)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.socket.accept()
                with client:
                    command = client.makefile().readline().strip()
                    if command == "status" and self.tick:
                        self.tick(self, self.asked.count("status"))
                    self.asked.append(command)
                    client.sendall(json.dumps(self.answers.get(command, {"error": "no"})).encode())

    def close(self):
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
