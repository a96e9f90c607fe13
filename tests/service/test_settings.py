"""Settings that contradict each other are refused when they are read."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from service.settings import Settings


def test_a_lower_precision_needs_a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONDFLOW_PRECISION", "bf16")
    with pytest.raises(ValidationError, match=r"(?s)precision.*the others need device cuda"):
        Settings()
    assert Settings(device="cuda:1").precision == "bf16"


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(ValidationError, match="float32"):
        Settings(device="cuda", precision="half")  # type: ignore[arg-type]
