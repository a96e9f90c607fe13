"""What people and their browsers get: models, manifests, files, the playground and the reference."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from service.reference_page import reference_page
from tests.service.harness import Running
from tests.service.versions import CARD, HOSTILE_CLASS, PNG_BYTES

STATIC = Path(__file__).parents[2] / "service" / "static"


def test_list_of_models(service: Running) -> None:
    content = service.client.get("/models").json()
    labels = next(model for model in content["models"] if model["name"] == "labels")
    here = {"loaded": [1], "resident": [1]}
    assert labels == {"name": "labels", "versions": [1], "aliases": {"champion": 1}, "default": 1, **here}
    assert content["limits"]["json_bytes"] == 16 * 1024 * 1024


def test_one_model(service: Running) -> None:
    content = service.client.get("/models/labels").json()
    assert content["classes"] == ["left", "middle", "right"]
    assert content["signature"]["data"]["shape"] == [2]
    assert content["class_prior"] == [0.2, 0.3, 0.5]
    assert content["metrics"] == {"nll": 2.5}
    assert content["limits"]["rows"] > 0
    assert service.client.get("/models/plain").json()["classes"] is None


@pytest.mark.parametrize("reference", ["1", "champion"])
def test_manifest(service: Running, reference: str) -> None:
    content = service.client.get(f"/models/labels/versions/{reference}").json()
    assert (content["name"], content["version"]) == ("labels", 1)
    assert {"path", "digest", "size"} == set(content["files"][0])
    again = service.client.get(f"/models/labels/versions/{content['digest']}").json()
    assert again == content


@pytest.mark.parametrize(
    ("path", "media", "content"), [("card.md", "text/markdown", CARD), ("samples.png", "image/png", PNG_BYTES)]
)
def test_files_are_sandboxed(service: Running, path: str, media: str, content: bytes) -> None:
    response = service.client.get(f"/models/labels/versions/1/files/{path}")
    assert response.content == content
    assert response.headers["content-type"].startswith(media)
    assert response.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in response.headers["content-security-policy"]
    assert "default-src 'none'" in response.headers["content-security-policy"]


@pytest.mark.parametrize(
    "path",
    [
        "notes.html",
        "weights.safetensors",
        "score.onnx",
        "nope.md",
        "../1.json",
        "..%2f1.json",
        "%2e%2e/1.json",
        "/etc/passwd",
        "card.md/",
        "",
    ],
)
def test_other_files_are_not_shown(service: Running, path: str) -> None:
    assert service.client.get(f"/models/labels/versions/1/files/{path}").status_code == 404


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_pages_load_nothing_from_elsewhere(service: Running, path: str) -> None:
    response = service.client.get(path)
    assert response.headers["content-type"].startswith("text/html")
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    linked = re.findall(r'(?:src|href)="([^"]*)"', response.text)
    assert linked
    for target in linked:
        assert not re.match(r"[a-z]+:|//|/", target) or target == "data:,", target
        if not target.startswith(("#", "data:")):
            assert service.client.get("/" + target).status_code == 200, target
    assert "<script>" not in response.text
    assert not re.search(r"\son[a-z]+=", response.text)


def test_the_script_never_writes_markup() -> None:
    """Model names, class names and messages are untrusted text: nothing may turn text into elements."""
    script = (STATIC / "playground.js").read_text()
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|http:|https:|\bsrcdoc\b", script
    )


def test_hostile_names_stay_text(service: Running) -> None:
    content = service.client.get("/models/pictures")
    assert content.headers["content-type"] == "application/json"
    assert content.json()["classes"][1] == HOSTILE_CLASS
    body = {"model": "pictures", "x": [[[[250] * 4] * 2] * 3]}
    inferred = service.client.post("/infer-condition", json=body)
    assert inferred.json()["label"] == [HOSTILE_CLASS]
    refused = service.client.post("/loglik", json={**body, "condition": HOSTILE_CLASS + "!"})
    assert refused.headers["content-type"] == "application/problem+json"


def test_the_reference_escapes_what_it_shows() -> None:
    evil = "<script>alert(1)</script>"
    operation = {"summary": evil, "description": evil, "parameters": [{"name": evil, "in": evil, "description": evil}]}
    document = {
        "info": {"title": evil, "version": evil, "description": evil},
        "paths": {f"/{evil}": {"get": {**operation, "responses": {"200": {"description": evil}}}}},
    }
    assert "<script>" not in reference_page(document)
