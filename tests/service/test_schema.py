"""Schemathesis over the OpenAPI: whatever is sent, right or wrong, the answer is a documented one and no 5xx."""

from __future__ import annotations

import io
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.config import GenerationConfig, ProjectConfig, ProjectsConfig, SchemathesisConfig
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.service.harness import Running

CHECKS = [
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
]
DOCUMENT = Path(__file__).parents[2] / "openapi.yaml"
OPERATIONS = ("/sample", "/loglik", "/infer-condition", "/encode")


def npz(size: int) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, x=np.zeros((size, 2), np.float32), condition=np.zeros(size, np.int64))
    return buffer.getvalue()


def npy(size: int) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((size, 2), np.float32))
    return buffer.getvalue()


schemathesis.openapi.media_type("application/x-npz", st.integers(0, 3).map(npz) | st.binary(max_size=100))
schemathesis.openapi.media_type("application/x-npy", st.integers(0, 3).map(npy) | st.binary(max_size=100))


def schema_of(mode: GenerationMode) -> Any:
    """The document of the repository; another test keeps it equal to what the service answers."""
    generation = GenerationConfig(modes=[mode], deterministic=True, with_security_parameters=False)
    projects = ProjectsConfig(default=ProjectConfig(generation=generation))
    return schemathesis.openapi.from_path(DOCUMENT, config=SchemathesisConfig(projects=projects))


positive = schema_of(GenerationMode.POSITIVE)
negative = schema_of(GenerationMode.NEGATIVE)


def aim(case: Case, names: list[str]) -> None:
    """Point a sound request at a model that is there, and let scalars ride where they belong."""
    case.headers.pop("X-Request-Timeout-Ms", None)
    place = zlib.crc32(repr(case.body).encode())
    chosen = names[place % len(names)]
    if case.path.startswith("/v2/models/"):
        model = f"{chosen}{OPERATIONS[place % len(OPERATIONS)].replace('/', '.')}"
        case.path_parameters = {name: model if name == "model" else "1" for name in case.path_parameters}
    elif isinstance(case.body, dict):
        case.query = {}
        case.body = {**case.body, "model": chosen, "version": None}
    elif case.path in OPERATIONS:
        case.query = {**(case.query or {}), "model": chosen}
        case.query.pop("version", None)


def check(case: Case, service: Running) -> None:
    response = case.call(base_url=service.url, timeout=60)
    assert response.status_code < 500 or response.status_code in (503, 504), response.text
    case.validate_response(response, checks=CHECKS, excluded_checks=[not_a_server_error])


def bounded(examples: int) -> settings:
    health = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
    return settings(max_examples=examples, deadline=None, suppress_health_check=health, database=None)


@positive.parametrize()
@bounded(6)
def test_positive(case: Case, service: Running, loaded: dict[str, Any]) -> None:
    aim(case, sorted(loaded))
    check(case, service)


@negative.parametrize()
@bounded(6)
def test_negative(case: Case, service: Running) -> None:
    check(case, service)


@pytest.mark.full
@pytest.mark.timeout(3000)
@positive.parametrize()
@bounded(500)
def test_positive_at_length(case: Case, service: Running, loaded: dict[str, Any]) -> None:
    aim(case, sorted(loaded))
    check(case, service)


@pytest.mark.full
@pytest.mark.timeout(3000)
@negative.parametrize()
@bounded(500)
def test_negative_at_length(case: Case, service: Running) -> None:
    check(case, service)
