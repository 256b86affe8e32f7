"""Is a synthetic image to be trusted? The acquired series predicted from each other, and a verdict in words."""

from mrimpute.selfcheck.judge import Evidence, judge
from mrimpute.selfcheck.run import judged

__all__ = ["Evidence", "judge", "judged"]
