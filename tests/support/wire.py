"""HTTP by hand: one connection whose every byte, and whose end, the test decides."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

PATIENCE_S = 120.0
JSON, NPZ, NDJSON = "application/json", "application/x-npz", "application/x-ndjson"


@dataclass(frozen=True)
class Request:
    """A POST as it goes over the wire."""

    path: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def json(cls, path: str, content: Any, accept: str = JSON) -> Request:
        """With a JSON body."""
        return cls(path, json.dumps(content).encode(), {"Content-Type": JSON, "Accept": accept})

    @property
    def head(self) -> bytes:
        """Up to the empty line."""
        fields = {"Host": "localhost", **self.headers, "Content-Length": str(len(self.body))}
        lines = [f"POST {self.path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
        return "\r\n".join(lines).encode()

    @property
    def whole(self) -> bytes:
        """Head and body."""
        return self.head + self.body


@dataclass(frozen=True)
class Answer:
    """What came back, complete."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body's content."""
        return json.loads(self.body)


class Wire:
    """One connection. Reading past its end raises ConnectionError or IncompleteReadError."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, port: int, receive_bytes: int | None = None) -> Wire:
        """Connect; `receive_bytes` keeps what the kernel and we take without being asked small."""
        connection = socket.socket()
        connection.setblocking(False)
        if receive_bytes is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        try:
            await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", port))
        except BaseException:
            connection.close()
            raise
        return cls(*await asyncio.open_connection(sock=connection, limit=receive_bytes or 2**16))

    async def send(self, content: bytes) -> None:
        """Write, as fast as the other side takes it."""
        self._writer.write(content)
        await self._writer.drain()

    async def ask(self, request: Request) -> Answer:
        """One request and its answer."""
        await self.send(request.whole)
        return await self.answer()

    async def head(self, begun: bytes = b"") -> tuple[int, dict[str, str]]:
        """Status and headers of the next answer, names in lower case; `begun`: what was read of it already."""
        text = (begun + await self._within(self._reader.readuntil(b"\r\n\r\n"))).decode("latin-1")
        first, *lines = text.split("\r\n")[:-2]
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        return int(first.split()[1]), headers

    async def answer(self, begun: bytes = b"") -> Answer:
        """The next answer, whole; `begun`: what was read of it already."""
        status, headers = await self.head(begun)
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(await self._within(self._reader.readuntil(b"\r\n")), 16):
                body += await self._within(self._reader.readexactly(size))
                await self._within(self._reader.readexactly(2))
            await self._within(self._reader.readexactly(2))
        else:
            body = await self._within(self._reader.readexactly(int(headers["content-length"])))
        return Answer(status, headers, body)

    async def some(self, count: int) -> bytes:
        """At most so many bytes; none where the other side has closed."""
        return await self._within(self._reader.read(count))

    async def rest(self) -> bytes:
        """All that comes until the other side closes, whichever way it does."""
        content = b""
        try:
            while piece := await self.some(2**16):
                content += piece
        except ConnectionError:
            pass
        return content

    def leave(self, *, abruptly: bool = True) -> None:
        """Go: with a reset, or politely though nobody listens any more."""
        if abruptly and not self._writer.is_closing():
            linger = struct.pack("ii", 1, 0)
            self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self._writer.transport.abort()
        else:
            self._writer.close()

    async def _within(self, reading: Any) -> bytes:
        async with asyncio.timeout(PATIENCE_S):
            content: bytes = await reading
            return content
