"""Immutable, verified, versioned models on a disk."""

from __future__ import annotations

from model_store.errors import StoreError
from model_store.manifest import Draft, Manifest
from model_store.store import Store

__all__ = ["Draft", "Manifest", "Store", "StoreError"]
