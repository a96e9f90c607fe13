"""Conditional normalizing flows: bijections, conditioners, densities, and the models made of them."""
