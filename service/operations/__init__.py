"""The four questions over HTTP: what each costs, how it is asked of `inference`, and what its answer is called."""
