# SPDX-License-Identifier: GPL-2.0-or-later
"""Plain sockets, for what the load tool does not play."""

import contextlib
import socket
import struct
import threading

from . import wait

TIMEOUT = 10.0


def parse(address):
    """(family, sockaddr) of IP:PORT, [IP]:PORT or unix:PATH."""
    if address.startswith("unix:"):
        path = address[5:]
        return socket.AF_UNIX, "\0" + path[1:] if path.startswith("@") else path
    host, _, port = address.rpartition(":")
    if host.startswith("["):
        return socket.AF_INET6, (host.strip("[]"), int(port))
    return socket.AF_INET, (host, int(port))


def connect(address, source=None, timeout=TIMEOUT):
    """A connected socket, every operation on it bounded by `timeout` (on a slow machine by more)."""
    family, sockaddr = parse(address)
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.settimeout(timeout * wait.SCALE)
    try:
        if source:
            sock.bind((source, 0))
        sock.connect(sockaddr)
    except BaseException:
        sock.close()
        raise
    return sock


def refuses(address, or_resets=False):
    """Whether nobody listens there; `or_resets`: or whoever does gives up just now.

    When the daemon gives up an address, a SYN may come between its first and its last socket: the
    kernel may choose one of those that are given up, and drops it. The next one is a second later.
    """
    try:
        connect(address).close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:
        if or_resets:
            return True
        raise
    return False


def read_exactly(sock, size):
    """`size` bytes, or what came before the end."""
    parts, left = [], size
    while left > 0:
        data = sock.recv(min(left, 1 << 18))
        if not data:
            break
        parts.append(data)
        left -= len(data)
    return b"".join(parts)


def read_all(sock):
    """Everything up to the end of the stream."""
    parts = []
    while data := sock.recv(1 << 18):
        parts.append(data)
    return b"".join(parts)


@contextlib.contextmanager
def must_reset():
    """What is in the block must end with the connection's reset."""
    try:
        yield
    except ConnectionResetError:
        return
    raise AssertionError("no reset")


def reset(sock):
    """Closes with RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def free_port(host="127.0.0.1"):
    """An address on which nobody listens: bound, but not listening, for as long as the returned
    socket lives, so that nobody else gets it."""
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    sock.bind((host, 0))
    port = sock.getsockname()[1]
    return (f"[{host}]:{port}" if ":" in host else f"{host}:{port}"), sock


def serve_name(name):
    """A server that says its name, then ends: for tests of who was chosen."""
    def handle(sock):
        sock.sendall(name.encode() + b"\n")
        read_all(sock)
    return handle


def serve_echo(sock):
    while data := sock.recv(1 << 16):
        sock.sendall(data)


class Backend:
    """A server in threads: handle(sock) runs for each connection, which it may leave open."""

    def __init__(self, handle=serve_echo, address="127.0.0.1:0"):
        family, sockaddr = parse(address)
        self.handle = handle
        self.accepted = 0
        self.sockets = []
        self.errors = []
        self.lock = threading.Lock()
        self.listener = socket.socket(family, socket.SOCK_STREAM)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(sockaddr)
        self.listener.listen(1024)
        if family == socket.AF_UNIX:
            self.address = address
        else:
            host, port = self.listener.getsockname()[:2]
            self.address = f"[{host}]:{port}" if family == socket.AF_INET6 else f"{host}:{port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            sock.settimeout(60)
            with self.lock:
                self.accepted += 1
                self.sockets.append(sock)
            threading.Thread(target=self._handle, args=(sock,), daemon=True).start()

    def _handle(self, sock):
        try:
            self.handle(sock)
        except OSError as error:
            self.errors.append(error)
        finally:
            sock.close()
            with self.lock:
                self.sockets.remove(sock)

    def stop_listening(self):
        """New connections are refused; the established ones go on."""
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()

    def close(self):
        self.stop_listening()
        with self.lock:
            for sock in self.sockets:
                try:
                    sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
