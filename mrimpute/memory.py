"""Images in memory in, images in memory out: no study folder, no file."""

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import ArrayLike

from mrimpute import io
from mrimpute.contrasts import Contrast, parse_contrast
from mrimpute.errors import UsageError
from mrimpute.evaluate import Evaluation, compare, evaluate_files
from mrimpute.fill import Engine
from mrimpute.plan import make_plan
from mrimpute.prepare.doubles import check_doubles
from mrimpute.prepare.extent import check_extent
from mrimpute.prepare.sources import choose_sources
from mrimpute.request import Options
from mrimpute.request.order import order_of
from mrimpute.settings import Settings
from mrimpute.study import Series, Study, identify
from mrimpute.study.evidence import Evidence
from mrimpute.study.names import make_naming
from mrimpute.volume import FloatArray, Grid, Volume
from mrimpute.write.nifti import encoded
from mrimpute.write.verdict import Verdict

Picture = Any
"""A nibabel image, or an array (X, Y, Z) that an affine goes with."""
_MEMORY = Path("in-memory")


@dataclass(frozen=True)
class SyntheticImage:
    """A computed image; never for diagnosis.

    Attributes:
        target: its contrast.
        voxels: (X, Y, Z) float32 on the sources' scale, 0 outside the head.
        affine: (4, 4) float64, voxel index → RAS mm.
        checkpoint: name of the network.
        warnings: what the user should know.
        verdict: what the self-check makes of it, one word with reasons and figures; 'not judged' where it cannot.
        nifti: the file that `fill` would write, marked as synthetic.
    """

    target: Contrast
    voxels: FloatArray
    affine: FloatArray
    checkpoint: str
    warnings: tuple[str, ...]
    verdict: Verdict
    nifti: bytes

    @property
    def image(self) -> nib.Nifti1Image:
        """The same as a nibabel image, with the mark in its header."""
        return nib.Nifti1Image.from_bytes(gzip.decompress(self.nifti))


def synthesise(
    images: Mapping[str, Picture],
    target: str,
    *,
    affine: ArrayLike | None = None,
    weights: str | Path = "auto",
    generator: str | None = None,
    register: bool = False,
    seed: int = 0,
    device: str = "auto",
) -> SyntheticImage:
    """Make one contrast from images in memory, on the grid of the one with the thinnest slices.

    The noise follows the voxels and where they lie, as that of `fill` does.

    Args:
        images: contrast → nibabel image, or array (X, Y, Z) with `affine`.
        target: the contrast to make: t1, t1c, t2, flair, pd or ct, in any known spelling.
        affine: (4, 4), voxel index → RAS mm, of all arrays.
        weights: auto, builtin, a name from `mrimpute weights list`, or a checkpoint folder.
        generator: cwdm, aldm or syndiff; None for the one that the plan chooses.
        register: move images that are out of register, instead of refusing them.
        seed: of the noise.
        device: auto, cpu, cuda or cuda:N.

    Raises:
        UsageError: an array without an affine, or a wish that cannot be honoured.
        StudyRefused: the images do not show one head, or nothing makes the target from them.
        WeightsUnavailable, ResourcesExhausted: as in `fill`.

    >>> import numpy as np
    >>> from mrimpute.phantom import AFFINE, head
    >>> from mrimpute import Contrast, synthesise
    >>> small, three = np.diag([1.4, 1.4, 1.4, 1.0]), [Contrast.T1, Contrast.T1C, Contrast.T2]
    >>> images = {str(contrast): voxels[::2, ::2, ::2] for contrast, voxels in head(three, 0).items()}
    >>> made = synthesise(images, "flair", affine=AFFINE @ small, weights="builtin", device="cpu")
    >>> made.voxels.shape, made.checkpoint, made.verdict.word
    ((120, 120, 78), 'cwdm-flair-small', 'look at it')
    >>> made.image.header["descrip"].item().decode().split(";")[0]
    'SYNTHETIC flair made by mrimpute 0.1.0'
    """
    volumes = {parse_contrast(word): volume_of(word, image, affine) for word, image in images.items()}
    check_doubles(volumes)
    check_extent(volumes)
    study = _study(volumes)
    options = Options(
        weights=(str(weights),), generator=generator, register=register, seed=seed, device=device, threads=None
    )
    plan = make_plan(study, [parse_contrast(target)], generator)
    if not plan.jobs:
        raise UsageError(f"{target} is among the images", "leave it out, or ask for another target")
    (job,) = plan.jobs
    order = order_of(job, study.present, _MEMORY, Settings(), options)
    listed, beside = ([study.get(contrast) for contrast in wanted] for wanted in (job.sources, order.beside))
    by_path = {volume.path: volume for volume in volumes.values()}
    sources = choose_sources(listed, None, by_path, register, mask=None, regressed=beside)
    made, checkpoint, verdict = Engine(options).judged_image(order, sources)
    file = encoded(made, checkpoint, scaled=True)
    warnings = tuple(dict.fromkeys((*sources.notes, *made.warnings)))
    placed = made.recipe.grid.affine
    return SyntheticImage(job.target, file.voxels, placed, checkpoint.name, warnings, verdict, file.content)


