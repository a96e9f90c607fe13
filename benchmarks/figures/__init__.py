"""The figures that the project promises, measured on published versions: `python -m benchmarks.figures ROW`."""
