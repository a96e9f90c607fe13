"""Immutable, verified, versioned models on a disk."""