def evaluate(
    made: Picture, acquired: Picture, lesion: Picture | None = None, *, affine: ArrayLike | None = None
) -> Evaluation:
    """Measure how near a synthetic image comes to the acquired one.

    Args:
        made, acquired: nibabel images, arrays (X, Y, Z) with `affine`, or paths.
        lesion: likewise, not zero in the lesion; with paths a path.
        affine: (4, 4), voxel index → RAS mm, of all arrays.

    Raises:
        UsageError: they lie on different grids, or paths are mixed with images.
        ImageDamaged: one is no usable image.

    >>> import numpy as np
    >>> from mrimpute import evaluate
    >>> ramp = np.arange(1000.0).reshape(10, 10, 10)
    >>> found = evaluate(ramp + 5, ramp, affine=np.eye(4))
    >>> sorted(found.scores), found.scores["brain"].voxels
    (['brain', 'whole'], 999)
    """
    given = [image for image in (made, acquired, lesion) if image is not None]
    if all(isinstance(image, str | Path) for image in given):
        return evaluate_files(Path(made), Path(acquired), Path(lesion) if lesion is not None else None)
    mask = None if lesion is None else np.asarray(_parts("lesion", lesion, affine)[0] != 0)
    return compare(volume_of("made", made, affine), volume_of("acquired", acquired, affine), mask)


def scan(folder: str | Path, overrides: Mapping[str, str | Path] | None = None) -> Study:
    """Tell what each series of a study is and why, with its problems in it; nothing is written.

    Args:
        folder: the study.
        overrides: contrast → file, where the user knows better.

    Raises:
        StudyRefused: there is no such folder, or no image in it.
        UsageError: an override names no file.

    >>> from mrimpute import scan
    >>> scan("absent")
    Traceback (most recent call last):
    mrimpute.errors.StudyRefused: no such folder: absent; check the path
    """
    named = {parse_contrast(word): Path(path) for word, path in (overrides or {}).items()}
    return identify(Path(folder), named)


def volume_of(name: str, image: Picture, affine: ArrayLike | None = None) -> Volume:
    """Return an image in memory as the volume that a file would be.

    Raises:
        UsageError: an array without an affine, or not three axes.
        ImageDamaged: its voxels can be no acquired image.
    """
    voxels, placed, header = _parts(name, image, affine)
    x, y, z = voxels.shape
    digest = hashlib.sha256(placed.tobytes() + np.ascontiguousarray(voxels).tobytes()).hexdigest()
    return io.checked(Volume(voxels, Grid((x, y, z), placed), Path(f"<{name}>.nii"), digest, header))


def _parts(name: str, image: Picture, affine: ArrayLike | None) -> tuple[FloatArray, FloatArray, Any]:
    """Return voxels as float32, affine and header of a nibabel image or an array."""
    is_image = isinstance(image, nib.spatialimages.SpatialImage)
    if not is_image and affine is None:
        raise UsageError(f"the {name} is an array and its affine is not given", "add affine=, or give a nibabel image")
    voxels = np.asarray(image.get_fdata(dtype=np.float32) if is_image else image, np.float32)
    placed = np.asarray(image.affine if is_image else affine, np.float64)
    if voxels.ndim != 3 or placed.shape != (4, 4):
        raise UsageError(
            f"the {name} has axes {voxels.shape} and an affine {placed.shape}", "give (X, Y, Z) and (4, 4)"
        )
    return voxels, placed, image.header if is_image and isinstance(image, nib.Nifti1Image) else None


def _study(volumes: Mapping[Contrast, Volume]) -> Study:
    named = (Evidence(contrast, "named by the caller", 1.0) for contrast in volumes)
    series = [
        Series(contrast, volume.path, (why,), volume.grid)
        for (contrast, volume), why in zip(volumes.items(), named, strict=True)
    ]
    ordered = tuple(sorted(series, key=lambda item: list(Contrast).index(item.contrast)))
    return Study(_MEMORY, _MEMORY.name, ordered, make_naming(_MEMORY.name, []))
