"""Is an image synthetic, by what, unchanged since, and from which sources?"""

from mrimpute.verify.find import images_at
from mrimpute.verify.judge import judge
from mrimpute.verify.model import Candidate, Finding, Maker, Source, Status
from mrimpute.verify.sources import digests_of

__all__ = ["Candidate", "Finding", "Maker", "Source", "Status", "digests_of", "images_at", "judge"]
