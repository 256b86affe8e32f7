"""What made an image: the marks in the file, and the sidecar beside it."""

import platform
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from mrimpute._version import __version__
from mrimpute.contrasts import Contrast
from mrimpute.device import OPENVINO, TORCH
from mrimpute.marks import DESCRIPTION_MARK, SIDECAR_SCHEMA
from mrimpute.prepare import Recipe
from mrimpute.prepare.rigid import Alignment
from mrimpute.prepare.skull import BrainMask
from mrimpute.registry import Checkpoint
from mrimpute.volume import Volume
from mrimpute.write.verdict import Verdict

WARNING = (
    "This image is synthetic. It was computed from other series and was not acquired. "
    "It may lack findings or show false ones. Not for diagnosis."
)

RECIPE_VERSION = "0.8"
"""Of what mrimpute does with equal inputs, weights and options; it rises with every change that alters voxels."""

SOURCE_LINK = "raw"
"""What a BIDS data set of derivatives calls the one that it was made from."""

OpenKeys = Mapping[str, Collection[str]]
"""Keys of a fingerprint that the machine decided, and what another machine may have decided."""


@dataclass(frozen=True)
class Fingerprint:
    """Everything that decides the voxels; two equal ones make the same image.

    Attributes:
        target: contrast made.
        checkpoint_sha256: digest of the weights.
        sources: contrast → digest of the source's file.
        onto: digest of the series whose grid the image has.
        moved: sources that were registered to it.
        brain_mask: digest of the user's mask, or the program that made one; '' for none.
        sampler, steps, seed: how the network was sampled.
        precision, device: number type and device type.
        intensity: 'study' or 'unit'.
        calibration: digest of the calibration; '' for none.
        samples: of how many images, made with as many seeds from `seed` on, this is the mean (or the spread).
        engine: what computed the network, 'torch' or 'openvino'.
        version: see RECIPE_VERSION.
    """

    target: str
    checkpoint_sha256: str
    sources: dict[str, str]
    onto: str
    moved: list[str]
    brain_mask: str
    sampler: str
    steps: int
    seed: int
    precision: str
    device: str
    intensity: str
    calibration: str = ""
    samples: int = 1
    engine: str = TORCH
    version: str = RECIPE_VERSION

    @property
    def content(self) -> dict[str, Any]:
        """What sidecars hold and digests follow from; of `samples` and `engine` only what is not the usual."""
        return {key: value for key, value in asdict(self).items() if key not in _USUAL or value != _USUAL[key]}

    def same_as(self, recorded: object, open_to: OpenKeys | None = None) -> bool:
        """Tell whether a sidecar holds this fingerprint.

        Args:
            recorded: what stands in the sidecar.
            open_to: key → values that do as well as this one's.
        """
        if not isinstance(recorded, dict):
            return False
        recorded, own = _USUAL | recorded, asdict(self)
        alike = {key: own[key] for key, values in (open_to or {}).items() if recorded.get(key) in values}
        return recorded | alike == own


_USUAL = {"samples": 1, "engine": TORCH}
"""What a sidecar need not tell."""


def description(what: str) -> str:
    """Return the text for a NIfTI `descrip` field (79 ASCII characters at most).

    Args:
        what: a contrast, or 't1-spread' and the like.
    """
    return f"{DESCRIPTION_MARK} {what} made by mrimpute {__version__}; not acquired"


def derivation(fingerprint: Fingerprint, checkpoint: Checkpoint, one: float) -> str:
    """Return the text of a DICOM Derivation Description (1024 characters at most); `one` is what 1 is stored as."""
    seed, count = fingerprint.seed, fingerprint.samples
    drawn = f"mean of {count} samples with seeds {seed} to {seed + count - 1}" if count > 1 else f"seed {seed}"
    text = (
        f"{DESCRIPTION_MARK} {fingerprint.target}, computed from {', '.join(fingerprint.sources)} by mrimpute "
        f"{__version__}, not acquired. Network {checkpoint.name} ({checkpoint.record.generator}, sha256 "
        f"{fingerprint.checkpoint_sha256[:16]}), {fingerprint.sampler}, {fingerprint.steps} steps, {drawn}. "
        f"Stored value {one:.0f} is the network's 1. {WARNING}"
    )
    return text[:1024]


