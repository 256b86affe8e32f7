"""`mrimpute evaluate`: how near synthetic images come to acquired ones."""

import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mrimpute.cli import common

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mrimpute.cli.progress import Display
    from mrimpute.cli.records.evaluate import EvaluateRecord
    from mrimpute.evaluate import Evaluation
    from mrimpute.picture import Strip

EPILOG = "Example: mrimpute evaluate --leave-one-out data/* --missing flair --weights builtin"


def evaluate(
    context: typer.Context,
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="MADE ACQUIRED | STUDY…",
            readable=False,
            help="Two images (files, or folders of a DICOM series); or studies.",
        ),
    ],
    leave_one_out: Annotated[
        bool, typer.Option("--leave-one-out", help="Leave each sequence of each STUDY out and make it from the others.")
    ] = False,
    missing: Annotated[
        list[str] | None, typer.Option("--missing", "-m", metavar="CONTRAST", help="Only these; repeatable.")
    ] = None,
    mask: Annotated[
        Path | None, typer.Option(help="Lesion mask for two files; a study's own is its one segmentation.")
    ] = None,
    weights: Annotated[
        list[str] | None, typer.Option(envvar="MRIMPUTE_WEIGHTS", metavar="WORD", help="As in `mrimpute fill`.")
    ] = None,
    sampler: Annotated[
        str | None,
        typer.Option(envvar="MRIMPUTE_SAMPLER", metavar="NAME", help="As in `mrimpute fill`."),
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, envvar="MRIMPUTE_STEPS", help="As in `mrimpute fill`.")] = None,
    seed: Annotated[int, typer.Option(envvar="MRIMPUTE_SEED", help="As in `mrimpute fill`.")] = 0,
    calibration: common.Calibration = None,
    calibrate_from: Annotated[
        list[str] | None,
        typer.Option(
            "--calibrate-from",
            metavar="STUDY",
            help="Learn it now from this complete study; repeatable.",
            rich_help_panel="Scanner",
        ),
    ] = None,
    seen: Annotated[
        bool, typer.Option("--seen", help="Measure studies too that network or calibration learnt from; it is told.")
    ] = False,
    keep: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="With --leave-one-out: write each acquired and synthetic image, both in [0, 1], there."
        ),
    ] = None,
    segmenter: Annotated[
        str | None,
        typer.Option(
            metavar="COMMAND",
            help="With --leave-one-out: run this on the complete case and on each with one synthetic contrast, and"
            " compare the labels. {case} and {out} in it are folders of the case and, empty, for its one label image.",
        ),
    ] = None,
    layout: Annotated[
        str, typer.Option(metavar="NAMES", help="Of the segmenter's case: brats21, brats23, nnunet:DATASET_JSON.")
    ] = "brats23",
    segmenter_minutes: Annotated[
        float, typer.Option(min=0.01, help="After which one call of the segmenter is given up.")
    ] = 60,
    picture: Annotated[
        Path | None, typer.Option(metavar="PNG", help="Draw acquired, synthetic and difference where the lesion is.")
    ] = None,
    device: common.Device = "auto",
    threads: common.Threads = None,
    trust_study_settings: common.TrustStudySettings = False,
    as_json: common.Json = False,
    json_schema: common.EvaluateSchema = False,
    debug: common.Debug = False,
) -> None:
    """Measure PSNR, SSIM and NMSE in the whole volume, in the brain, and in a lesion."""
    from mrimpute.calibration.run import BATCH, Wish
    from mrimpute.cli.progress import Display
    from mrimpute.contrasts import parse_contrast
    from mrimpute.errors import UsageError
    from mrimpute.evaluate import evaluate_files
    from mrimpute.evaluate import leave_one_out as leave_one_out_of
    from mrimpute.fill import Engine
    from mrimpute.picture import check_picture
    from mrimpute.request import Options
    from mrimpute.segment import parse_segmenter
    from mrimpute.write.layout import parse_layout

    _check_company(common.chosen(context))
    if BATCH in (calibrate_from or ()):
        raise UsageError("--calibrate-from batch goes with --out of `mrimpute fill`", "name complete studies")
    if picture:
        check_picture(picture)
    told = _Told(as_json, keep, picture, debug, Display("auto", len(paths)))
    if leave_one_out:
        named = parse_layout(layout)
        if segmenter and named is None:
            raise UsageError("a segmenter's case needs names", "use --layout brats21, brats23 or nnunet:DATASET_JSON")
        command = parse_segmenter(segmenter, named, segmenter_minutes) if segmenter and named else None
        targets = [parse_contrast(word) for word in missing or []]
        wish = Wish(calibration, tuple(calibrate_from or ()), threads=threads)
        options = Options(
            weights=tuple(weights or ()),
            sampler=sampler,
            steps=steps,
            seed=seed,
            device=device,
            threads=threads,
            trust_study_settings=trust_study_settings,
            calibration=wish.site(paths, targets, common.notify),
            self_check=False,
        )
        engine = Engine(options, told.display, common.notify)
        for folder in paths:
            told.each(leave_one_out_of(folder, targets, options, engine, seen, command))
    elif len(paths) == 2:
        told.one(evaluate_files(paths[0], paths[1], mask))
    else:
        raise UsageError(f"{len(paths)} files are given", "give MADE and ACQUIRED, or --leave-one-out with studies")
    raise typer.Exit(told.end())


