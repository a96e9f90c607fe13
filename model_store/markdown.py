"""Untrusted text in Markdown: names of classes, columns and models become text and nothing else."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable
from typing import Any

_LONGEST = 200
_SPECIAL = re.compile(r"([\\`*_{}\[\]!|~$:@]|(?<=www)\.)", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]")


def text(value: object) -> str:
    """`value` so that Markdown and HTML show it as it is: escaped, on one line, at most 200 characters.

    >>> text("<b>[x](javascript:1)</b>")
    '&lt;b&gt;\\\\[x\\\\](javascript\\\\:1)&lt;/b&gt;'
    """
    plain = _CONTROL.sub(" ", str(value))
    short = plain if len(plain) <= _LONGEST else plain[: _LONGEST - 1] + "…"
    return html.escape(_SPECIAL.sub(r"\\\1", short), quote=False)


def code_block(content: str, language: str = "") -> str:
    """A fenced block whose fence is longer than any run of backticks inside.

    >>> code_block("a ``` b").splitlines()[0]
    '````'
    """
    longest = max((len(run) for run in re.findall(r"`+", content)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{content}\n{fence}"


def shell_json(value: Any) -> str:
    """JSON as one single-quoted word of a shell, in ASCII.

    >>> print(shell_json({"condition": "it's"}))
    '{"condition": "it'\\''s"}'
    """
    return "'" + json.dumps(value).replace("'", "'\\''") + "'"


def table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A table of cells that are Markdown already."""
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
