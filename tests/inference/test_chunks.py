"""Answers do not depend on how a scheduler cuts the work."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inference import encode, infer_condition, log_likelihood, sample
from inference.drawing import AHEAD_NUMBERS, DecodeWork
from inference.engine import Engine
from inference.groups import Groups
from inference.loaded import Loaded
from inference.noise import NoiseSource, Run, draw_together
from inference.work import Question, answer

chunks = st.lists(st.integers(1, 40), min_size=1, max_size=6)


def drive(engine: Engine, question: Question[Any], sizes: list[int]) -> Any:
    """The plain driver with the given chunk sizes, over and over."""
    try:
        while True:
            work = next(question)
            start, turns = 0, endless(sizes)
            while start < work.rows:
                stop = min(start + next(turns), work.rows)
                inputs = work.inputs(start, stop)
                repeated = work.inputs(start, stop)  # a failed batch is asked for again
                assert all((inputs[name] == repeated[name]).all() for name in inputs)
                work.accept(start, stop, engine.run(work.operation, inputs))
                start = stop
    except StopIteration as end:
        return end.value


def endless(sizes: list[int]) -> Iterator[int]:
    while True:
        yield from sizes


def same(one: Any, other: Any) -> None:
    for field in fields(one):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if isinstance(a, dict):
            assert set(a) == set(b)
            assert all(np.array_equal(a[name], b[name]) for name in a)
        elif isinstance(a, np.ndarray):
            np.testing.assert_array_equal(a, b)
        else:
            assert a == b


fixture_safe = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
X1 = np.linspace(-2, 3, 7, dtype=np.float32)[:, None]


@fixture_safe
@given(sizes=chunks)
def test_sampling(labels: Loaded, sizes: list[int]) -> None:
    def question() -> Question[Any]:
        return sample(labels, conditions=[0, 2, 1], num_samples=11, return_log_likelihood=True, return_latent=True)

    same(drive(labels.engine, question(), sizes), answer(labels.engine, question()))


def test_noise_of_small_chunks_is_made_for_several_at_once(labels: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    """That of a chunk over the end of what was made is made anew; and none is kept when they are through."""
    made: list[int] = []

    def counting(demands: Sequence[tuple[NoiseSource, Sequence[Run]]]) -> list[np.ndarray]:
        drawn = draw_together(demands)
        made.extend(len(numbers) for numbers in drawn)
        return drawn

    monkeypatch.setattr("inference.drawing.draw_together", counting)
    work = next(sample(labels, conditions=[0, 2], num_samples=AHEAD_NUMBERS + 100))
    assert isinstance(work, DecodeWork)
    for start in range(0, work.rows, 64):
        work.inputs(start, min(start + 64, work.rows))
    parts = len(labels.signature.latent)
    assert sum(made) < parts * (work.rows + 6 * 64) and len(made) <= 6 * parts
    assert not work._ahead


@fixture_safe
@given(sizes=chunks, draws=st.sampled_from([1, 2, 5, 33]))
def test_scoring(padded: Loaded, sizes: list[int], draws: int) -> None:
    for condition in (None, 1, [0, 1, 2, 0, 1, 2, 0]):
        one = drive(padded.engine, log_likelihood(padded, X1, condition, draws=draws), sizes)
        same(one, answer(padded.engine, log_likelihood(padded, X1, condition, draws=draws)))


@fixture_safe
@given(sizes=chunks, draws=st.sampled_from([1, 5, 33]))
def test_inference_of_labels(padded: Loaded, sizes: list[int], draws: int) -> None:
    one = drive(padded.engine, infer_condition(padded, X1, draws=draws), sizes)
    same(one, answer(padded.engine, infer_condition(padded, X1, draws=draws)))


@settings(fixture_safe, max_examples=4)
@given(sizes=st.lists(st.integers(500, 5000), min_size=1, max_size=4))
def test_inference_of_vectors(coupled: Loaded, sizes: list[int]) -> None:
    one = drive(coupled.engine, infer_condition(coupled, X1[2:5]), sizes)
    same(one, answer(coupled.engine, infer_condition(coupled, X1[2:5])))


@fixture_safe
@given(sizes=chunks)
def test_encoding(labels: Loaded, sizes: list[int]) -> None:
    x = np.float32([[0.1, 0.2], [3.0, -1.0], [0.0, 0.0]])
    same(drive(labels.engine, encode(labels, x, 1), sizes), answer(labels.engine, encode(labels, x, 1)))


@settings(max_examples=200, deadline=None)
@given(size=st.integers(1, 9), groups=st.integers(0, 7), sizes=chunks)
def test_groups_come_whole_and_in_order(size: int, groups: int, sizes: list[int]) -> None:
    seen: list[np.ndarray] = []

    def reduce(first: int, values: dict[str, np.ndarray]) -> None:
        assert first == sum(len(part) for part in seen)
        seen.append(values["v"].copy())

    gather, start, turns = Groups(size, reduce), 0, endless(sizes)
    while start < groups * size:
        stop = min(start + next(turns), groups * size)
        gather.accept({"v": np.arange(start, stop)})
        start = stop
    found = np.concatenate(seen) if seen else np.zeros((0, size))
    np.testing.assert_array_equal(found, np.arange(groups * size).reshape(groups, size))
