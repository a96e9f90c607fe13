"""Histograms and counts for the hot path: to observe is a bisection and two additions, to count one, without a lock.

What prometheus_client's own ones do besides, a walk through the buckets under two locks and checks of what is counted,
costs as much for the observations of a request as parsing it. Ours are used from one thread.
"""

from __future__ import annotations

from abc import abstractmethod
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from math import inf
from typing import Generic, TypeVar

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString


class Series:
    """The observations of one set of label values."""

    __slots__ = ("_bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count one value, in the first bucket whose bound is no less."""
        self.counts[bisect_left(self._bounds, value)] += 1
        self.total += value


class Tally:
    """The count of one set of label values; whoever counts adds to `value`."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0


Member = TypeVar("Member", Series, Tally)


class _Labelled(Collector, Generic[Member]):
    """Series by label values."""

    def __init__(self, name: str, text: str, labels: Sequence[str], registry: CollectorRegistry) -> None:
        self.name, self._text, self._labels = name, text, tuple(labels)
        self._series: dict[tuple[str, ...], Member] = {}
        registry.register(self)

    def labels(self, *values: str) -> Member:
        """The series of these values, which is there from now on."""
        if values not in self._series:
            self._series[values] = self._new()
        return self._series[values]

    def remove_by_labels(self, labels: Mapping[str, str]) -> None:
        """Forget the series that have all of these."""
        places = {self._labels.index(name): value for name, value in labels.items()}
        for values in list(self._series):
            if all(values[place] == value for place, value in places.items()):
                del self._series[values]

    @abstractmethod
    def _new(self) -> Member: ...


class Histogram(_Labelled[Series]):
    """Observations by label values.

    >>> histogram = Histogram("wait_seconds", "Waiting.", ("stage",), (1.0, 2.0), CollectorRegistry())
    >>> for seconds in (0.5, 2.0, 3.0):
    ...     histogram.labels("queue").observe(seconds)
    >>> [(sample.labels.get("le"), sample.value) for sample in next(histogram.collect()).samples]
    [('1.0', 1), ('2.0', 2), ('+Inf', 3), (None, 3), (None, 5.5)]
    """

    def __init__(
        self, name: str, text: str, labels: Sequence[str], bounds: Sequence[float], registry: CollectorRegistry
    ) -> None:
        self._bounds = tuple(bounds)
        super().__init__(name, text, labels, registry)

    def describe(self) -> Iterator[Metric]:
        """Its name, without any series."""
        yield HistogramMetricFamily(self.name, self._text, labels=self._labels)

    def collect(self) -> Iterator[Metric]:
        """All series."""
        family = HistogramMetricFamily(self.name, self._text, labels=self._labels)
        for values, series in self._series.items():
            bounds = map(floatToGoString, (*self._bounds, inf))
            family.add_metric(values, list(zip(bounds, accumulate(series.counts), strict=True)), series.total)
        yield family

    def _new(self) -> Series:
        return Series(self._bounds)


class Count(_Labelled[Tally]):
    """Counts by label values.

    >>> count = Count("asked", "Questions.", ("outcome",), CollectorRegistry())
    >>> count.labels("ok").value += 2
    >>> [(sample.name, sample.labels, sample.value) for sample in next(count.collect()).samples]
    [('asked_total', {'outcome': 'ok'}, 2)]
    """

    def describe(self) -> Iterator[Metric]:
        """Its name, without any series."""
        yield CounterMetricFamily(self.name, self._text, labels=self._labels)

    def collect(self) -> Iterator[Metric]:
        """All series."""
        family = CounterMetricFamily(self.name, self._text, labels=self._labels)
        for values, tally in self._series.items():
            family.add_metric(values, tally.value)
        yield family

    def _new(self) -> Tally:
        return Tally()
