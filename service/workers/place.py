"""What a worker is told at its start: its settings, which one of them it is, and where the others are found."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from service.settings import Settings


class Place(BaseModel):
    """Worker `number` of those on `devices`; each has a socket in `folder` where its neighbours ask for its metrics."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int
    devices: tuple[str, ...]
    folder: Path

    @property
    def device(self) -> str:
        """Of this worker."""
        return self.devices[self.number]

    def metrics_of(self, number: int) -> Path:
        """The socket of a worker."""
        return self.folder / f"{number}.sock"


class Orders(BaseModel):
    """The first line from the supervisor."""

    place: Place
    settings: Settings


def orders_of(settings: Settings, place: Place, port: int) -> Orders:
    """Everything as in `settings` but the device, the port, and the cores, which workers on the CPU share evenly."""
    on_cpu = place.devices.count("cpu")
    threads = settings.threads or (max(1, settings.engine_threads // on_cpu) if on_cpu else 0)
    return Orders(
        place=place, settings=settings.model_copy(update={"device": place.device, "port": port, "threads": threads})
    )
