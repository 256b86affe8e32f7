"""Folder → Study: which series is which contrast, and why."""

from mrimpute.study.images import find_series
from mrimpute.study.model import NotUsed, Series, Study

__all__ = ["NotUsed", "Series", "Study", "find_series"]
