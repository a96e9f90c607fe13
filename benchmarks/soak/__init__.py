"""Hours in the life of the service: mixed load with faults, and what is left of it."""
