"""POST /sample with `summary`: statistics instead of samples, in every media type, within limits."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.settings import Limits
from tests.service.harness import Running, running
from tests.service.refusals import problem
from tests.service.test_answers import unpack

NPZ = {"Accept": "application/x-npz"}
ASKED = {"model": "labels", "conditions": [0, 2], "num_samples": 500, "seed": 4}
ALL = ["mean", "sd", "quantiles", "covariance"]


def samples(service: Running, asked: dict[str, Any]) -> np.ndarray:
    response = service.client.post("/sample", json=asked, headers=NPZ)
    assert response.status_code == 200, response.text
    return unpack(response.content)["samples"].astype(np.float64)


def test_json_and_npz_answer_what_numpy_says_of_the_samples(service: Running) -> None:
    full = samples(service, ASKED)
    asked = {**ASKED, "summary": ALL, "quantile_levels": [0.1, 0.5]}
    got = service.client.post("/sample", json=asked).json()
    assert "samples" not in got and got["seed"] == 4
    binary = service.client.post("/sample", json=asked, headers=NPZ)
    arrays = unpack(binary.content)
    assert set(arrays) == {f"summary.{name}" for name in (*ALL, "quantile_levels")}
    assert binary.headers["x-condflow-summary-quantile-error"] == "0.0"
    assert got["summary"]["quantile_error"] == 0 and got["summary"]["quantile_levels"] == [0.1, 0.5]
    expected = {
        "mean": full.mean(axis=1),
        "sd": full.std(axis=1, ddof=1),
        "quantiles": np.quantile(full, [0.1, 0.5], axis=1).swapaxes(0, 1),
        "covariance": np.stack([np.cov(part.T) for part in full]),
    }
    for name, value in expected.items():
        np.testing.assert_allclose(np.array(got["summary"][name]), value, rtol=1e-9, err_msg=name)
        np.testing.assert_allclose(arrays[f"summary.{name}"], value, rtol=1e-9, err_msg=name)


def test_a_hundred_thousand_draws_answer_in_kilobytes(service: Running) -> None:
    asked = {"model": "vector", "condition": [0.5, -1.0], "num_samples": 100_000, "seed": 1}
    response = service.client.post("/sample", json={**asked, "summary": ALL})
    assert response.status_code == 200, response.text
    assert len(response.content) < 2000
    summary, full = response.json()["summary"], samples(service, asked)
    np.testing.assert_allclose(summary["mean"], full.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(summary["sd"], full.std(axis=0, ddof=1), rtol=1e-9)
    np.testing.assert_allclose(summary["quantiles"], np.quantile(full, summary["quantile_levels"], axis=0), rtol=1e-12)


def test_a_binary_body_names_them_in_the_query(service: Running) -> None:
    body = io.BytesIO()
    np.savez(body, conditions=np.array([0, 2]))
    query = "?model=labels&num_samples=500&seed=4&summary=mean,quantiles&quantile_levels=0.1,0.5&return_samples=true"
    headers = {**NPZ, "Content-Type": "application/x-npz"}
    response = service.client.post("/sample" + query, content=body.getvalue(), headers=headers)
    assert response.status_code == 200, response.text
    arrays, full = unpack(response.content), samples(service, ASKED)
    np.testing.assert_array_equal(arrays["samples"], full)
    np.testing.assert_allclose(arrays["summary.mean"], full.mean(axis=1), rtol=1e-12)
    assert arrays["summary.quantiles"].shape == (2, 2, 2)


def test_pictures_are_summarised_and_shown_only_where_asked(service: Running) -> None:
    asked = {"model": "grey", "num_samples": 20, "seed": 1, "summary": ["mean"]}
    png = {"Accept": "image/png"}
    assert "return_samples" in problem(service.client.post("/sample", json=asked, headers=png), 406)["detail"]
    shown = service.client.post("/sample", json={**asked, "return_samples": True}, headers=png)
    assert shown.content.startswith(b"\x89PNG")
    mean = np.array(service.client.post("/sample", json=asked).json()["summary"]["mean"])
    assert mean.shape == (1, 2, 2) and mean.min() > 0 and mean.max() < 15


@pytest.mark.parametrize(
    ("pointer", "fields"),
    [
        ("/summary/0", {"summary": ["median"]}),
        ("/summary", {"summary": {}}),
        ("/quantile_levels", {"summary": ["quantiles"], "quantile_levels": [[0.5]]}),
        ("/quantile_levels", {"quantile_levels": [0.5]}),
        ("/num_samples", {"summary": ["covariance"], "num_samples": 1}),
        ("/return_samples", {"return_samples": False}),
        ("/return_samples", {"summary": ["mean"], "return_samples": "yes"}),
    ],
)
def test_422_names_the_field(service: Running, pointer: str, fields: dict[str, Any]) -> None:
    document = problem(service.client.post("/sample", json={**ASKED, **fields}), 422)
    assert [error["pointer"] for error in document["errors"]] == [pointer]


def test_413_names_the_limit(store_path: Path) -> None:
    limits = Limits(covariance_size=1, quantile_values=10, json_answer_bytes=2000)
    with running(store_path, limits=limits) as service:
        for limit, fields in (
            ("covariance_size", {"summary": ["covariance"]}),
            ("quantile_values", {"summary": ["quantiles"]}),
            ("json_answer_bytes", {"summary": ["mean"], "conditions": [0] * 50}),
        ):
            assert f"`{limit}`" in problem(service.client.post("/sample", json={**ASKED, **fields}), 413)["detail"]
        assert service.client.post("/sample", json={**ASKED, "summary": ["mean"]}).status_code == 200
