"""Flows of other libraries, exported by the scripts of examples/, published, served and asked over HTTP.

The answers are held against the library itself at the same latents and rows.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

from inference.cli import app
from tests.service.harness import running

SCRIPTS = Path(__file__).parents[2] / "examples" / "bring_your_own"
CLASSES = ("left", "middle", "right")
Call = Callable[[Any, Tensor, Tensor], Tensor]


def freia_log_prob(network: Any, x: Tensor, condition: Tensor) -> Tensor:
    z, log_det = network(x, c=[condition])
    return torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(dim=1) + log_det


OWN: dict[str, tuple[Call, Call]] = {
    "zuko": (lambda flow, z, c: flow(c).transform.inv(z), lambda flow, x, c: flow(c).log_prob(x)),
    "nflows": (lambda flow, z, c: flow._transform.inverse(z, c)[0], lambda flow, x, c: flow.log_prob(x, c)),
    "FrEIA": (lambda flow, z, c: flow(z, c=[c], rev=True)[0], freia_log_prob),
    "normflows": (lambda flow, z, c: flow.forward(z, c), lambda flow, x, c: flow.log_prob(x, c)),
}


def script_of(library: str) -> ModuleType:
    path = SCRIPTS / f"{library.lower()}_flow.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def asked(client: httpx.Client, path: str, **body: Any) -> dict[str, Any]:
    response = client.post(path, json=body)
    assert response.status_code == 200, response.text
    content: dict[str, Any] = response.json()
    return content


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize(
    "library", ["zuko", *(pytest.param(name, marks=pytest.mark.full) for name in ("nflows", "FrEIA", "normflows"))]
)
def test_http_answers_what_the_library_says(library: str, tmp_path: Path) -> None:
    pytest.importorskip(library)
    script = script_of(library)
    flow = script.fitted(steps=30)
    script.export(flow, tmp_path)
    paths = {f"--{name}": tmp_path / f"{name}.onnx" for name in ("decode", "encode", "score")}
    options = {**paths, "--signature": tmp_path / "signature.json", "--store": tmp_path / "store"}
    done = CliRunner().invoke(app, ["publish-onnx", "mine", *(str(word) for pair in options.items() for word in pair)])
    assert done.exit_code == 0, done.output
    assert "change of variables: the score is that of decode" in done.output

    decode, log_prob = OWN[library]
    labels = "classes" in script.SIGNATURE["condition"]
    given: Any = ["left", "right"] if labels else [[-0.5], [1.25]]
    raw = torch.eye(3)[[0, 2]] if labels else torch.tensor(given)
    context = raw.repeat_interleave(5, dim=0)
    with torch.no_grad(), running(tmp_path / "store") as service:
        drawn = asked(
            service.client, "/sample", model="mine", conditions=given, num_samples=5, seed=3, return_latent=True
        )
        z = torch.tensor(drawn["latent"]["z"]).reshape(10, 2)
        x = decode(flow, z, context)
        np.testing.assert_allclose(np.reshape(drawn["samples"], (10, 2)), x.numpy(), rtol=1e-4, atol=1e-4)

        rows = x + 0.1 * z.flip(0)
        conditions = [one for one in given for _ in range(5)]
        scored = asked(service.client, "/loglik", model="mine", x=rows.tolist(), condition=conditions)
        assert scored["estimator"] == "exact"
        expected = log_prob(flow, rows, context)
        np.testing.assert_allclose(scored["log_likelihood"], expected.numpy(), rtol=1e-4, atol=1e-3)

        far = [[6.0, -6.0]]  # alone, and where splines have ended: a trace may have taken a branch for good
        scored = asked(service.client, "/loglik", model="mine", x=far, condition=given[0])
        expected = log_prob(flow, torch.tensor(far), raw[:1])
        np.testing.assert_allclose(scored["log_likelihood"], expected.numpy(), rtol=1e-4)

        encoded = asked(service.client, "/encode", model="mine", x=x.tolist(), condition=conditions)
        np.testing.assert_allclose(encoded["latent"]["z"], z.numpy(), rtol=1e-3, atol=1e-3)
        if labels:
            posterior = asked(service.client, "/infer-condition", model="mine", x=rows.tolist())["model_posterior"]
            every = [log_prob(flow, rows, row.expand(10, 3)) for row in torch.eye(3)]
            expected = torch.softmax(torch.stack(every, dim=1) - math.log(3), dim=1)
            np.testing.assert_allclose(posterior, expected.numpy(), rtol=1e-3, atol=1e-5)