_GO_WITH = {
    "--leave-one-out": (
        *("--missing", "--weights", "--sampler", "--steps", "--seed", "--trust-study-settings"),
        *("--calibration", "--calibrate-from", "--seen", "--keep", "--segmenter", "--device", "--threads"),
    ),
    "--segmenter": ("--layout", "--segmenter-minutes"),
}
"""Option → those that mean nothing without it."""


def _check_company(chosen: set[str]) -> None:
    """Check that no option is given that would be passed over.

    Raises:
        UsageError: one is.
    """
    from mrimpute.errors import UsageError

    for needed, others in _GO_WITH.items():
        lost = chosen.intersection(others if needed not in chosen else ())
        if lost:
            raise UsageError(f"{min(lost)} goes with {needed}", f"leave it out, or add {needed}")
    if {"--mask", "--leave-one-out"} <= chosen:
        raise UsageError("--mask goes with two files, not with --leave-one-out", "a study's own segmentation is taken")


class _Told:
    """Tells each comparison as soon as it is done, and lets its images go.

    Args:
        as_json: a line each on stdout; otherwise one table at the end.
        keep: folder for the pairs; None for nowhere.
        picture: where all are drawn at the end; None for nowhere.
        debug: whether the traceback of a failure is shown.
        display: shows the work on a terminal; removed before anything is printed.
    """

    def __init__(self, as_json: bool, keep: Path | None, picture: Path | None, debug: bool, display: "Display") -> None:
        self.as_json, self.keep, self.picture, self.debug, self.display = as_json, keep, picture, debug, display
        self.codes: list[int] = []
        self.records: list[EvaluateRecord] = []
        self.strips: list[Strip] = []

    def each(self, evaluations: "Iterator[Evaluation]") -> None:
        """Tell those of one study; a failure is told, and ends the study; what ends the run leaves the table."""
        try:
            for _ in map(self.one, self._of_study(evaluations)):
                pass  # a variable would hold the images while the next ones are made
        except BaseException:  # a signal or a bug ends the run
            self.display.close()
            self.table()
            raise
        self.display.next_study()

    def _of_study(self, evaluations: "Iterator[Evaluation]") -> "Iterator[Evaluation]":
        from mrimpute.errors import as_mrimpute_error

        try:
            yield from evaluations
        except Exception as error:
            self.display.close()
            if self.debug:
                traceback.print_exception(error)
            told = as_mrimpute_error(error)
            common.notify(str(told))
            self.codes.append(int(told.exit_code))

    def one(self, evaluation: "Evaluation") -> None:
        """Tell one, and what could not be kept or segmented."""
        from mrimpute.cli import render_evaluate
        from mrimpute.errors import MrimputeError
        from mrimpute.evaluate import picture_row
        from mrimpute.pairs import keep_pair
        from mrimpute.picture import drawn

        self.display.close()
        record = render_evaluate.record(evaluation)
        if self.as_json:
            typer.echo(record.line())
        else:
            self.records.append(record)
        if self.picture:
            self.strips.append(drawn(picture_row(evaluation)))
        failures = [evaluation.segmented.error] if evaluation.segmented and evaluation.segmented.error else []
        try:
            if self.keep:
                keep_pair(evaluation, self.keep)
        except MrimputeError as error:
            failures.append(error)
        for failure in failures:
            common.notify(f"{evaluation.target}: {failure}")
        self.codes.append(common.exit_code([int(failure.exit_code) for failure in failures]))

    def table(self) -> None:
        """Print the table, where none was told as JSON."""
        from mrimpute.cli import render_evaluate

        if self.records:
            typer.echo(render_evaluate.text(self.records))

    def end(self) -> int:
        """Print the table and write the picture, where asked for; return the exit code."""
        from mrimpute.picture import write_sheet

        self.table()
        if self.picture and self.strips:
            write_sheet(self.strips, self.picture)
        return common.exit_code(self.codes)
