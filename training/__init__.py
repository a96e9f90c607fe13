"""Data -> fit -> evaluate the exported version -> publish."""
