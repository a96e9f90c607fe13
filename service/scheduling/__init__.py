"""The scheduler: what an engine call costs, whose turn it is, how a failed call is taken apart, and its driver."""
