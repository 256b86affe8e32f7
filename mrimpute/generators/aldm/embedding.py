"""A table of vectors."""

from torch import nn


class Embedding(nn.Embedding):
    """A vector of each class, or code."""

    def reset_parameters(self) -> None:
        """Draw the vectors, unless they are on the meta device: there PyTorch first imports its compiler and SymPy (800
        modules, 80 MB, 1.1 s), to draw nothing."""
        if not self.weight.is_meta:
            super().reset_parameters()
