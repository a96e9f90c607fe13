"""Pictures for model cards: each function takes arrays and returns the bytes of a small PNG."""
