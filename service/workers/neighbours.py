"""Workers tell each other their metrics, so that whichever one is asked answers for all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from service.workers.exposition import merged
from service.workers.place import Place

_PATIENCE_S = 2.0


class Neighbours:
    """Gives `own()` to whoever connects to this worker's socket, and gathers what the others give.

    The folder of the sockets is open to the user alone, so that nobody is asked for a key there.
    """

    def __init__(self, place: Place, own: Callable[[], bytes]) -> None:
        self._place, self._own = place, own
        self._server: asyncio.Server | None = None

    async def listen(self) -> None:
        """From now on the others are answered."""
        path = self._place.metrics_of(self._place.number)
        path.unlink(missing_ok=True)  # of the one before it, which was killed
        self._server = await asyncio.start_unix_server(self._tell, path)

    def close(self) -> None:
        """From now on they are not."""
        if self._server is not None:
            self._server.close()

    async def everything(self) -> bytes:
        """The exposition of all workers."""
        numbers = range(len(self._place.devices))
        found = await asyncio.gather(*(self._ask(number) for number in numbers))
        texts = {number: text.decode() for number, text in zip(numbers, found, strict=True) if text is not None}
        return merged(texts, self._place.devices).encode()

    async def _tell(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(self._own())
        writer.close()

    async def _ask(self, number: int) -> bytes | None:
        """What one says; None where it does not."""
        if number == self._place.number:
            return self._own()
        try:
            async with asyncio.timeout(_PATIENCE_S):
                reader, writer = await asyncio.open_unix_connection(self._place.metrics_of(number))
                try:
                    return await reader.read() or None
                finally:
                    writer.close()
        except (OSError, TimeoutError):
            return None
