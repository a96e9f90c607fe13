"""The example of docs/open-inference-protocol.md runs as it stands, against a ready-made model."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from model_store.store import Store
from tests.service.harness import running

ROOT = Path(__file__).parents[3]


def test_the_example_runs(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "open-inference-protocol.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    store = Store.open(tmp_path / "models")
    store.import_archive(ROOT / "pretrained" / "gaussian-mixture-1.condflow")
    with running(tmp_path / "models") as service:
        left: dict[str, Any] = {}
        exec(example.replace("localhost:8000", f"localhost:{service.port}"), left)
        try:
            labels = left["client"].infer("gaussian-mixture.infer-condition", [left["x"]]).as_numpy("index")
        finally:
            left["client"].close()
    assert left["samples"].shape == (2, 5, 2)
    assert np.isfinite(left["samples"]).all()
    np.testing.assert_array_equal(labels, 0)
