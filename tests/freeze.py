"""The outside of mrimpute, held still: what two versions of the package do with the same studies.

    python tests/freeze.py OTHER_CHECKOUT           compares the package there with the one beside this file
    python tests/freeze.py OTHER_CHECKOUT --small   the same with small heads: four minutes instead of twenty
    python tests/freeze.py OTHER_CHECKOUT --store   writes what it does with small heads into tests/goldens/frozen.json

Both run in processes of their own, on one machine, environment and number of threads: the 14 incomplete subsets with
the built-in networks, a classic and an enhanced DICOM study under a fixed clock, a BIDS and an nnU-Net layout, a table
of wrong lines, and the names of all options. Voxels and DICOM files must be equal byte for byte; of sidecars and JSON
lines the keys, and every value but versions, times and costs. `tests/test_frozen.py` holds the stored set in the suite:
there images are compared by the means of their blocks, and DICOM files without pixels and clock.
"""

import gzip
import hashlib
import inspect
import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
STORED = ROOT / "tests" / "goldens" / "frozen.json"
sys.path.insert(0, str(ROOT))

FOUR = ("t1", "t1c", "t2", "flair")
SMALL = (20, 24, 18)
"""Voxels of a small head."""
WORDS = {"t1": "t1n", "t1c": "t1c", "t2": "t2w", "flair": "t2f"}
SUBSETS = [subset for size in (1, 2, 3) for subset in itertools.combinations(FOUR, size)]
FEW = (("t1c", "t2"), ("t1", "t1c", "t2"))
"""Those that are filled with small heads: each of the three generators makes one of them."""
CLOCK = "2026-01-02T03:04:05"
VARY = ("version", "Version", "created", "cost", "software", "seconds", "cpu_seconds", "study", "path", "checks")
"""Keys whose values may differ between two runs; only that they are there is compared."""
AGED = "seen"
"""Key that is left out: whether it has a value hangs on how long ago the study was written."""

RUN = f"""
import datetime, sys

class Fixed(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromisoformat({CLOCK!r}).replace(tzinfo=tz)

datetime.datetime = Fixed
from mrimpute.cli.app import main
main(sys.argv[1:])
"""

BAD_LINES = (
    "fill",
    "fill {absent}",
    "fill {empty}",
    "fill {file}",
    "fill {study} --missing adc",
    "fill {study} --missing ct --weights builtin",
    "fill {study} --missing pd",
    "fill {study} --colour red",
    "fill {study} --sampler euler",
    "fill {study} --sampler paper --weights builtin",
    "fill {study} --sampler ddpm --steps 10 --weights builtin",
    "fill {study} --steps 0",
    "fill {study} --steps 5000 --weights builtin",
    "fill {study} --weights a --weights b",
    "fill {study} --weights gan=a",
    "fill {study} --weights nonsense",
    "fill {study}",
    "fill {study} --device tpu --weights builtin",
    "fill {study} --device cuda:99 --weights builtin",
    "fill {study} --format dicom --weights builtin",
    "fill {study} --layout brats21",
    "fill {study} --layout brats22 --out {out}",
    "fill {study} --layout brats21 --out {out} --brain-mask {file}",
    "fill {study} --save-mask",
    "fill {study} --brain-mask {file} --skull-strip",
    "fill {study} --reference flair",
    "fill {study} --t1 nowhere.nii.gz",
    "fill {study} {empty} --t1 x.nii.gz",
    "fill {study} --generator syndiff --missing flair --generator gan",
    "fill {damaged} --weights builtin",
    "scan {absent}",
    "scan {study} {absent}",
    "evaluate {file}",
    "weights path nonsense",
    "train cwdm {absent} --target flair --out {out}",
)
"""Lines that must fail, each with a code of its own (`{name}` is a place that `prepare` made)."""


