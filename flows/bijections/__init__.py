"""Bijections: maps with an inverse and the log-determinant of their Jacobian, in both directions."""
