"""Conditioners: networks from what a coupling passes on, and the condition, to the parameters of its map."""
