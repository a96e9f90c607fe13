"""Several devices behind one address: a process for each, and one that keeps them running."""
