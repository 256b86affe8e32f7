"""A BIDS data set as a BIDS-App sees it: its participants and sessions, and what was made for them."""

import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

from mrimpute.errors import OutputRefused, StudyRefused, UsageError
from mrimpute.files import read_json, real_path, standing_sha256, write_whole
from mrimpute.programs import run_program
from mrimpute.study.names import BIDS_MADE
from mrimpute.verify import Finding, images_at, judge
from mrimpute.write.copies import DESCRIPTION, describe_derivatives
from mrimpute.write.provenance import SOURCE_LINK

__all__ = [
    "Group",
    "Session",
    "check_derivatives",
    "describe_derivatives",
    "sessions_of",
    "summarise",
    "uri_of",
    "validate",
    "write_summary",
]

VALIDATORS = ("bids-validator-deno", "bids-validator")
_LAST_WORDS = 20


@dataclass(frozen=True)
class Session:
    """One visit of one participant.

    Attributes:
        participant, session: labels without 'sub-' and 'ses-'; session '' where the data set has none.
        folder: its anatomical images.
    """

    participant: str
    session: str
    folder: Path

    @property
    def inside(self) -> Path:
        """Where it lies in a BIDS data set."""
        return Path(f"sub-{self.participant}", *([f"ses-{self.session}"] if self.session else []), "anat")


@dataclass(frozen=True)
class Group:
    """What was made for a data set.

    Attributes:
        images: session → what is found of each of its synthetic images; () for none.
    """

    images: dict[Session, tuple[Finding, ...]]

    @property
    def findings(self) -> Iterator[tuple[Session, Finding]]:
        """Every image, with its session."""
        return ((session, finding) for session, found in self.images.items() for finding in found)

    @property
    def totals(self) -> dict[str, dict[str, int]]:
        """Images by what they show, by the network that made them, and by status."""
        found = [finding for _, finding in self.findings]
        made = [finding.maker for finding in found if finding.maker]
        return {
            "targets": dict(Counter(maker.target for maker in made)),
            "checkpoints": dict(Counter(maker.checkpoint for maker in made)),
            "statuses": dict(Counter(finding.status.value for finding in found)),
        }


def sessions_of(root: Path, participants: Sequence[str] = (), sessions: Sequence[str] = ()) -> list[Session]:
    """Return the sessions of a BIDS data set that have anatomical images, sorted.

    Args:
        root: of the data set.
        participants, sessions: labels wanted, with or without 'sub-' and 'ses-'; empty for all.

    Raises:
        StudyRefused: no BIDS data set, or none with anatomical images.
        UsageError: a label that the data set lacks.
    """
    if not root.is_dir() or not (root / DESCRIPTION).is_file():
        raise StudyRefused(f"{root} is no BIDS data set: it has no {DESCRIPTION}", "give the folder that has one")
    found = [
        Session(anat.parts[len(root.parts)].removeprefix("sub-"), _label(anat.parent.name, "ses-"), anat)
        for pattern in ("sub-*/anat", "sub-*/ses-*/anat")
        for anat in root.glob(pattern)
        if anat.is_dir()
    ]
    if not found:
        raise StudyRefused(f"{root} has no folder sub-*/anat or sub-*/ses-*/anat", "give a BIDS data set with images")
    subjects = [word.removeprefix("sub-") for word in participants]
    visits = [word.removeprefix("ses-") for word in sessions]
    _check_labels(root, "participant", subjects, {session.participant for session in found})
    _check_labels(root, "session", visits, {session.session for session in found})
    kept = [
        one
        for one in found
        if one.participant in (subjects or [one.participant]) and one.session in (visits or [one.session])
    ]
    _check_labels(root, "such session of participants", subjects, {session.participant for session in kept})
    return sorted(kept, key=lambda one: (one.participant, one.session))


def _label(name: str, prefix: str) -> str:
    return name.removeprefix(prefix) if name.startswith(prefix) else ""


def _check_labels(root: Path, what: str, wanted: Sequence[str], there: set[str]) -> None:
    absent = sorted(set(wanted) - there)
    if absent:
        raise UsageError(f"{root} has no {what} with images: {', '.join(absent)}", "correct the labels")


