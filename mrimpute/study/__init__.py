"""Folder → Study: which series is which contrast, and why."""

from mrimpute.study.images import find_series, identify
from mrimpute.study.model import NotUsed, Problem, Series, Study

__all__ = ["NotUsed", "Problem", "Series", "Study", "find_series", "identify"]