def environment(home: Path, package: Path) -> dict[str, str]:
    """Return a process environment in which nothing but the package under test differs."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("MRIMPUTE_", "HF_"))}
    places = {"MRIMPUTE_HOME": str(home), "MRIMPUTE_STATE": str(home), "HF_HUB_OFFLINE": "1"}
    return kept | places | {"MRIMPUTE_THREADS": "1", "PYTHONPATH": str(package), "COLUMNS": "200"}


def voxels_digest(path: Path) -> str:
    """Return the digest of a NIfTI file's uncompressed bytes but for the texts that state a version."""
    raw = bytearray(gzip.decompress(path.read_bytes()))
    raw[148:252] = bytes(104)  # descrip and aux_file (NIfTI-1 header, bytes 148 to 251)
    return hashlib.sha256(raw).hexdigest()


def shape_of(value: Any, key: str = "") -> Any:
    """Return a JSON value in which whatever may vary between runs is replaced by its type."""
    if isinstance(value, dict):
        kept = {name: item for name, item in value.items() if name != AGED}
        return {name: type(item).__name__ if name in VARY else shape_of(item, name) for name, item in kept.items()}
    if isinstance(value, list):
        return [shape_of(item, key) for item in value]
    return value


def results(folder: Path, exact: bool) -> dict[str, Any]:
    """Return what a run left in a folder: images and sidecars, byte for byte or, where networks of other machines
    differ in the last digits, by summaries."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.name.endswith(".nii.gz"):
            found[name] = voxels_digest(path) if exact else summary(path)
        elif path.suffix == ".json":
            content = shape_of(json.loads(path.read_bytes()))
            for digest in ("sha256", "voxels_sha256"):  # a version's text, and last digits, are in them
                content.get("image", {}).pop(digest, None)
            found[name] = content
        elif path.is_file():
            made = not exact and path.suffix == ".dcm" and "mrimpute" in path.parent.name
            found[name] = dicom_summary(path) if made else hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def summary(path: Path) -> list[float]:
    """Return the means of an image over a 4x4x4 raster of blocks, in thousands: equal where the image is."""
    voxels = np.asarray(nib.load(path).dataobj, np.float64)
    parts = [np.array_split(np.arange(length), 4) for length in voxels.shape]
    return [round(float(voxels[np.ix_(*block)].mean()) / 1000, 7) for block in itertools.product(*parts)]


def dicom_summary(path: Path) -> dict[str, Any]:
    """Return the scale of a derived DICOM file, and its digest without pixels, what follows from them, and clock."""
    from pydicom import dcmread

    data = dcmread(path)
    mean = round(float(data.pixel_array.mean()) / 1000, 7)
    scales = []
    for element in list(data.iterall()):
        if element.keyword in ("RescaleSlope", "RescaleIntercept"):  # whose last digit follows the brightest voxel
            scales.append(float(element.value) * 2**16 / 1000)  # of the whole range, in thousands of grey values
            element.value = None
        follows = element.keyword.startswith(("Window", "Smallest", "Largest", "PixelData"))
        from_voxels = element.VR == "UI" and str(element.value).startswith("2.25.")
        if follows or from_voxels or element.VR in ("DA", "TM", "DT"):
            element.value = None
    for group in data.get("SharedFunctionalGroupsSequence") or ():
        del group.FrameVOILUTSequence
    data.file_meta.MediaStorageSOPInstanceUID = ""  # from voxels too, and the length of the group with it
    data.file_meta.FileMetaInformationGroupLength = 0
    return {"mean": mean, "scales": scales, "header": hashlib.sha256(str(data).encode()).hexdigest()}


def options_of(app: Any) -> dict[str, list[str]]:
    """Return the names of all options of all commands."""
    import typer

    def walk(command: Any, name: str) -> Iterator[tuple[str, list[str]]]:
        yield (
            name,
            sorted(word for parameter in command.params for word in (*parameter.opts, *parameter.secondary_opts)),
        )
        for inner, child in sorted(getattr(command, "commands", {}).items()):
            yield from walk(child, f"{name} {inner}".strip())

    return dict(walk(typer.main.get_command(app), ""))


def write_head(folder: Path, contrasts: tuple[str, ...], size: str) -> Path:
    """Write a computed head: 'real', the whole phantom, or 'small', a noisy ellipsoid."""
    from mrimpute.contrasts import Contrast
    from mrimpute.phantom import AFFINE, head
    from tests.conftest import WIDE, head_voxels, write_nifti

    if size == "real":
        images, affine = head([Contrast(word) for word in FOUR], 0), AFFINE
    else:
        images, affine = {Contrast(word): head_voxels(Contrast(word), SMALL) for word in FOUR}, WIDE
    for word in contrasts:
        write_nifti(folder / f"{folder.name}-{WORDS[word]}.nii.gz", images[Contrast(word)], affine)
    return folder


def write_dicom(folder: Path, enhanced: bool) -> Path:
    """Write a DICOM study of T1, T1 after agent and T2, with UIDs that are the same each time."""
    from mrimpute.contrasts import Contrast
    from tests.dicom_builders import enhance, slice_of

    shared = {"study": "1.2.3.1", "space": "1.2.3.2"}
    for number, word in enumerate(FOUR[:3], 1):
        (folder / word).mkdir(parents=True)
        for index in range(9):
            data = slice_of(Contrast(word), index, {**shared, "series": f"1.2.3.{10 + number}"}, number=number)
            data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{10 + number}.{index + 1}"
            data.save_as(folder / word / f"im{index:03d}.dcm", enforce_file_format=True)
        if enhanced:
            enhance(folder / word)
    return folder


def write_bids(folder: Path) -> Path:
    """Write one subject of a BIDS data set without FLAIR."""
    from mrimpute.contrasts import Contrast
    from tests.conftest import WIDE, head_voxels, write_nifti

    for contrast, word in ((Contrast.T1, "T1w"), (Contrast.T1C, "ce-gadolinium_T1w"), (Contrast.T2, "T2w")):
        write_nifti(folder / "anat" / f"{folder.name}_{word}.nii.gz", head_voxels(contrast, SMALL), WIDE)
    return folder


def prepare(work: Path, size: str) -> dict[str, Path]:
    """Write the studies and the places that the lines name."""
    places = {name: work / name for name in ("absent", "empty", "file", "out", "study", "damaged")}
    places["empty"].mkdir(parents=True)
    places["file"].write_text("no image")
    write_head(places["study"], FOUR[:3], "small")
    write_head(places["damaged"], FOUR[:3], "small")
    broken = places["damaged"] / "damaged-t2w.nii.gz"
    broken.write_bytes(broken.read_bytes()[:-200])
    for subset in SUBSETS if size == "real" else FEW:
        write_head(work / "subsets" / "+".join(subset), subset, size)
    write_dicom(work / "dicom" / "classic", enhanced=False)
    write_dicom(work / "dicom" / "enhanced", enhanced=True)
    write_bids(work / "bids" / "sub-01")
    channels = {"channel_names": {"0": "T1", "1": "T1ce", "2": "T2", "3": "Flair"}}
    (work / "dataset.json").write_text(json.dumps(channels))
    return places


Run = Callable[..., subprocess.CompletedProcess[str]]


def record(run: Run, options: dict[str, list[str]], work: Path, size: str, exact: bool = True) -> dict[str, Any]:
    """Return all that one version of the package does; its studies are written below `work`.

    Args:
        run: calls its command line.
        options: names of its options by command.
        work: an empty folder.
        size: of the heads, 'real' or 'small'.
        exact: whether images are recorded byte for byte.
    """
    places = prepare(work, size)
    found: dict[str, Any] = {"options": options, "lines": {}, "json": {}, "files": {}}
    for line in BAD_LINES:
        words = line.format(**{name: str(path) for name, path in places.items()}).split()
        found["lines"][line] = run(*words).returncode
    alike = ("--device", "cpu", "--precision", "float32")  # on every processor
    builtin = ("--weights", "builtin", *alike, "--json", "--quiet")
    channels = work / "dataset.json"
    fills = {
        "subsets": (*sorted((work / "subsets").iterdir()), *builtin),
        "dicom": (*sorted((work / "dicom").iterdir()), "--missing", "flair", *builtin),
        "bids": (work / "bids" / "sub-01", "--missing", "flair", *builtin),
        "nnunet": (places["study"], "--out", work / "nn", "--layout", f"nnunet:{channels}", *builtin),
    }
    for name, words in fills.items():
        done = run("fill", *words)
        lines = [shape_of(json.loads(line)) for line in done.stdout.splitlines()]
        for output in (output for line in lines if not exact for output in line["outputs"]):
            del output["sha256"]
        found["json"][name] = [done.returncode, lines]
    found["json"]["scan"] = [shape_of(json.loads(run("scan", places["study"], "--json").stdout))]
    for name in ("subsets", "dicom", "bids", "nn"):
        found["files"][name] = results(work / name, exact)
    return found


def recorded(package: Path, work: Path, size: str, exact: bool) -> dict[str, Any]:
    """Return what the package in a checkout does, in processes of its own."""
    surroundings = environment(work / "home", package)

    def run(*words: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", RUN, *map(str, words)]
        return subprocess.run(command, capture_output=True, text=True, env=surroundings, cwd=work)

    script = (
        "import json\nfrom collections.abc import Iterator\nfrom typing import Any\n"
        f"from mrimpute.cli.app import app\n{inspect.getsource(options_of)}\nprint(json.dumps(options_of(app)))"
    )
    command = [sys.executable, "-c", script]
    names = subprocess.run(command, capture_output=True, text=True, check=True, env=surroundings, cwd=ROOT.parent)
    return record(run, json.loads(names.stdout), work, size, exact)


def differences(one: Any, other: Any, place: str = "", tolerance: float = 0.0) -> Iterator[str]:
    """Yield where two recorded values differ; numbers by more than a tolerance."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted({*one, *other}):
            if key not in one or key not in other:
                yield f"{place}/{key}: only in the {'second' if key not in one else 'first'}"
            else:
                yield from differences(one[key], other[key], f"{place}/{key}", tolerance)
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for index, (left, right) in enumerate(zip(one, other, strict=True)):
            yield from differences(left, right, f"{place}[{index}]", tolerance)
    elif isinstance(one, float) and isinstance(other, float) and abs(one - other) <= tolerance * max(1.0, abs(one)):
        return
    elif one != other:
        yield f"{place}: {one!r} against {other!r}"


def changes(before: dict[str, Any], after: dict[str, Any], tolerance: float = 0.0) -> list[str]:
    """Return what a later version does otherwise; an option may come, but not go."""
    listed = (
        {f"{command} {name}" for command, names in one["options"].items() for name in names} for one in (before, after)
    )
    first, second = listed
    lost = [f"/options: {name} is gone" for name in sorted(first - second)]
    rest = ({key: value for key, value in one.items() if key != "options"} for one in (before, after))
    return lost + list(differences(*rest, tolerance=tolerance))


def main() -> None:
    """Compare another checkout's package with this one's, or store what it does."""
    other = Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch) / "work"
        if "--store" in sys.argv:
            text = json.dumps(recorded(other, work, "small", exact=False), indent=1).replace(str(work), "{work}")
            STORED.write_text(text + "\n")
            return
        found = []
        for name, package in (("other", other), ("here", ROOT)):
            found.append(recorded(package, work, "small" if "--small" in sys.argv else "real", exact=True))
            work.rename(Path(scratch) / name)  # both ran under one path
    unequal = changes(*found)
    print("\n".join(unequal) or "no difference")
    sys.exit(bool(unequal))


if __name__ == "__main__":
    main()
