"""The parts of one app, made once by the factory and handed to the routes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from service.admission import Admission
from service.metrics import Metrics
from service.pipeline import Pipeline
from service.registry import Registry
from service.scheduling.driver import Driver
from service.settings import Settings


@dataclass
class Parts:
    """Everything a route may need."""

    settings: Settings
    metrics: Metrics
    registry: Registry
    admission: Admission
    driver: Driver
    pipeline: Pipeline
    exposition: Callable[[], Awaitable[bytes]] | None = None
    """The metrics of all processes behind the address, where there are several."""
