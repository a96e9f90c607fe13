"""`openapi.yaml` is what the app says; its examples are sound; every operation and error is in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from service.app import create_app
from service.examples import REQUESTS, RESPONSES
from service.openapi import openapi_of, openapi_text
from service.settings import Limits, Settings

ROOT = Path(__file__).parents[2]
OPERATIONS = ("sample", "loglik", "infer-condition", "encode")


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "openapi.yaml").read_text())
    return loaded


def test_the_file_is_in_sync() -> None:
    """Made anew by `python -m service openapi > openapi.yaml`."""
    assert (ROOT / "openapi.yaml").read_text() == openapi_text(create_app(Settings(), document_admin=True))


def test_it_does_not_depend_on_the_environment() -> None:
    other = Settings(store=Path("elsewhere"), port=1, limits=Limits(rows=5))
    assert openapi_of(create_app(other)) == openapi_of(create_app(Settings()))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_examples_fit_their_schemas(document: dict[str, Any], operation: str) -> None:
    post = document["paths"][f"/{operation}"]["post"]
    for content, examples in (
        (post["requestBody"]["content"]["application/json"], REQUESTS[operation]),
        (post["responses"]["200"]["content"]["application/json"], RESPONSES[operation]),
    ):
        assert set(content["examples"]) == set(examples)
        for example in content["examples"].values():
            schema = {**content["schema"], "components": document["components"]}
            jsonschema_rs.validate(schema, example["value"])


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_example_for_every_kind_of_condition(operation: str) -> None:
    names = " ".join(REQUESTS[operation])
    kinds = (
        ("label", "vector", "image") if operation == "infer-condition" else ("no_condition", "label", "vector", "image")
    )
    assert all(kind in names for kind in kinds)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_all_documented_errors_and_media_types(document: dict[str, Any], operation: str) -> None:
    post = document["paths"][f"/{operation}"]["post"]
    needed = {"200", "400", "401", "403", "404", "406", "413", "415", "422", "503", "504"}
    assert needed <= set(post["responses"])
    for status in needed - {"200"}:
        assert list(post["responses"][status]["content"]) == ["application/problem+json"]
    assert "Retry-After" in post["responses"]["503"]["headers"]
    binary = ["application/json", "application/x-npz", "application/x-npy"]
    assert list(post["requestBody"]["content"]) == binary
    pictures = ["image/png", "application/x-ndjson"] if operation == "sample" else []
    assert list(post["responses"]["200"]["content"]) == binary + pictures


def test_every_reference_resolves(document: dict[str, Any]) -> None:
    def walk(node: Any) -> None:
        if isinstance(node, dict):
            if "$ref" in node:
                assert node["$ref"].removeprefix("#/components/schemas/") in document["components"]["schemas"]
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    walk(document)


def test_nothing_names_this_machine(document: dict[str, Any]) -> None:
    assert str(ROOT) not in str(document)
    assert str(Path.home()) not in str(document)
