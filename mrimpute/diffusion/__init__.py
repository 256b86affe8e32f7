"""The mathematics that all generators share: ladders of noise levels, steps, seeded noise."""
