"""What was measured: of each contestant and part one record a round, kept as JSON, and what is read off the records.

`NAME.json` is `{part: {"when", "seconds", "commit", "versions", "rounds": [record, ...]}}`, where `when` is the same
for all that one run measured. A record is what `measure` made of the part, or `{"error": text}`.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

Record = dict[str, Any]
Raw = dict[str, dict[str, Any]]
Raws = Mapping[str, Raw]
Reading = Callable[[Record], float | None]


def keep(folder: Path, name: str, part: str, number: int, about: Mapping[str, Any], record: Record) -> None:
    """Add the record of round `number`; that of the first one, 0, takes the place of all that was kept of the part."""
    folder.mkdir(parents=True, exist_ok=True)
    raw = read(folder, [name]).get(name, {})
    if number == 0:
        raw[part] = {**about, "rounds": []}
    raw[part]["rounds"].append(record)
    (folder / f"{name}.json").write_text(json.dumps(raw, indent=1))


def read(folder: Path, names: Iterable[str]) -> dict[str, Raw]:
    """All that is kept of these contestants."""
    paths = {name: folder / f"{name}.json" for name in names}
    return {name: json.loads(path.read_text()) for name, path in paths.items() if path.exists()}


def at(*keys: str) -> Reading:
    """Reads what lies at `keys` in a record; None where nothing does, or a nought: nothing was answered.

    >>> at("64", "p99_ms")({"64": {"p99_ms": 2.0}}), at("64", "p99_ms")({"64": {}})
    (2.0, None)
    """

    def reading(record: Record) -> float | None:
        found: Any = record
        for key in keys:
            found = found.get(key, {})
        return found or None

    return reading


def ratio(top: Reading, bottom: Reading) -> Reading:
    """Reads `top / bottom`, both of the same record."""

    def reading(record: Record) -> float | None:
        above, below = top(record), bottom(record)
        return None if above is None or below is None else above / below

    return reading


def records(raws: Raws, name: str, part: str) -> dict[int, Record]:
    """By number of their round, the records of a part that did not fail."""
    found = raws.get(name, {}).get(part, {"rounds": []})["rounds"]
    return {number: record for number, record in enumerate(found) if "error" not in record}


def per_round(raws: Raws, name: str, part: str, reading: Reading) -> dict[int, float]:
    """By number of the round, what is read off its record; rounds where there is nothing to read are left out."""
    found = {number: reading(record) for number, record in records(raws, name, part).items()}
    return {number: value for number, value in found.items() if value is not None}


def middle(values: Iterable[float]) -> float | None:
    """The median; None of nothing."""
    found = list(values)
    return statistics.median(found) if found else None


def over_rounds(raws: Raws, name: str, part: str, reading: Reading) -> float | None:
    """The median over rounds of what is read off a part; None where nothing is."""
    return middle(per_round(raws, name, part, reading).values())


def one_run(raws: Raws, names: Sequence[str], part: str) -> bool:
    """Whether one run measured the part of all of these that have it, so that their rounds lie side by side."""
    return len({raws[name][part]["when"] for name in names if part in raws.get(name, {})}) <= 1


def failures(raw: Raw) -> dict[str, list[str]]:
    """By error, the parts and rounds of one contestant that it ended.

    >>> failures({"a": {"rounds": [{}, {"error": "refused"}]}, "b": {"rounds": [{"error": "refused"}]}})
    {'refused': ['a in round 2', 'b in round 1']}
    """
    found: dict[str, list[str]] = {}
    for part, kept in raw.items():
        for number, record in enumerate(kept["rounds"], 1):
            if "error" in record:
                found.setdefault(record["error"], []).append(f"{part} in round {number}")
    return found
