"""Sources into a network's frame, and a result back onto the reference source's exact grid."""

from mrimpute.prepare.frame import Image, Prepared, Recipe, choose_reference, prepare, restore

__all__ = ["Image", "Prepared", "Recipe", "choose_reference", "prepare", "restore"]
