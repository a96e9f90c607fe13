from __future__ import annotations

from tests.model_store.conftest import memory_path

__all__ = ["memory_path"]
