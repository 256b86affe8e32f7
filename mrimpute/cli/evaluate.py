"""`mrimpute evaluate`: how near synthetic images come to acquired ones."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mrimpute.cli import common

if TYPE_CHECKING:
    from mrimpute.evaluate import Evaluation

EPILOG = "Example: mrimpute evaluate --leave-one-out data/* --missing flair --weights builtin"


def evaluate(
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
    calibrate_from: common.CalibrateFrom = None,
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
    from mrimpute.calibration.run import Wish
    from mrimpute.cli import render
    from mrimpute.contrasts import parse_contrast
    from mrimpute.errors import MrimputeError, UsageError
    from mrimpute.evaluate import evaluate_files, picture_rows
    from mrimpute.evaluate import leave_one_out as leave_one_out_of
    from mrimpute.fill import Engine
    from mrimpute.pairs import keep_pair
    from mrimpute.picture import check_picture, write_sheet
    from mrimpute.request import Options
    from mrimpute.segment import parse_segmenter
    from mrimpute.write.layout import parse_layout

    evaluations: list[Evaluation] = []
    codes: list[int] = []
    for name, given in (("calibration", calibration or calibrate_from), ("keep", keep), ("segmenter", segmenter)):
        if given and not leave_one_out:
            raise UsageError(f"--{name} goes with --leave-one-out", "two files are compared as they are")
    if picture:
        check_picture(picture)
    if leave_one_out:
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
        engine = Engine(options, notify=common.notify)
        named = parse_layout(layout)
        if segmenter and named is None:
            raise UsageError("a segmenter's case needs names", "use --layout brats21, brats23 or nnunet:DATASET_JSON")
        command = parse_segmenter(segmenter, named, segmenter_minutes) if segmenter and named else None
        for folder in paths:
            try:
                for item in leave_one_out_of(folder, targets, options, engine, seen, command):
                    evaluations.append(item)
                    if keep:
                        keep_pair(item, keep)
                    codes.append(_told(item))
            except MrimputeError as error:
                common.notify(str(error))
                codes.append(int(error.exit_code))
    elif len(paths) == 2:
        evaluations.append(evaluate_files(paths[0], paths[1], mask))
    else:
        raise UsageError(f"{len(paths)} files are given", "give MADE and ACQUIRED, or --leave-one-out with studies")
    if as_json:
        for item in evaluations:
            typer.echo(render.evaluation_record(item).line())
    elif evaluations:
        typer.echo(render.evaluation_text(evaluations))
    if picture and evaluations:
        write_sheet(picture_rows(evaluations), picture)
    raise typer.Exit(common.exit_code(codes))


def _told(item: "Evaluation") -> int:
    """Say what a segmenter could not do; return the exit code of one evaluation."""
    error = item.segmented.error if item.segmented else None
    if error is None:
        return 0
    common.notify(f"{item.target}: {error}")
    return int(error.exit_code)
