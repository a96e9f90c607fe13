"""Diagnostics: pure functions over numpy arrays. They know no model, no file and no picture."""
