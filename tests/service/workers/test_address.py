"""An address that several listen on: held without listening, and refused where a stranger listens already."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from service.workers.address import reserve, shared


@pytest.fixture
def port() -> Iterator[int]:
    held, port = reserve("127.0.0.1", 0)
    yield port
    for one in held:
        one.close()


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=60)


def test_who_does_not_listen_gets_no_connection(port: int) -> None:
    with pytest.raises(ConnectionRefusedError):
        connect(port)
    (listens,), (waits,) = shared("127.0.0.1", port), shared("127.0.0.1", port)
    with listens, waits:
        listens.listen()
        listens.settimeout(60)
        for _ in range(50):
            connect(port).close()
            listens.accept()[0].close()


def test_both_that_listen_get_connections(port: int) -> None:
    (first,), (second,) = shared("127.0.0.1", port), shared("127.0.0.1", port)
    with first, second:
        for one in (first, second):
            one.listen()
            one.setblocking(False)
        counts = {first: 0, second: 0}
        while not all(counts.values()):
            with connect(port):
                for one in counts:
                    try:
                        one.accept()[0].close()
                        counts[one] += 1
                    except BlockingIOError:
                        pass


def test_an_address_that_others_share_is_taken(port: int) -> None:
    (stranger,) = shared("127.0.0.1", port)
    with stranger:
        stranger.listen()
        with pytest.raises(OSError, match="in use"):
            reserve("127.0.0.1", port)


def test_every_address_of_a_name_has_the_same_port() -> None:
    held, port = reserve("localhost", 0)
    assert held and {one.getsockname()[1] for one in held} == {port}
    for one in held:
        one.close()
