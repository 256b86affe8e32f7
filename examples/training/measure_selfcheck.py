"""Measure the self-check: ranges of held-out patients for the package, and how often the verdict is right.

Usage: python examples/training/measure_selfcheck.py DATA_DIR [OUT.toml]

DATA_DIR holds the built-in networks' three training patients (ms-mni/*, glioma-brats-space/*) and five studies of an
unseen site (ms-aligned/*). No regression sees the study that it predicts. OUT.toml is mrimpute/weights/selfcheck.toml.

Known or foreign: the mean PSNR of t1, t2 and flair, each predicted from the two others. Lost results: one source of a
known patient is degraded, the target made by the regression from the three, and its PSNR in the head compared with
that from the clean sources. Reported twice: with the shipped ranges, and with ranges of the two other patients alone.
"""

import itertools
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import tomli_w

from mrimpute.calibration import FRAME, builtin_site
from mrimpute.calibration.apply import estimated
from mrimpute.contrasts import BRATS_FOUR, Contrast
from mrimpute.prepare import Prepared, prepare
from mrimpute.selfcheck.figures import figures_of, predicted
from mrimpute.selfcheck.judge import Evidence, judge
from mrimpute.selfcheck.ranges import SCHEMA
from mrimpute.study import find_series
from mrimpute.volume import FloatArray
from mrimpute.write.verdict import AS_EXPECTED, Figure, Range

LOST, KEPT = 2.0, 0.5
"""Decibels: a result that loses more is to be found; one that loses less is not to be flagged."""
SITE = builtin_site().plain
Measured = dict[str, list[Figure]]
"""Patient → figures of all subsets of three and four series."""


class Study:
    def __init__(self, folder: Path) -> None:
        found = find_series(folder)
        self.name = folder.name
        self.volumes = {one: found.get(one).read() for one in BRATS_FOUR if one in found.present}
        self.digests = [volume.voxel_digest for volume in self.volumes.values()]

    def prepared(self) -> Prepared:
        return prepare(self.volumes, FRAME)

    def figures(self, images: Mapping[Contrast, FloatArray], ready: Prepared) -> tuple[Figure, ...]:
        return figures_of(images, predicted(images, ready.head, SITE, self.digests), ready.head)


def main() -> None:
    data = Path(sys.argv[1])
    known = [Study(folder) for place in ("ms-mni", "glioma-brats-space") for folder in sorted((data / place).iterdir())]
    measured = {one.name: list(_subsets(one)) for one in known}
    if len(sys.argv) > 2:
        Path(sys.argv[2]).write_text(tomli_w.dumps(_table(measured)))
    foreign = {folder.name: list(_subsets(Study(folder))) for folder in sorted((data / "ms-aligned").iterdir())}
    _known_or_foreign(measured, foreign)
    _lost(known, measured)


def _subsets(study: Study) -> Iterator[Figure]:
    """Yield the figures of every three and four of a study's series."""
    for size in (3, 4):
        for chosen in itertools.combinations(study.volumes, size):
            ready = prepare({one: study.volumes[one] for one in chosen}, FRAME)
            yield from study.figures(ready.images, ready)


def _ranges(measured: Measured) -> dict[tuple[Contrast, tuple[Contrast, ...]], list[Figure]]:
    pairs: dict[tuple[Contrast, tuple[Contrast, ...]], list[Figure]] = {}
    for figures in measured.values():
        for one in figures:
            pairs.setdefault((one.contrast, one.sources), []).append(one)
    return pairs


def _table(measured: Measured) -> dict[str, object]:
    ranges = []
    for (contrast, sources), figures in _ranges(measured).items():
        spans = {key: [getattr(one, key) for one in figures] for key in ("psnr_db", "ssim", "sharpness")}
        limits = {key: [min(values), max(values)] for key, values in spans.items()}
        ranges.append(
            {"contrast": str(contrast), "sources": list(map(str, sources)), "studies": len(figures), **limits}
        )
    return {"schema": SCHEMA, "regressions_sha256": SITE.sha256, "ranges": ranges}


def _with(figures: tuple[Figure, ...] | list[Figure], measured: Measured) -> tuple[Figure, ...]:
    """Return figures with the ranges that some patients showed."""
    pairs, found = _ranges(measured), []
    for one in figures:
        held = pairs[one.contrast, one.sources]
        spans = {key: [getattr(other, f"{key}_db" if key == "psnr" else key) for other in held] for key in _KEYS}
        limits = {f"{key}_range": Range(low=min(values), high=max(values)) for key, values in spans.items()}
        found.append(one.model_copy(update={"studies": len(held), **limits}))
    return tuple(found)


_KEYS = ("psnr", "ssim", "sharpness")


def _flagged(figures: tuple[Figure, ...], measured: Measured) -> bool:
    return judge(Evidence(_with(figures, measured))).word != AS_EXPECTED