def check_derivatives(out: Path, root: Path) -> None:
    """Check that a folder is ours to write derivatives of a data set into.

    Raises:
        UsageError: it is the data set itself.
        OutputRefused: it is a data set that something else made, or derivatives of another data set.
    """
    if real_path(out) == real_path(root):
        raise UsageError(f"{out} is the data set itself", "name a folder of its own, such as derivatives/mrimpute")
    file = out / DESCRIPTION
    if not file.exists():
        return
    if not _made_here(file):
        raise OutputRefused(f"{file} does not describe derivatives by mrimpute", "name another folder")
    link, uri = _link_in(file), uri_of(root, out)
    if link != uri and (uri or not _leads_to(root, link, out)):
        raise OutputRefused(
            f"{file} has derivatives of {link or 'a data set that it does not name'}, but {root} is {uri or 'another'}",
            f"choose another OUT; if all in it was made from {root}, correct DatasetLinks ({SOURCE_LINK}) in that file",
        )


def uri_of(data: Path, out: Path) -> str:
    """Return the URI of a data set from its derivatives, as they are handed on: relative, so that both can move.

    Of the way there only the data set's own folder is named; '' where that would need more, such as a user's name.
    """
    way = Path(os.path.relpath(real_path(data), real_path(out)))
    down = [part for part in way.parts if part != os.pardir]
    return quote(way.as_posix()) if len(down) <= 1 else ""


def _made_here(description: Path) -> bool:
    try:
        told = read_json(description)
        return bool(told["DatasetType"] == "derivative" and told["GeneratedBy"][0]["Name"] == "mrimpute")
    except (OSError, ValueError, TypeError, KeyError, IndexError):
        return False


def _link_in(description: Path) -> str:
    """Return what a description of derivatives says they were made from; '' where it does not."""
    links = read_json(description).get("DatasetLinks")
    return str(links.get(SOURCE_LINK, "")) if isinstance(links, dict) else ""


def _leads_to(data: Path, link: str, out: Path) -> bool:
    """Tell whether a link of derivatives that need not have one, if it has, is a path to the data set."""
    return not link or real_path(out / unquote(link.removeprefix("file://"))) == real_path(data)


def validate(root: Path) -> str:
    """Have the validator on PATH look at a data set; return its name, '' where there is none.

    Raises:
        StudyRefused: it finds errors.
    """
    program = next((name for name in VALIDATORS if shutil.which(name)), "")
    if program:
        done = run_program([program, root])
        if done.returncode:
            words = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()][:_LAST_WORDS]
            raise StudyRefused(
                f"{program} finds errors in {root}: {' '.join(words)}", "mend them, or add --skip-bids-validator"
            )
    return program


def summarise(sessions: Sequence[Session], out: Path) -> Group:
    """Return what stands in derivatives for each session, each image compared with its sidecar.

    Raises:
        StudyRefused: the folder holds no derivatives.
    """
    if not (out / DESCRIPTION).is_file():
        raise StudyRefused(f"{out} holds no derivatives yet", "run the participant level first")
    return Group({session: tuple(_findings(out / session.inside)) for session in sessions})


def _findings(folder: Path) -> list[Finding]:
    """Return what is found of the synthetic images in a folder; [] where there is none."""
    images = sorted(folder.glob(f"*_{BIDS_MADE}_*.nii*")) if folder.is_dir() else []
    return [judge(candidate, None) for image in images for candidate in images_at(image)]


def write_summary(out: Path, record: str, table: str) -> tuple[Path, Path]:
    """Write summary.json and summary.tsv into derivatives, in place of earlier ones; return their paths.

    They are no files that BIDS knows, so a .bidsignore names them, where there is none.

    Raises:
        OutputRefused: one of the names is taken by something else, or the folder cannot be written.
    """
    table_file, record_file, ignored = out / "summary.tsv", out / "summary.json", out / ".bidsignore"
    for path, start in ((table_file, table.partition("\n")[0]), (record_file, record.partition(",")[0])):
        if path.exists() and not _begins_with(path, start.encode()):
            raise OutputRefused(f"{path} exists and was not made by mrimpute", "move it away")
    for path, text in ((table_file, table), (record_file, record + "\n")):
        write_whole(path, text.encode(), standing_sha256(path))
    if not ignored.exists():
        write_whole(ignored, b"summary.*\nindex.html\n")
    return table_file, record_file


def _begins_with(path: Path, start: bytes) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(start)) == start
