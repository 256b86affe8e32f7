"""SynDiff: adversarial diffusion in four large steps, one source to one target, slice by slice."""