def _known_or_foreign(measured: Measured, foreign: Measured) -> None:
    def mean(figures: list[Figure]) -> float:
        return float(np.mean([one.psnr_db for one in _triple(figures)]))

    ours, theirs = ([mean(figures) for figures in held.values()] for held in (measured, foreign))
    pairs = [(one > other) + 0.5 * (one == other) for one in ours for other in theirs]
    print(f"known {np.round(ours, 2)} foreign {np.round(theirs, 2)} dB: AUC {np.mean(pairs):.2f}")
    found = sum(_flagged(_triple(figures), measured) for figures in foreign.values())
    print(f"foreign studies flagged: {found} of {len(foreign)}")
    clean = [
        _flagged(tuple(figures[start : start + 3]), {other: held for other, held in measured.items() if other != name})
        for name, figures in measured.items()
        for start in range(0, 12, 3)  # the four triples come first
    ]
    print(f"clean triples flagged, ranges of the two other patients: {sum(clean)} of {len(clean)}", flush=True)


def _triple(figures: list[Figure]) -> tuple[Figure, ...]:
    """Return the figures of t1, t2 and flair, each from the two others."""
    return tuple(one for one in figures if Contrast.T1C not in (one.contrast, *one.sources) and len(one.sources) == 2)


def _lost(known: list[Study], measured: Measured) -> None:
    """Print how many results that lost are flagged, and how many that did not."""
    rows = []
    for study in known:
        ready = study.prepared()
        others = {name: held for name, held in measured.items() if name != study.name}
        for target in BRATS_FOUR:
            sources = tuple(one for one in BRATS_FOUR if one is not target)
            clean = {one: ready.images[one] for one in sources}
            before = _psnr(study, ready, clean, target)
            for word, images in _degraded(clean, ready):
                loss = before - _psnr(study, ready, images, target)
                figures = study.figures(images, ready)
                rows.append((word, loss, _flagged(figures, measured), _flagged(figures, others)))
    for way, title in ((2, "shipped ranges"), (3, "ranges of the two other patients")):
        lost = [row[way] for row in rows if row[1] > LOST]
        kept = [row[way] for row in rows if row[1] < KEPT]
        print(
            f"{title}: lost over {LOST} dB and flagged {sum(lost)} of {len(lost)}; "
            f"lost under {KEPT} dB and flagged {sum(kept)} of {len(kept)}"
        )
    for word in dict.fromkeys(row[0] for row in rows):
        of = [row for row in rows if row[0] == word]
        lost = [row for row in of if row[1] > LOST]
        print(
            f"  {word}: {len(of)} runs, mean loss {np.mean([row[1] for row in of]):.2f} dB, "
            f"{sum(row[2] for row in lost)} of {len(lost)} lost ones flagged, {sum(row[2] for row in of)} in all"
        )


def _psnr(study: Study, ready: Prepared, images: Mapping[Contrast, FloatArray], target: Contrast) -> float:
    regressor = SITE.regressor(target, tuple(images), study.digests)
    made = estimated(images, ready.head, regressor.sources, regressor.weights)
    return -10 * float(np.log10(np.mean(np.square(made[ready.head] - ready.images[target][ready.head]))))


def _degraded(clean: dict[Contrast, FloatArray], ready: Prepared) -> Iterator[tuple[str, dict[Contrast, FloatArray]]]:
    """Yield the clean sources, and sources of which one is spoilt in one way."""
    yield "clean", clean
    draw = np.random.default_rng(0)
    for number, (one, image) in enumerate(clean.items()):
        ramp = np.linspace(-1, 1, image.shape[number % 3]).reshape(
            [-1 if axis == number % 3 else 1 for axis in range(3)]
        )
        ways = {
            "noise 0.05": image + draw.normal(0, 0.05, image.shape),
            "noise 0.15": image + draw.normal(0, 0.15, image.shape),
            "blur 2 mm": _smooth(image, 2.0),
            "blur 4 mm": _smooth(image, 4.0),
            "gamma 0.5": image**0.5,
            "gamma 2": image**2,
            "bias 40 %": image * (1 + 0.4 * ramp),
            "shifted 3 mm": np.roll(image, 3, axis=1),
            "shifted 8 mm": np.roll(image, 8, axis=1),
        }
        for word, spoilt in ways.items():
            yield word, clean | {one: np.where(ready.head, np.clip(spoilt, 0, 1), 0).astype(np.float32)}


def _smooth(image: FloatArray, sigma: float) -> FloatArray:
    smooth: FloatArray = sitk.GetArrayFromImage(sitk.SmoothingRecursiveGaussian(sitk.GetImageFromArray(image), sigma))
    return smooth


if __name__ == "__main__":
    main()
