"""Evaluation of an exported version, through the engine that will serve it, and the model card that tells it."""
