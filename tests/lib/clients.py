# SPDX-License-Identifier: GPL-2.0-or-later
"""Clients that come one after the other while something happens to the daemon."""

import os
import threading

from .tcp import connect, read_exactly
from .wait import wait_until


def echo(client, data):
    client.sendall(data)
    assert read_exactly(client, len(data)) == data


class Clients:
    """Clients one after the other, in some threads, for as long as the with statement lasts. Each
    connects, says something and wants it back."""

    def __init__(self, address, threads=4):
        self.address = address
        self.served, self.lost, self.refused = 0, [], []
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=self._run) for _ in range(threads)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.end()

    def end(self):
        """They stop; what they have seen is there."""
        self.stop.set()
        for thread in self.threads:
            thread.join()

    def _run(self):
        while not self.stop.is_set():
            self._one()

    def _one(self):
        try:
            client = connect(self.address, timeout=20)
        except OSError as error:
            self.refused.append(error)
            return
        with client:
            try:
                echo(client, os.urandom(3000))
                self.served += 1
            except (OSError, AssertionError) as error:
                self.lost.append(error)

    def wait_served(self, more, seconds=20):
        """Until so many more were served."""
        enough = self.served + more
        wait_until(lambda: self.served >= enough, seconds, f"{more} more clients are served")
