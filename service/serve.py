"""Run the app under uvicorn: announce it with one curl per endpoint, and end it cleanly."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
import sys
import threading
from collections.abc import Callable
from types import FrameType

import uvicorn
from fastapi import FastAPI

from inference.engine import EngineLost
from inference.memory import keep_large_blocks_apart
from service.announcement import announcement
from service.app import create_app
from service.parts import Parts
from service.protocol import bounded_protocol
from service.settings import Settings

_KEEP_ALIVE_S = 65
_PATIENCE_S = 60.0
_YOUNG_OBJECTS = 10_000
GLANCE_S = 0.01
TURN_S = 50e-6


class Server(uvicorn.Server):
    """uvicorn with a shutdown in three steps: unready but serving for a while, no new connections, drained.

    A signal begins it, or the loss of the engine's device.
    """

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self.parts: Parts = app.state.parts
        self.parts.driver.when_lost = self.leave
        self.announced = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and do what follows in the background."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        if self.started:
            self.following = asyncio.create_task(self.when_started())

    async def when_started(self) -> None:
        """Announce that the service is ready, or that it takes long."""
        port = self.servers[0].sockets[0].getsockname()[1]
        deadline = asyncio.get_running_loop().time() + _PATIENCE_S
        while not self.parts.registry.ready and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(GLANCE_S)
        print(await announced(self.parts, port), flush=True)
        self.announced.set()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal ends the service gently, a second Ctrl-C at once."""
        if self.parts.admission.state != "serving":
            if sig == signal.SIGINT:
                self.force_exit = True
            return
        self.leave()

    def leave(self) -> None:
        """Begin to end the service gently."""
        if self.parts.admission.state != "serving":
            return
        self.parts.admission.state = "lingering"
        if self.parts.settings.linger_s and self._loop is not None:
            self._loop.call_soon_threadsafe(self._loop.call_later, self.parts.settings.linger_s, self._stop)
        else:
            self._stop()

    def _stop(self) -> None:
        self.should_exit = True


MakeServer = Callable[[uvicorn.Config, FastAPI], Server]


async def announced(parts: Parts, port: int) -> str:
    """The announcement; its examples are computed by models that are held meanwhile."""
    held = parts.registry.hold_champions()
    try:
        return await asyncio.to_thread(announcement, parts, [lease.loaded for lease in held], port)
    finally:
        for lease in held:
            lease.release()


def server_of(settings: Settings, make: MakeServer = Server) -> Server:
    """A server of a new app, not yet started."""
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http=bounded_protocol(settings, app.state.lane),
        ws="none",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        date_header=True,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=settings.drain_s,
        lifespan="on",
    )
    return make(config, app)


def serve(settings: Settings, make: MakeServer = Server) -> None:
    """Serve until a signal comes.

    Raises:
        OSError: the port is taken.
        EngineLost: the engine's device was lost; what was in progress has been answered.
    """
    keep_large_blocks_apart()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    server = server_of(settings, make)
    _collect_rarely()
    _take_turns()
    server.run()
    if server.parts.driver.lost:
        raise EngineLost(f"device {settings.device} is lost, which only a new process may cure")


def _collect_rarely() -> None:
    """What is there already is never looked at again, and young objects only when there are many more than were freed.

    A request leaves no cycles behind, so that there is nothing to find; looking for it while 64 were in progress took a
    tenth of the loop's time.
    """
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS)


def _take_turns() -> None:
    """An engine thread that wants the interpreter has it after `TURN_S`; decision 11.

    It asks for it only when it was not woken for so long, and the loop wakes it with every system call, to find the
    interpreter taken again: by the usual 5 ms a loop that only refuses kept calls of 2 ms waiting for up to 190.
    """
    sys.setswitchinterval(TURN_S)
