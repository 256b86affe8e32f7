"""Which checkpoints there are: weights.toml, the user's own entries, and checkpoint folders."""

import tomllib
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

import platformdirs
from pydantic import ValidationError

from mrimpute.contrasts import Contrast
from mrimpute.errors import UsageError, WeightsUnavailable
from mrimpute.files import read_small, real_path
from mrimpute.registry.record import MODEL_FILE, Record
from mrimpute.registry.store import HUB_WORD, LIST_HINT, Checkpoint, home_folder, own_folder

CHECKPOINT_TOML = "checkpoint.toml"
BUILTIN_FOLDER = Path(__file__).parent.parent / "weights"


@cache
def load_registry() -> dict[str, Checkpoint]:
    """Return every known checkpoint by name: the package's weights.toml, then the user's own.

    Raises:
        WeightsUnavailable: a table is not valid; the message names file, table and key.
    """
    packaged = BUILTIN_FOLDER.parent / "weights.toml"
    own = Path(platformdirs.user_config_dir("mrimpute")) / "weights.toml"
    beside = BUILTIN_FOLDER.parent.parent / "weights.toml"
    known: dict[str, Checkpoint] = {}
    for file in (packaged if packaged.is_file() else beside, own):
        if file is own and not file.is_file():
            continue
        for name, table in _read_toml(file).items():
            record = _validated(f"{file}, table [{name}]", table)
            known[name] = Checkpoint(name, record, _place(name, record))
    return known


def read_checkpoint_folder(folder: Path) -> Checkpoint:
    """Return the checkpoint in a folder that `mrimpute train` wrote.

    Raises:
        WeightsUnavailable: no valid checkpoint.toml, or no weights beside it.
    """
    file = folder / CHECKPOINT_TOML
    if not file.is_file():
        raise WeightsUnavailable(f"{folder} is no checkpoint folder (no {CHECKPOINT_TOML} in it)", LIST_HINT)
    record = _validated(str(file), _read_toml(file))
    path = folder / record.file
    if real_path(path).parent != real_path(folder) or not path.is_file():
        raise WeightsUnavailable(f"{folder}: {record.file} is not there", "train or copy it again")
    return Checkpoint(real_path(folder).name, record, path)


def named(name: str) -> Checkpoint:
    """Return the checkpoint of a name from `weights list`.

    Raises:
        UsageError: there is none; the message says which name is meant, perhaps.
    """
    known = load_registry()
    if name not in known:
        raise UsageError(f"no checkpoint is called {name!r}", meant(name))
    return known[name]


def meant(name: str) -> str:
    """Return the hint for a name that no checkpoint has: the nearest one, else where they are listed."""
    alike = get_close_matches(name, load_registry(), 1)
    return f"did you mean {alike[0]}?" if alike else LIST_HINT


def choose_checkpoint(word: str, generator: str, sources: tuple[Contrast, ...], target: Contrast) -> Checkpoint:
    """Return the checkpoint that the user's word means for one job.

    Args:
        word: 'auto' (the registry's first choice), 'builtin', a name, a checkpoint folder, or a
            Hub repository that was pulled before.
        generator, sources, target: the job.

    Raises:
        WeightsUnavailable: nothing fits, or it is for another job.
    """
    job = f"{target} from {', '.join(sources)} with {generator}"
    fitting = [c for c in load_registry().values() if c.record.fits(generator, sources, target)]
    if word == "auto":
        chosen = [c for c in fitting if c.record.first_choice]
    elif word == "builtin":
        chosen = [c for c in fitting if c.record.origin == "builtin"]
    elif word in load_registry():
        chosen = [load_registry()[word]]
    elif word.startswith(HUB_WORD):
        chosen = [read_checkpoint_folder(own_folder(word))]
    elif _is_folder(Path(word)):
        chosen = [read_checkpoint_folder(Path(word))]
    else:
        raise WeightsUnavailable(f"no checkpoint and no folder is called {word!r}", meant(word))
    if not chosen:
        raise WeightsUnavailable(f"no {word} checkpoint makes {job}", _way_out(generator, sources, target))
    checkpoint = chosen[0]
    if not checkpoint.record.fits(generator, sources, target):
        record = checkpoint.record
        raise WeightsUnavailable(
            f"checkpoint {checkpoint.name} makes {record.makes} with {record.generator}, not {job}", LIST_HINT
        )
    return checkpoint


def _way_out(generator: str, sources: tuple[Contrast, ...], target: Contrast) -> str:
    """Return what to do where no checkpoint is known for a job."""
    fitting = [c for c in load_registry().values() if c.record.fits(generator, sources, target)]
    if any(c.record.origin == "builtin" for c in fitting):
        return "add --weights builtin for the small network inside the package, or train one"
    if generator != "syndiff" or fitting:
        return "train one with `mrimpute train`, or " + LIST_HINT
    (source,) = sources
    line = f"mrimpute train syndiff STUDY… --source {source} --target {target} --out NET"
    then = f"train with `{line}`, then add --weights NET/{source}-to-{target}"
    return f"no public weights in SynDiff's format exist for it; {then}"


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


def _place(name: str, record: Record) -> Path:
    if record.origin == "builtin":
        return BUILTIN_FOLDER / record.file
    return home_folder() / "checkpoints" / name / MODEL_FILE


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(read_small(file).decode("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsUnavailable(f"cannot read {file}: {error}", "repair or remove it") from error


def _validated(where: str, table: Any) -> Record:
    try:
        return Record.model_validate(table)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "table"
        raise WeightsUnavailable(f"{where}: {key}: {first['msg']}", "correct the entry") from error
