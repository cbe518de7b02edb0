# SPDX-License-Identifier: GPL-2.0-or-later
"""Fetches a target's figures while something else is measured, as Prometheus would."""

import http.client
import threading

from processes import Failure

INTERVAL = 0.5  # seconds: no scrape interval is shorter


def fetch(port):
    """How many bytes it tells."""
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        client.request("GET", "/metrics")
        answer = client.getresponse()
        size = len(answer.read())
        if answer.status != 200 or not size:
            raise Failure(f"/metrics answers {answer.status} with {size} bytes")
        return size
    finally:
        client.close()


class Scraper:
    """Runs while the block does, if there is a port; a scrape that failed is a Failure."""

    def __init__(self, port):
        self.port, self.number, self.problem = port, 0, None
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True) if port else None

    def run(self):
        """One scrape after the other."""
        try:
            while not self.over.wait(INTERVAL if self.number else 0):
                fetch(self.port)
                self.number += 1
        except (OSError, http.client.HTTPException, Failure) as error:
            self.problem = error

    def __enter__(self):
        if self.thread:
            self.thread.start()
        return self

    def __exit__(self, kind, *_):
        if not self.thread:
            return
        self.over.set()
        self.thread.join()
        if self.problem and not kind:
            raise Failure(f"a scrape failed: {self.problem}")
