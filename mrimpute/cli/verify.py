"""`mrimpute verify`: is an image synthetic, by what, unchanged since, and from which sources."""

from pathlib import Path
from typing import Annotated

import typer

from mrimpute.cli import common

EPILOG = """Exit codes: 0 synthetic and intact, or rewritten with the same voxels · 3 changed, unreadable, or marked
with nothing to check it by · 7 not marked · 8 several, and not all alike.

Example: mrimpute verify study_dir/ --source study_dir/"""


def verify(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="PATH…", readable=False, help="Images, sidecars, DICOM files, or folders."),
    ] = None,
    source: Annotated[
        list[Path] | None,
        typer.Option(
            "--source",
            metavar="PATH",
            help="A source, or a folder of them; repeatable. Every recorded source must be among them.",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object per image and line.", rich_help_panel="Output")
    ] = False,
    json_schema: common.VerifySchema = False,
    debug: common.Debug = False,
) -> None:
    """Tell whether images are synthetic, by what, unchanged since, and from which sources.

    A folder stands for every image below it that is marked or cannot be read: a study, a DICOM series or derivatives
    of a BIDS data set. Acquired images in it are passed over, and so are saved brain masks; a folder without any mark
    is not marked.

    An image is intact when its bytes have the digest that the JSON sidecar beside it records. A NIfTI image whose
    bytes differ, as packed anew or in another container, but whose voxels, place and marks are those recorded, is
    rewritten; any other is changed, and in what is said. Without that sidecar the marks in the image can still be told,
    but nothing proves that it is unchanged: unchecked, code 3. There is no signature: this finds accidents, not a
    forger who also writes the sidecar anew.
    """
    from mrimpute.cli import render_verify
    from mrimpute.errors import UsageError
    from mrimpute.verify import digests_of, images_at, judge

    if not paths:
        raise UsageError("nothing to verify was given", "name an image, a sidecar or a folder")
    given = digests_of(source) if source else None
    codes = []
    for path in paths:
        for image in images_at(path):
            finding = judge(image, given)
            codes.append(int(finding.status.exit_code))
            typer.echo(render_verify.record(finding).line() if as_json else common.shown(render_verify.text(finding)))
    raise typer.Exit(common.exit_code(codes))
