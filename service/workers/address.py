"""One address that several processes listen on: the kernel gives each connection to one of those that listen."""

from __future__ import annotations

import socket
from contextlib import ExitStack


def reserve(host: str, port: int) -> tuple[list[socket.socket], int]:
    """Sockets that hold the address without listening, and the port, which is chosen where 0 is given.

    Raises OSError where somebody listens there already, also where he would share.
    """
    check_free(host, port)
    held = _bound(host, port, shared=True)
    return held, held[0].getsockname()[1]


def check_free(host: str, port: int) -> None:
    """Raise OSError where somebody listens there already."""
    for probe in _bound(host, port, shared=False):
        probe.close()


def shared(host: str, port: int) -> list[socket.socket]:
    """Sockets of this process at the address; none gets a connection before it listens."""
    return _bound(host, port, shared=True)


def _bound(host: str, port: int, *, shared: bool) -> list[socket.socket]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    with ExitStack() as undo:
        for family, address in dict.fromkeys((item[0], item[4]) for item in found):
            one = undo.enter_context(socket.socket(family, socket.SOCK_STREAM))
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if shared:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            one.bind((address[0], port or (sockets[0].getsockname()[1] if sockets else 0), *address[2:]))
            sockets.append(one)
        undo.pop_all()
    return sockets
