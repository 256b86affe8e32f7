"""What `verify` shows of an image, as a line of text or of JSON. File names of sources, no tag value of a patient."""

from dataclasses import asdict

from mrimpute import __version__
from mrimpute.cli.records.verify import MakerRecord, SourceRecord, VerifyRecord
from mrimpute.verify import Finding, Maker, Source, Status


def text(finding: Finding) -> str:
    """Return what `verify` prints for one image."""
    made = _made(finding.maker) if finding.maker else ""
    sources = f"from {', '.join(_source(item) for item in finding.sources)}" if finding.sources else ""
    told = "; ".join(filter(None, [made, sources, finding.text]))
    return f"{finding.status:<13} {finding.path}  {told}".replace("\n", "\\x0a")


def record(finding: Finding) -> VerifyRecord:
    """Return the JSON object of one image."""
    return VerifyRecord(
        version=__version__,
        path=str(finding.path),
        status=finding.status.value,
        exit=int(finding.status.exit_code),
        synthetic=True if finding.marks else None if finding.status is Status.UNREADABLE else False,
        text=finding.text,
        marks=list(finding.marks),
        made_by=MakerRecord(**asdict(finding.maker)) if finding.maker else None,
        sidecar=str(finding.sidecar) if finding.sidecar else None,
        sha256=finding.sha256 or None,
        recorded_sha256=finding.recorded or None,
        sources=[
            SourceRecord(
                contrast=item.contrast,
                file=item.file,
                sha256=item.sha256,
                found=str(item.found) if item.found else None,
            )
            for item in finding.sources
        ],
    )


def _made(maker: Maker) -> str:
    network = f", {maker.checkpoint} ({maker.generator}, sha256 {maker.checkpoint_sha256[:16]})"
    program = f"mrimpute {maker.version}".strip()
    return f"synthetic {maker.target}".strip() + f" by {program}" + (network if maker.checkpoint else "")


def _source(source: Source) -> str:
    return f"{source.contrast} ({source.found or source.file}{': found' if source.found else ''})"
