"""What prefers one series of a contrast to another: the rules, in their order, each with its words."""

from collections.abc import Callable, Iterable, Sequence

from mrimpute.contrasts import Contrast
from mrimpute.study.candidate import Candidate, untwinned
from mrimpute.volume import Grid

CLEARLY = 1.2
"""A series is clearly thinner, or covers clearly more, by this factor."""
BY_HEADER = 0.7
"""Confidence of an agent that only a header names."""
_PROCESSED = ("NORM", "DIS2D", "DIS3D", "FIL", "FILTERED", "RESAMPLED", "MFSPLIT", "MOCO")
"""Values of Image Type that tell of processing."""

Rank = Callable[[Candidate, Sequence[Candidate]], float]


def criteria(plane: str, later: bool) -> list[tuple[str, Rank]]:
    """Return what prefers one series of a contrast to another, in this order, in words."""
    return [
        ("named after its contrast", lambda item, _: _certainty(item)),
        ("not a processed variant", lambda item, all_: -_is_variant(item, all_)),
        ("a 3-D acquisition", lambda item, _: item.verdict.volume),
        (f"{plane}, as the other sources are", lambda item, _: bool(plane) and item.plane == plane),
        ("thinner", _thin),
        ("larger", _large),
        ("the original", lambda item, _: item.facts.image_type[:1] != ("DERIVED",)),
        ("less processed", lambda item, _: -sum(kind in item.facts.image_type for kind in _PROCESSED)),
        ("not a copy", lambda item, _: not item.verdict.copy),
        ("a later repeat" if later else "earlier in the exam", lambda item, all_: _turn(item, all_, later)),
    ]


def _certainty(item: Candidate) -> float:
    """Return 2 where words tell of an agent, 1 where only the header does; else 1 for words, 0 for times alone."""
    if item.agent == "given":
        return 1.0 + (max(entry.confidence for entry in item.verdict.agents) > BY_HEADER)
    return float(any("sidecar" not in entry.reason and "echo" not in entry.reason for entry in item.verdict.evidence))


def _is_variant(item: Candidate, all_: Sequence[Candidate]) -> bool:
    """Tell whether a file is the processed twin of another one here: `_bias`, `_unstripped`."""
    plain = untwinned(item.path)
    return plain != str(item.path) and any(str(other.path) == plain for other in all_)


def _thin(item: Candidate, all_: Sequence[Candidate]) -> float:
    """Return 1 for what is not clearly thicker than the thinnest."""
    spacings = [max(other.grid.spacing) for other in all_ if other.grid]
    return float(item.grid is not None and max(item.grid.spacing) <= CLEARLY * min(spacings, default=0.0))


def _large(item: Candidate, all_: Sequence[Candidate]) -> float:
    """Return 1 for what does not cover clearly less than the largest, where they are series of one exam by number."""
    if not all(other.number for other in all_):
        return 1.0
    volumes = [_millilitres(other.grid) for other in all_ if other.grid]
    return float(item.grid is not None and CLEARLY * _millilitres(item.grid) >= max(volumes, default=0.0))


def _millilitres(grid: Grid) -> float:
    x, y, z = (n * spacing for n, spacing in zip(grid.shape, grid.spacing, strict=True))
    return x * y * z / 1e3


def _turn(item: Candidate, all_: Sequence[Candidate], later: bool) -> float:
    """Return the place in the exam, where all have one and they are not one acquisition."""
    times = [other.facts.time for other in all_]
    if all(times):
        place = float(sorted(set(times)).index(item.facts.time))
    elif not any(times) and all(other.number for other in all_):
        place = float(item.number)
    else:
        return 0.0
    return place if later else -place


def common_plane(others: Iterable[Candidate]) -> str:
    """Return the plane that most of the other series have, '' where none leads."""
    listed = [item for item in others if item.plane]
    unlike_t1 = [item for item in listed if item.contrast is not Contrast.T1]  # a T1 comes in all planes
    counts: dict[str, int] = {}
    for item in unlike_t1 or listed:
        counts[item.plane] = counts.get(item.plane, 0) + 1
    ranked = sorted(counts, key=lambda plane: -counts[plane])
    tie = len(ranked) > 1 and counts[ranked[0]] == counts[ranked[1]]
    return ranked[0] if ranked and not tie else ""
