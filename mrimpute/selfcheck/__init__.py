"""Is a synthetic image to be trusted? The acquired series predicted from each other, and a verdict in words."""

from mrimpute.selfcheck.judge import Evidence, judge
from mrimpute.selfcheck.run import evidence_of

__all__ = ["Evidence", "evidence_of", "judge"]
