"""The API reference as one plain page, rendered from the OpenAPI document: no script, nothing from elsewhere."""

from __future__ import annotations

import json
from html import escape
from typing import Any


def reference_page(document: dict[str, Any]) -> str:
    """The HTML of GET /docs."""
    info = document["info"]
    sections = [
        _operation(method, path, operation, document)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    links = "".join(
        f'<li><a href="#{_anchor(method, path)}"><b>{method.upper()}</b> {escape(path)}</a></li>'
        for path, methods in document["paths"].items()
        for method in methods
    )
    description = "".join(f"<p>{escape(line)}</p>" for line in info["description"].split("\n") if line)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>condflow: reference</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<link rel="stylesheet" href="static/pages.css"></head><body class="reference">'
        f"<header><h1>{escape(info['title'])} <small>{escape(info['version'])}</small></h1>{description}"
        '<p><a href="openapi.json">openapi.json</a> &middot; <a href="./">playground</a></p></header>'
        f"<nav><ul>{links}</ul></nav><main>{''.join(sections)}</main></body></html>"
    )


def _operation(method: str, path: str, operation: dict[str, Any], document: dict[str, Any]) -> str:
    parts = [
        f'<section id="{_anchor(method, path)}"><h2><b>{method.upper()}</b> {escape(path)}</h2>',
        f"<p>{escape(operation.get('summary', ''))}</p>",
        f"<p>{escape(_more(operation))}</p>",
    ]
    if operation.get("parameters"):
        rows = "".join(
            f"<tr><td><code>{escape(item['name'])}</code></td><td>{escape(item['in'])}</td>"
            f"<td>{escape(item.get('description', ''))}</td></tr>"
            for item in operation["parameters"]
        )
        parts.append(f"<h3>Parameters</h3><table>{rows}</table>")
    for media, content in operation.get("requestBody", {}).get("content", {}).items():
        parts.append(f"<h3>Request: <code>{escape(media)}</code></h3>{_content(content, document)}")
    for status, response in operation.get("responses", {}).items():
        parts.append(f"<h3>{escape(str(status))}: {escape(response.get('description', ''))}</h3>")
        if str(status) == "200":
            parts.extend(
                f"<h4><code>{escape(media)}</code></h4>{_content(content, document)}"
                for media, content in response.get("content", {}).items()
            )
    return "".join(parts) + "</section>"


def _more(operation: dict[str, Any]) -> str:
    """What the description says beyond the summary."""
    description: str = operation.get("description", "")
    return description.removeprefix(operation.get("summary", "")).strip()


def _content(content: dict[str, Any], document: dict[str, Any]) -> str:
    schema = content.get("schema", {})
    name = schema.get("$ref", "").rsplit("/", 1)[-1]
    parts = []
    if name:
        fields = document["components"]["schemas"][name].get("properties", {})
        needed = document["components"]["schemas"][name].get("required", [])
        rows = "".join(
            f"<tr><td><code>{escape(field)}</code>{' *' if field in needed else ''}</td>"
            f"<td>{escape(str(about.get('description', about.get('title', ''))))}</td></tr>"
            for field, about in fields.items()
        )
        parts.append(f"<table>{rows}</table>")
    elif schema.get("description"):
        parts.append(f"<p>{escape(schema['description'])}</p>")
    for example in content.get("examples", {}).values():
        shown = escape(json.dumps(example["value"]))
        parts.append(f"<p>{escape(example['summary'])}</p><pre>{shown}</pre>")
    return "".join(parts)


def _anchor(method: str, path: str) -> str:
    return escape(method + path.replace("/", "-").replace("{", "").replace("}", "").replace(":", ""))
