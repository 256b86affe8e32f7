"""`mrimpute fill`: the main job, for one or many studies."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mrimpute.cli import common, given
from mrimpute.cli.telling import Manner, Telling, telling_of, told_again

if TYPE_CHECKING:
    from mrimpute.contrasts import Contrast
    from mrimpute.request import Options

EPILOG = "Example: mrimpute fill study_dir/ --missing flair --weights builtin"

_WHAT, _WHICH, _SPACE = "What to fill", "Which series", "Grid, register, skull"
_HOW, _WHERE, _OUTPUT, _VERDICT = "How", "Where", "Output", "Verdict"


def fill(
    context: typer.Context,
    studies: given.Studies = None,
    missing: Annotated[
        list[str] | None,
        typer.Option(
            "--missing",
            "-m",
            metavar="CONTRAST",
            autocompletion=common.complete_contrast,
            rich_help_panel=_WHAT,
            help="What to make: t1, t1c, t2, flair, pd or ct; repeatable. Default: those of t1, t2, flair that are"
            " missing; t1c only when asked for.",
        ),
    ] = None,
    t1: given.T1 = None,
    t1c: given.T1c = None,
    t2: given.T2 = None,
    flair: given.Flair = None,
    pd: given.Pd = None,
    ct: given.Ct = None,
    ignore_broken: given.IgnoreBroken = False,
    no_checks: Annotated[
        bool,
        typer.Option(
            "--no-checks",
            envvar="MRIMPUTE_NO_CHECKS",
            rich_help_panel=_WHICH,
            help="Do not judge names, scanner, register by grey values; mirrored and equal images are always refused.",
        ),
    ] = False,
    self_check: Annotated[
        bool,
        typer.Option(
            "--self-check/--no-self-check",
            envvar="MRIMPUTE_SELF_CHECK",
            rich_help_panel=_VERDICT,
            help="Predict each present series from the others, and give a verdict on the result.",
        ),
    ] = True,
    require: Annotated[
        Literal["as-expected"] | None,
        typer.Option(
            metavar="VERDICT",
            envvar="MRIMPUTE_REQUIRE",
            rich_help_panel=_VERDICT,
            help="as-expected: end with code 7 where a result has another verdict; it is written all the same.",
        ),
    ] = None,
    report: Annotated[
        bool,
        typer.Option(
            "--report",
            envvar="MRIMPUTE_REPORT",
            rich_help_panel=_OUTPUT,
            help="Write an HTML report beside each result: verdict, viewer, provenance, in one file.",
        ),
    ] = False,
    picture: Annotated[
        bool,
        typer.Option(
            "--picture",
            envvar="MRIMPUTE_PICTURE",
            rich_help_panel=_OUTPUT,
            help="Write a PNG beside each result: middle slices of its sources and of itself.",
        ),
    ] = False,
    generator: Annotated[
        str | None,
        typer.Option(
            envvar="MRIMPUTE_GENERATOR",
            metavar="NAME",
            rich_help_panel=_HOW,
            help="cwdm, aldm or syndiff, instead of the one the plan chooses.",
        ),
    ] = None,
    weights: Annotated[
        list[str] | None,
        typer.Option(
            envvar="MRIMPUTE_WEIGHTS",
            metavar="WORD",
            autocompletion=common.complete_weights,
            rich_help_panel=_HOW,
            help="auto, builtin, a name from `weights list`, a checkpoint folder or hf://owner/repo; GENERATOR=WORD"
            " for one generator only.",
        ),
    ] = None,
    sampler: Annotated[
        str | None,
        typer.Option(
            envvar="MRIMPUTE_SAMPLER",
            metavar="NAME",
            rich_help_panel=_HOW,
            help="ddim (default): few steps, near the mean. ddpm: the cWDM paper's 1000 random steps."
            " paper: ALDM's 200. none: ALDM without diffusion.",
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            min=1, envvar="MRIMPUTE_STEPS", rich_help_panel=_HOW, help="Of ddim. Default: the checkpoint's own."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(envvar="MRIMPUTE_SEED", rich_help_panel=_HOW, help="Of the noise.")] = 0,
    samples: Annotated[
        int,
        typer.Option(
            min=1,
            max=99,
            envvar="MRIMPUTE_SAMPLES",
            rich_help_panel=_HOW,
            help="Make so many images with seeds from --seed on; their mean is the result, their spread a map beside.",
        ),
    ] = 1,
    calibration: common.Calibration = None,
    calibrate_from: common.CalibrateFrom = None,
    recalibrate: Annotated[
        bool,
        typer.Option(
            "--recalibrate",
            rich_help_panel="Scanner",
            help="With --calibrate-from batch: learn again, instead of using what an earlier run learnt.",
        ),
    ] = False,
    device: common.Device = "auto",
    precision: Annotated[
        Literal["auto", "float32", "bfloat16"],
        typer.Option(
            envvar="MRIMPUTE_PRECISION",
            rich_help_panel=_HOW,
            help="auto is bfloat16 for built-in and large cWDM and SynDiff networks on processors that have it (with"
            " AMX large cWDM by OpenVINO, where that is installed), else float32; the recipe tells.",
        ),
    ] = "auto",
    threads: common.Threads = None,
    trust_study_settings: common.TrustStudySettings = False,
    reference: Annotated[
        str | None,
        typer.Option(
            metavar="WHICH",
            rich_help_panel=_SPACE,
            help="Series whose grid the result gets: a contrast, or a folder of one DICOM series."
            " Default: the source with the thinnest slices.",
        ),
    ] = None,
    register: Annotated[
        bool,
        typer.Option(
            "--register",
            envvar="MRIMPUTE_REGISTER",
            rich_help_panel=_SPACE,
            help="Move sources that are out of register (rigidly); without it they are refused.",
        ),
    ] = False,
    brain_mask: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", rich_help_panel=_SPACE, help="For images with skull: where the brain is (one study only)."
        ),
    ] = None,
    skull_strip: Annotated[
        bool,
        typer.Option(
            "--skull-strip",
            envvar="MRIMPUTE_SKULL_STRIP",
            rich_help_panel=_SPACE,
            help="For images with skull: call hd-bet or mri_synthstrip, whichever is on PATH.",
        ),
    ] = False,
    save_mask: Annotated[
        bool, typer.Option("--save-mask", rich_help_panel=_SPACE, help="Write the brain mask beside the result.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="DIR",
            envvar="MRIMPUTE_OUT",
            rich_help_panel=_WHERE,
            help="Write to DIR/STUDY-NAME/. Default: beside the study's images.",
        ),
    ] = None,
    layout: Annotated[
        str,
        typer.Option(
            envvar="MRIMPUTE_LAYOUT",
            metavar="NAMES",
            autocompletion=common.complete_layout,
            rich_help_panel=_WHERE,
            help="With --out: a complete case named as brats21, brats23, bids or nnunet:DATASET_JSON wants it.",
        ),
    ] = "same",
    as_is: Annotated[
        bool,
        typer.Option(
            "--as-is",
            rich_help_panel=_WHERE,
            help="Assemble it though it does not fit: brats21 and brats23 want 240x240x155 at 1 mm, SRI24, stripped;"
            " nnunet the spacing in the plans file beside its dataset.json.",
        ),
    ] = False,
    format: Annotated[
        Literal["same", "nifti", "dicom"],
        typer.Option(envvar="MRIMPUTE_FORMAT", rich_help_panel=_WHERE, help="same: DICOM from DICOM, else NIfTI."),
    ] = "same",
    intensity: Annotated[
        Literal["study", "unit"],
        typer.Option(
            envvar="MRIMPUTE_INTENSITY", rich_help_panel=_WHERE, help="Grey values on the study's scale, or in [0, 1]."
        ),
    ] = "study",
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite", rich_help_panel=_WHERE, help="Replace an earlier synthetic image; never an acquired one."
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", rich_help_panel=_OUTPUT, help="Print the plan; write nothing.")
    ] = False,
    as_json: common.Json = False,
    json_schema: common.FillSchema = False,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N",
            envvar="MRIMPUTE_SHARD",
            rich_help_panel=_WHAT,
            help="Part I of N of the studies, from 0; or slurm: this job's part of its array.",
        ),
    ] = None,
    cluster: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            envvar="MRIMPUTE_CLUSTER",
            rich_help_panel=_WHAT,
            help="Have the workers of a running Dask cluster do the work: tcp://HOST:PORT of its scheduler.",
        ),
    ] = "",
    resume: common.Resume = None,
    null: given.Null = False,
    quiet: Annotated[
        bool,
        typer.Option(
            "--quiet", "-q", envvar="MRIMPUTE_QUIET", rich_help_panel=_OUTPUT, help="No progress, notes or warnings."
        ),
    ] = False,
    progress: common.Progress = "auto",
    debug: common.Debug = False,
) -> None:
    """Make the sequences that each STUDY lacks, and write them beside it, labelled as synthetic."""
    from mrimpute import batch
    from mrimpute.calibration.run import Wish
    from mrimpute.contrasts import parse_contrast
    from mrimpute.errors import UsageError
    from mrimpute.fill import Engine
    from mrimpute.request import Options
    from mrimpute.write.layout import parse_layout

    if cluster and "--progress" in common.chosen(context):
        raise UsageError("--progress shows work of this process, which --cluster gives away", "leave one of them out")
    common.check_resume(resume, dry_run)
    folders = given.folders_of(studies, null)
    overrides = given.named(t1, t1c, t2, flair, pd, ct)
    onto = _reference(reference)
    if len(folders) > 1 and (overrides or brain_mask or isinstance(onto, Path)):
        raise UsageError("a series or a brain mask can be named for one study only", "fill that study by itself")
    wish = Wish(calibration, tuple(calibrate_from or ()), out, recalibrate, threads, dry_run, skull_strip)
    options = Options(
        overrides=overrides,
        generator=generator,
        out=out,
        layout=parse_layout(layout),
        as_is=as_is,
        intensity=intensity,
        format=format,
        reference=onto,
        register=register,
        brain_mask=brain_mask,
        skull_strip=skull_strip,
        save_mask=save_mask,
        weights=tuple(weights or ()),
        sampler=sampler,
        steps=steps,
        seed=seed,
        device=device,
        precision=precision,
        threads=threads,
        overwrite=overwrite,
        trust_study_settings=trust_study_settings,
        checks=not no_checks,
        ignore_broken=ignore_broken,
        samples=samples,
        self_check=self_check,
        report=report,
        picture=picture,
        require="as expected" if require else None,
    )
    targets = [parse_contrast(word) for word in missing or []]
    notify = (lambda _line: None) if quiet else common.notify
    batch.check_places(Engine(options, notify=notify), folders, targets)
    part = folders if shard is None else batch.shard(folders, shard)
    options = replace(options, calibration=wish.site(folders, targets, notify))
    manner = Manner(dry_run, as_json, quiet, debug, progress)
    raise typer.Exit(fill_and_tell(part, targets, options, manner, cluster, resume or ()))


def fill_and_tell(
    folders: Sequence[Path],
    targets: "Sequence[Contrast]",
    options: "Options",
    manner: Manner,
    cluster: str = "",
    resume: Sequence[Path] = (),
) -> int:
    """Fill studies and print what came of each, as soon as it is known.

    Args:
        folders: the studies.
        targets, options: as in `mrimpute.fill`.
        manner: how to print.
        cluster: address of a Dask scheduler whose workers do the work; '' for this process.
        resume: JSON lines of earlier runs.

    Returns:
        The exit code of the run.
    """
    codes: list[int] = []
    cited: set[str] = set()
    left = list(folders)
    finished = _finished(left, targets, options, manner, resume) if resume else ()
    for telling in chain(
        finished, (_told_by_workers if cluster else _told_here)(left, targets, options, manner, cluster)
    ):
        for line in telling.notes:
            common.notify(line)
        for text in telling.results:
            typer.echo(text)
        codes.append(telling.code)
        cited |= telling.cited
    if not manner.quiet:
        for text in sorted(cited):
            common.notify(f"cite: {text}")
    return common.exit_code(codes)


def _finished(
    left: list[Path], targets: "Sequence[Contrast]", options: "Options", manner: Manner, resume: Sequence[Path]
) -> Iterator[Telling]:
    """Yield what is to be told of the studies that earlier runs finished, and take them out of the list."""
    from mrimpute.batch.resume import Finished
    from mrimpute.outcome import Spent

    finished = Finished(resume, options, targets)
    folders, before = list(left), Spent.so_far()
    left.clear()
    for folder in folders:
        record = finished.record(folder)
        spent, before = Spent.so_far() - before, Spent.so_far()
        if record is None:
            left.append(folder)
        else:
            yield told_again(record, spent, manner)


def _told_here(
    folders: Sequence[Path], targets: "Sequence[Contrast]", options: "Options", manner: Manner, _cluster: str
) -> Iterator[Telling]:
    """Fill studies in this process; yield what is to be told of each."""
    from mrimpute import batch
    from mrimpute.batch.resume import wishes_of
    from mrimpute.cli.progress import Display
    from mrimpute.fill import Engine
    from mrimpute.outcome import Spent

    display = Display("none" if manner.quiet or manner.dry_run else manner.progress, len(folders))
    engine = Engine(options, display, (lambda _line: None) if manner.quiet else common.notify)
    wishes, before = wishes_of(options, targets), Spent.so_far()
    try:
        for outcome in batch.fill_all(engine, folders, targets, manner.dry_run):
            display.next_study()
            spent, before = Spent.so_far() - before, Spent.so_far()
            yield telling_of(outcome, options, spent, manner, wishes=wishes)
    finally:
        display.close()


def _told_by_workers(
    folders: Sequence[Path], targets: "Sequence[Contrast]", options: "Options", manner: Manner, cluster: str
) -> Iterator[Telling]:
    """Have the workers of a cluster fill studies; yield what is to be told of each."""
    from mrimpute.batch.cluster import Task, fill_on_cluster
    from mrimpute.batch.resume import wishes_of

    tell = partial(telling_of, manner=manner, wishes=wishes_of(options, targets), settings_said=False)
    return fill_on_cluster(cluster, folders, Task(tuple(targets), options, manner.dry_run, tell))


def _reference(word: str | None) -> "Contrast | Path | None":
    """Return what --reference means: a contrast, else a folder ('./t1' for one of a contrast's name)."""
    from mrimpute.contrasts import ALIASES, parse_contrast

    if word is None:
        return None
    if word.lower() not in ALIASES and Path(word).is_dir():
        return Path(word)
    return parse_contrast(word)
