"""HTTP, admission, batching and metrics over inference."""