def sidecar(
    image: str,
    image_sha256: str,
    voxel_sha256: str,
    fingerprint: Fingerprint,
    checkpoint: Checkpoint,
    volumes: Mapping[Contrast, Volume],
    alignments: Mapping[Contrast, Alignment],
    onto: Volume,
    recipe: Recipe,
    scale: tuple[float, float],
    warnings: tuple[str, ...],
    mask: BrainMask | None,
    threads: int,
    regression: Mapping[str, object] | None,
    fit: Mapping[str, object] | None,
    kind: str,
    verdict: Verdict | None,
    checked: bool,
) -> dict[str, Any]:
    """Return the content of the JSON file beside a synthetic image, whose 0 and 1 became `scale`.

    The number of CPU threads is told, and is no part of the recipe: it changes the last digits only. Nor is `checked`,
    which is false where --no-checks kept names and scanner from being judged.

    File names stand in it without their folders, which may name a patient.
    """
    record = checkpoint.record
    low = {contrast: asdict(grey) for contrast, grey in recipe.ranges.items()}
    zero, one = scale
    return {
        "schema": SIDECAR_SCHEMA,
        "Synthetic": True,
        "Warning": WARNING,
        "Contrast": fingerprint.target,
        "GeneratedBy": [{"Name": "mrimpute", "Version": __version__}],
        "Sources": [
            {"contrast": contrast, "file": volume.path.name, "sha256": volume.sha256, "range": low[contrast]}
            for contrast, volume in volumes.items()
        ],
        "kind": kind,
        "verdict": verdict.model_dump(mode="json") if verdict else None,
        "fingerprint": fingerprint.content,
        "checkpoint": {
            "name": checkpoint.name,
            "generator": record.generator,
            "origin": record.origin,
            "sha256": fingerprint.checkpoint_sha256,
            **record.about.model_dump(),
        },
        "regression": regression,
        "fit": fit,
        "checked": checked,
        "grid": {
            "of": recipe.reference,
            "file": onto.path.name,
            "sha256": onto.sha256,
            "shape": recipe.grid.shape,
            "spacing_mm": recipe.grid.spacing,
        },
        "register": {
            contrast: {
                "mean_mm": round(one.mean_mm, 2),
                "largest_mm": round(one.largest_mm, 2),
                "gain": round(one.gain, 3),
                "moved_by": one.motion.round(6).tolist() if one.moved else None,
            }
            for contrast, one in alignments.items()
        }
        | {
            contrast: "not measured"
            for contrast, volume in volumes.items()
            if contrast not in alignments and volume.sha256 != onto.sha256
        },
        "brain_mask": {"from": mask.origin, "sha256": mask.sha256, "litres": round(mask.litres, 3)} if mask else None,
        "frame": {
            "orientation": recipe.reorient.orientation,
            "resampled_to_shape": recipe.resampled.shape if recipe.resampled else None,
            "window_start": recipe.window.start,
            "window_size": recipe.window.size,
        },
        "intensity": {"scale": fingerprint.intensity, "zero": zero, "one": one},
        "image": {
            "file": image,
            "sha256": image_sha256,
            "voxels_sha256": voxel_sha256,
            "affine": recipe.grid.affine.tolist(),
        },
        "threads": threads,
        "warnings": list(warnings),
        "software": dict(_versions(fingerprint.engine)),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


@cache
def _versions(engine: str) -> Mapping[str, str]:
    """Return the versions of what has a share in the voxels; read once, they are those of a run."""
    names = ("torch", "numpy", "nibabel", "SimpleITK", *([OPENVINO] if engine == OPENVINO else []))
    return {name: metadata.version(name) for name in names} | {"python": platform.python_version()}


def bids_sidecar(content: Mapping[str, Any], volumes: Mapping[Contrast, Volume], stripped: bool) -> dict[str, Any]:
    """Return the content of a sidecar in a BIDS data set, where two keys have a meaning of their own.

    `Sources` lists BIDS URIs there, which `DatasetLinks` of the data set's description resolves; the full entries stand
    under `sources`. `SkullStripped` is required of derived anatomical images (BIDS 1.9, common derivatives).

    Args:
        content: of any sidecar.
        volumes: what the image was made from.
        stripped: whether it is 0 outside the brain.
    """
    uris = [f"bids:{SOURCE_LINK}:{_inside(volume.path)}" for volume in volumes.values()]
    return {**content, "Sources": uris, "sources": content["Sources"], "SkullStripped": stripped}


def _inside(path: Path) -> str:
    """Return where a file lies in its BIDS data set; of a file that lies in none its name."""
    parts = path.absolute().parts
    subjects = [number for number, part in enumerate(parts[:-1]) if part.startswith("sub-")]
    return "/".join(parts[subjects[-1] :] if subjects else parts[-1:])
