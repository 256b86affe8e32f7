"""`mrimpute cite`: whom to cite, as BibTeX."""

from pathlib import Path
from typing import Annotated

import typer

from mrimpute.cli import common

EPILOG = "Example: mrimpute cite study_dir/study_flair.json > mrimpute.bib"

_PAPERS = {
    "cwdm": """@misc{friedrich2024cwdm,
  author = {Friedrich, Paul and others},
  title = {{cWDM}: Conditional Wavelet Diffusion Models for Cross-Modality {3D} Medical Image Synthesis},
  year = {2024},
  eprint = {2411.17203},
  archivePrefix = {arXiv}
}""",
    "syndiff": """@article{ozbey2023syndiff,
  author = {{\\"O}zbey, Muzaffer and others},
  title = {Unsupervised Medical Image Translation With Adversarial Diffusion Models},
  journal = {IEEE Transactions on Medical Imaging},
  volume = {42},
  number = {12},
  year = {2023},
  doi = {10.1109/TMI.2023.3290149}
}""",
    "aldm": """@inproceedings{kim2024aldm,
  author = {Kim, Jonghun and Park, Hyunjin},
  title = {Adaptive Latent Diffusion Model for {3D} Medical Image to Image Translation:
    Multi-modal Magnetic Resonance Imaging Study},
  booktitle = {WACV},
  year = {2024},
  eprint = {2311.00265},
  archivePrefix = {arXiv}
}""",
}
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
    from mrimpute.errors import StudyRefused
    from mrimpute.marks import read_sidecar

    generators, builtin = dict.fromkeys(_PAPERS), not sidecars
    if sidecars:
        records = {path: read_sidecar(path).get("checkpoint", {}) for path in sidecars}
        unread = [str(path) for path, record in records.items() if record.get("generator") not in _PAPERS]
        if unread:
            raise StudyRefused(
                f"no sidecar by mrimpute: {', '.join(unread)}", "name the .json beside a synthetic image"
            )
        generators = dict.fromkeys(record["generator"] for record in records.values())
        builtin = any(record.get("origin") == "builtin" for record in records.values())
    typer.echo("\n\n".join([*(_PAPERS[name] for name in generators), *([_DATA] if builtin else [])]))
