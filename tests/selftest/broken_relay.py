# SPDX-License-Identifier: GPL-2.0-or-later
"""TCP relays that damage what they relay, to prove that the load tool sees it.

A relay reads in pieces of CHUNK bytes exactly (the last may be shorter), so that damage at a
position is always inside a piece.
"""

import socket
import struct
import threading

CHUNK = 10_000
TCP_CLOSE = 7   # a state of TCP_INFO
SESSION, POSITION = 3, 305_000     # which session is damaged (by order of accept), and where


class Relay:
    """An honest one. Subclasses override piece() and end()."""

    def __init__(self, backend):
        self.backend = backend
        self.accepted = 0
        self.sockets = []   # a socket nobody refers to would be closed
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def piece(self, _session, _up, _position, data):
        """What is sent for the piece `data` at that position of the stream."""
        return data

    def end(self, _session, _up, target):
        """Passes the end of a stream on."""
        target.shutdown(socket.SHUT_WR)

    def _accept(self):
        while True:
            client, _ = self.listener.accept()
            host, port = self.backend.rsplit(":", 1)
            server = socket.create_connection((host, int(port)))
            self.sockets += client, server
            session, self.accepted = self.accepted, self.accepted + 1
            for source, target, up in ((client, server, True), (server, client, False)):
                threading.Thread(target=self._move, args=(session, up, source, target),
                                 daemon=True).start()

    def _move(self, session, up, source, target):
        position = 0
        try:
            while data := source.recv(CHUNK, socket.MSG_WAITALL):
                target.sendall(self.piece(session, up, position, data))
                position += len(data)
            self.end(session, up, target)
        except OSError:
            pass    # the load tool gives up on a session it found wrong


class Damaging(Relay):
    """Damages the piece at POSITION of one stream, server to client."""

    def piece(self, session, up, position, data):
        start = POSITION - position
        if session == SESSION and not up and 0 <= start < len(data) - 1:
            return self.damage(data, start)
        return data

    def damage(self, data, start):
        raise NotImplementedError


class LosesByte(Damaging):
    def damage(self, data, start):
        return data[:start] + data[start + 1:]


class RepeatsByte(Damaging):
    def damage(self, data, start):
        return data[:start + 1] + data[start:]


class RepeatsPiece(Damaging):
    """As a kernel does that sends a partly sent buffer again from its start."""

    def damage(self, data, start):
        return data + data


class SwapsBytes(Damaging):
    def damage(self, data, start):
        return data[:start] + data[start + 1:start + 2] + data[start:start + 1] + data[start + 2:]


class FlipsBit(Damaging):
    def damage(self, data, start):
        return data[:start] + bytes([data[start] ^ 4]) + data[start + 1:]


class Truncates(Relay):
    """The last ten bytes of one stream are missing, though it ends well."""

    def __init__(self, backend, size):
        self.size = size
        super().__init__(backend)

    def piece(self, session, up, position, data):
        if session == SESSION and not up and position + len(data) == self.size:
            return data[:-10]
        return data


class Appends(Relay):
    def end(self, session, up, target):
        if session == SESSION and up:
            target.sendall(b"x")
        super().end(session, up, target)


class MixesSessions(Relay):
    """Once, the pieces of two sessions for the same position change places."""

    def __init__(self, backend):
        self.meeting = threading.Barrier(2, timeout=10)
        self.pieces = {}
        super().__init__(backend)

    def piece(self, session, up, position, data):
        if up or session > 1 or position != CHUNK:
            return data
        self.pieces[session] = data
        self.meeting.wait()
        return self.pieces[1 - session]


class SwapsBackends(Relay):
    """The answers of sessions 0 and 1 go to each other's clients from the start."""

    def __init__(self, backend):
        self.meeting = threading.Barrier(2, timeout=10)
        self.targets = {}
        super().__init__(backend)

    def _move(self, session, up, source, target):
        if not up and session < 2:
            self.targets[session] = target
            self.meeting.wait()
            target = self.targets[1 - session]
        super()._move(session, up, source, target)


class ForgetsEnd(Relay):
    """The end of one stream is never passed on."""

    def end(self, session, up, target):
        if session != SESSION or up:
            super().end(session, up, target)


class HidesReset(Relay):
    """Turns a reset into an end."""

    def _move(self, session, up, source, target):
        super()._move(session, up, source, target)
        try:
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    try:
        # Wakes the thread that reads it, which would keep the socket open.
        sock.shutdown(socket.SHUT_RD)
    except OSError:
        pass
    sock.close()


class PassesReset(Relay):
    """A reset stays a reset."""

    def __init__(self, backend):
        self.broken = set()
        super().__init__(backend)

    def _move(self, session, up, source, target):
        try:
            while data := source.recv(CHUNK):
                target.sendall(data)
            # The other thread may have been told of the reset, and then this one sees an end.
            if source.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == TCP_CLOSE:
                raise ConnectionResetError
            if session not in self.broken:
                self.end(session, up, target)
        except OSError:
            self.broken.add(session)
            reset(source)
            reset(target)


class ResetsLate(Relay):
    """Resets a session in the middle of a stream."""

    def piece(self, session, up, position, data):
        if session == SESSION and not up and position >= POSITION:
            raise OSError("enough")
        return data

    def _move(self, session, up, source, target):
        super()._move(session, up, source, target)
        if session == SESSION and not up:
            reset(target)
