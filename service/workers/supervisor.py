"""The parent of the workers: holds the address, starts a worker for each device, and starts again those that die."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import socket
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic

from service.settings import Settings
from service.workers.address import reserve
from service.workers.place import Place, orders_of

_log = logging.getLogger("condflow.workers")
_PAUSE_FIRST_S, _PAUSE_MOST_S, _STEADY_S = 0.5, 60.0, 60.0
_GRACE_S = 10.0
_LONGEST_LINE = 2**26  # an announcement shows a picture of the model where there is no smaller one


class Supervisor:
    """Runs `python -m service` on several devices.

    At the start every worker must come up, else the service ends as that worker did. Later one that ends is started
    again after a pause, which doubles while it does not stay up; when none runs any more the service ends with 1.
    """

    def __init__(self, settings: Settings, devices: Sequence[str]) -> None:
        self._settings, self._devices = settings, tuple(devices)
        self._running: dict[int, asyncio.subprocess.Process] = {}
        self._ready: dict[int, str] = {}
        self._ending = asyncio.Event()
        self._code = 0

    async def run(self) -> int:
        """Until a signal comes or nothing runs; the exit code. Raises OSError where the port is taken."""
        held, self._port = reserve(self._settings.host, self._settings.port)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled, number)
        try:
            with tempfile.TemporaryDirectory(prefix="condflow-") as folder:
                self._folder = Path(folder)
                await asyncio.gather(*(self._keep(number) for number in range(len(self._devices))))
        finally:
            for one in held:
                one.close()
        return self._code

    async def _keep(self, number: int) -> None:
        """One worker, again and again."""
        pause = _PAUSE_FIRST_S
        while not self._ending.is_set():
            begun = monotonic()
            code = await self._live(number)
            if self._ending.is_set():
                self._code = self._code or (0 if code in (0, -signal.SIGTERM, -signal.SIGINT) else 1)
                return
            _log.error("worker %d on %s ended with %d", number, self._devices[number], code)
            if not self._up or not self._running:
                self._end(code if code > 0 else 1)
                return
            if monotonic() - begun > _STEADY_S:
                pause = _PAUSE_FIRST_S
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._ending.wait()
            pause = min(2 * pause, _PAUSE_MOST_S)

    @property
    def _up(self) -> bool:
        """Whether every worker has been ready once."""
        return len(self._ready) == len(self._devices)

    async def _live(self, number: int) -> int:
        """A worker from its start to its end; the exit code, which is 1 for one that cannot be started."""
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                process = await asyncio.create_subprocess_exec(
                    sys.executable, "-m", "service.workers.worker", str(theirs.fileno()), pass_fds=[theirs.fileno()]
                )
            except OSError as error:  # there is no room for it now; the others go on
                ours.close()
                _log.error("worker %d cannot be started: %s", number, error)
                return 1
        self._running[number] = process
        reader, writer = await asyncio.open_connection(sock=ours, limit=_LONGEST_LINE)
        listening = asyncio.create_task(self._listen(number, reader))
        try:
            orders = orders_of(
                self._settings, Place(number=number, devices=self._devices, folder=self._folder), self._port
            )
            with suppress(ConnectionError):
                writer.write(orders.model_dump_json().encode() + b"\n")
                await writer.drain()
            return await self._outlive(process)
        finally:
            del self._running[number]
            listening.cancel()
            writer.close()

    async def _outlive(self, process: asyncio.subprocess.Process) -> int:
        """Wait for its end, not for ever once it was told to end."""
        end, told = asyncio.create_task(process.wait()), asyncio.create_task(self._ending.wait())
        await asyncio.wait((end, told), return_when=asyncio.FIRST_COMPLETED)
        told.cancel()
        with suppress(ProcessLookupError):
            if not end.done():
                process.terminate()
                patience = self._settings.linger_s + self._settings.drain_s + _GRACE_S
                if (await asyncio.wait((end,), timeout=patience))[1]:
                    process.kill()
        return await end

    async def _listen(self, number: int, reader: asyncio.StreamReader) -> None:
        """Hear that it is ready; announce the service when all are for the first time."""
        line = await reader.readline()
        if line and not self._ending.is_set():
            again = self._up
            self._ready[number] = json.loads(line)["ready"]
            if again:
                _log.info("worker %d on %s is back", number, self._devices[number])
            elif self._up:
                print(f"{len(self._devices)} workers share one address: {', '.join(self._devices)}")
                print(self._ready[0], flush=True)

    def _signalled(self, number: signal.Signals) -> None:
        """The first signal ends the workers gently, a second Ctrl-C at once."""
        if number == signal.SIGINT and self._ending.is_set():
            for process in self._running.values():
                with suppress(ProcessLookupError):
                    process.send_signal(signal.SIGINT)
        self._ending.set()

    def _end(self, code: int) -> None:
        self._code = code
        self._ending.set()


def supervise(settings: Settings, devices: Sequence[str]) -> int:
    """Run the service on all `devices`; the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    return asyncio.run(Supervisor(settings, devices).run())
