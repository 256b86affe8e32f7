"""`mrimpute cite`: whom to cite, as BibTeX."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mrimpute.cli import common

if TYPE_CHECKING:
    from mrimpute.verify.sidecar import RecordedCheckpoint

EPILOG = "Example: mrimpute cite study_dir/study_flair.json > mrimpute.bib"

_DATA = """@article{lesjak2018ms,
  author = {Lesjak, {\\v Z}iga and others},
  title = {A Novel Public {MR} Image Dataset of Multiple Sclerosis Patients With Lesion Segmentations
    Based on Multi-rater Consensus},
  journal = {Neuroinformatics},
  year = {2018},
  doi = {10.1007/s12021-017-9348-7}
}

@article{clark2013tcia,
  author = {Clark, Kenneth and others},
  title = {The Cancer Imaging Archive ({TCIA})},
  journal = {Journal of Digital Imaging},
  volume = {26},
  pages = {1045},
  year = {2013}
}"""


def cite(
    sidecars: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[SIDECAR…]", readable=False, help="JSON files beside synthetic images. Default: all."),
    ] = None,
    debug: common.Debug = False,
) -> None:
    """Print BibTeX of what made synthetic images: the papers, and the data of the built-in networks."""
    from mrimpute.generators.contract import method_of
    from mrimpute.plan import generator_names

    checkpoints = [_checkpoint(path) for path in sidecars or ()]
    generators = dict.fromkeys(made.generator for made in checkpoints) if sidecars else generator_names()
    builtin = not sidecars or any(made.origin == "builtin" for made in checkpoints)
    typer.echo("\n\n".join([*(method_of(name).bibtex for name in generators), *([_DATA] if builtin else [])]))


def _checkpoint(path: Path) -> "RecordedCheckpoint":
    """Return what a sidecar records of the network.

    Raises:
        StudyRefused: it is no sidecar of ours, or of a generator that is not known here.
        ImageDamaged: it lacks what a sidecar of ours has.
    """
    from mrimpute.errors import StudyRefused
    from mrimpute.plan import generator_names
    from mrimpute.verify.sidecar import read_sidecar

    record = read_sidecar(path)
    if record is None:
        raise StudyRefused(f"no sidecar by mrimpute: {path}", "name the .json beside a synthetic image")
    if record.checkpoint.generator not in generator_names():
        raise StudyRefused(
            f"{path} tells of a generator {record.checkpoint.generator!r}, which is not known here",
            "take the version of mrimpute that made the image",
        )
    return record.checkpoint
