"""What `bids … group` writes: a table with a row per image, and the same with totals as JSON."""

from pathlib import Path

from mrimpute import __version__
from mrimpute.bids import Group, Session
from mrimpute.cli.records.verify import GroupImageRecord, GroupRecord
from mrimpute.files import real_path
from mrimpute.verify import Finding, Maker

_COLUMNS = ("participant_id", "session_id", "target", "generator", "checkpoint", "status", "image")
_NOTHING = "n/a"
"""BIDS's word for a value that is missing."""


def group_record(group: Group, data: Path, out: Path, code: int, *, shared: bool) -> GroupRecord:
    """Return the JSON object of what was made for a data set.

    Args:
        group: what was found.
        data, out: the data set, and its derivatives.
        code: exit code.
        shared: whether it goes out with the derivatives: the data set by its folder's name alone, other paths from the
            derivatives on; otherwise all paths as given.
    """
    totals = group.totals

    def told(path: Path) -> str:
        return str(path.relative_to(out) if shared else path)

    return GroupRecord(
        version=__version__,
        exit=code,
        data=real_path(data).name if shared else str(data),
        derivatives=told(out),
        participants=len({session.participant for session in group.images}),
        sessions=len(group.images),
        sessions_with_images=sum(bool(found) for found in group.images.values()),
        targets=totals["targets"],
        checkpoints=totals["checkpoints"],
        statuses=totals["statuses"],
        images=[_image(session, finding, told(finding.path)) for session, finding in group.findings],
    )


def _image(session: Session, finding: Finding, path: str) -> GroupImageRecord:
    maker = finding.maker or Maker()
    return GroupImageRecord(
        participant=session.participant,
        session=session.session or None,
        path=path,
        status=finding.status.value,
        target=maker.target,
        generator=maker.generator,
        checkpoint=maker.checkpoint,
        sha256=finding.sha256 or None,
    )


def table(group: Group, out: Path) -> str:
    """Return the table of images; a session without any has a row that says so."""
    rows: list[tuple[str, ...]] = [_COLUMNS]
    for session, found in group.images.items():
        head = (f"sub-{session.participant}", f"ses-{session.session}" if session.session else _NOTHING)
        for finding in found:
            maker = finding.maker or Maker()
            made = (maker.target, maker.generator, maker.checkpoint, finding.status.value)
            rows.append((*head, *(word or _NOTHING for word in made), str(finding.path.relative_to(out))))
        if not found:
            rows.append((*head, *[_NOTHING] * (len(_COLUMNS) - len(head))))
    return "".join("\t".join(row) + "\n" for row in rows)
