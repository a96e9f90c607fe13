"""`python -m service.workers.worker FD`: one of several processes behind an address, on one device.

It is told what to do through the socket FD, listens once its models are loaded, and leaves when the socket closes,
because then its supervisor is gone.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from contextlib import suppress

import uvicorn
from fastapi import FastAPI

from inference.engine import EngineError
from inference.loading import check_device
from service.keys import KeyLineError
from service.routes.health import take_gauges
from service.serve import GLANCE_S, Server, announced, serve
from service.workers.address import shared
from service.workers.neighbours import Neighbours
from service.workers.place import Orders, Place

_LONGEST_ORDERS = 2**20


class WorkerServer(Server):
    """A server that takes no connection before it is ready.

    Args:
        config: of uvicorn.
        app: the service.
        place: which worker this is.
        channel: to the supervisor.

    Attributes:
        failure: why it could not listen.
    """

    failure: BaseException | None = None

    def __init__(self, config: uvicorn.Config, app: FastAPI, place: Place, channel: socket.socket) -> None:
        super().__init__(config, app)
        self._channel = channel
        self._channel.setblocking(False)
        self._neighbours = Neighbours(place, self._metrics)
        self.parts.exposition = self._neighbours.everything

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to load; listening comes later."""
        await super().startup([])
        if not self.started:  # the app did not start, and has said why
            return
        self.following.add_done_callback(self._check)
        self._watching = asyncio.create_task(self._watch())

    async def when_started(self) -> None:
        """Once ready, listen and say so."""
        while not self.parts.registry.ready:
            await asyncio.sleep(GLANCE_S)
        if self.parts.admission.state != "serving":
            return
        loop, settings = asyncio.get_running_loop(), self.parts.settings
        await self._neighbours.listen()
        for one in shared(settings.host, settings.port):
            self.servers.append(await loop.create_server(self._protocol, sock=one, backlog=self.config.backlog))
        ready = json.dumps({"ready": await announced(self.parts, settings.port)})
        await loop.sock_sendall(self._channel, ready.encode() + b"\n")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """No new connections, and what is open is finished."""
        self._neighbours.close()
        await super().shutdown(sockets)

    def _check(self, following: asyncio.Task[None]) -> None:
        """A worker that cannot listen is of no use."""
        if not following.cancelled() and (failure := following.exception()) is not None:
            self.failure = failure
            self.leave()

    async def _watch(self) -> None:
        """Leave when the supervisor is gone."""
        with suppress(ConnectionError):
            await asyncio.get_running_loop().sock_recv(self._channel, 1)
        self.leave()

    def _protocol(self) -> asyncio.Protocol:
        made: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return made

    def _metrics(self) -> bytes:
        take_gauges(self.parts)
        return self.parts.metrics.render()


def main(descriptor: int) -> int:
    """Serve until told to end; the exit code."""
    channel = socket.socket(fileno=descriptor)
    orders = Orders.model_validate_json(channel.makefile("rb").readline(_LONGEST_ORDERS))
    place, made = orders.place, list[WorkerServer]()

    def make(config: uvicorn.Config, app: FastAPI) -> Server:
        made.append(WorkerServer(config, app, place, channel))
        return made[0]

    try:
        check_device(place.device)
        serve(orders.settings, make)
        if made[0].failure is not None:
            raise made[0].failure
        if not made[0].started:
            return 1
    except (EngineError, KeyLineError, OSError) as error:
        print(f"condflow: worker {place.number} on {place.device}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
