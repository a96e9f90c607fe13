"""The metrics of several workers in one text: every sample is there once, under its worker's label."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from service.metrics import Metrics
from service.workers.exposition import UP, merged
from tests.support.exposition import samples_of

MODELS = st.lists(st.text("abc-._9", min_size=1, max_size=5).filter(lambda name: name[0] != "."), max_size=3)


def metrics_of(models: list[str]) -> str:
    metrics = Metrics()
    for model in models:
        metrics.load(model, "1", 0.1, succeeded=True)
        metrics.batch("decode", model, "1", 3)
        metrics.shortage("decode", model, "1")
    return metrics.render().decode()


@given(st.lists(MODELS, min_size=1, max_size=3))
def test_each_sample_is_labelled_and_none_is_lost(workers: list[list[str]]) -> None:
    texts = {number: metrics_of(models) for number, models in enumerate(workers)}
    devices = ("cpu",) * (len(workers) + 1)
    text = merged(texts, devices)
    expected = {
        (name, tuple(sorted((*labels, ("worker", str(number)))))): value
        for number, own in texts.items()
        for (name, labels), value in samples_of(own).items()
    }
    found = samples_of(text)
    ups = {dict(labels)["worker"]: value for (name, labels), value in found.items() if name == UP}
    assert ups == {str(number): float(number < len(workers)) for number in range(len(devices))}
    assert {key: value for key, value in found.items() if key[0] != UP} == expected
    comments = [line for line in text.splitlines() if line.startswith("#")]
    assert len(comments) == len(set(comments))


def test_what_a_label_says_is_not_read() -> None:
    text = '# HELP a Of {a}.\n# TYPE a gauge\na{model="x} y 1"} 2\n'
    assert merged({3: text}, ()).splitlines()[2] == 'a{worker="3",model="x} y 1"} 2'
