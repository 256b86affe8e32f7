"""Many studies: one after the other in a process, in parts, and what all parts told."""

from mrimpute.batch.parts import check_places, shard
from mrimpute.batch.run import fill_all

__all__ = ["check_places", "fill_all", "shard"]
