"""A fourth generator: the mean of its sources, mixed with noise by a network of two numbers."""
