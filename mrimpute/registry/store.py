"""The local store: where checkpoint files lie, and what earlier pulls and imports recorded."""

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import platformdirs
from filelock import FileLock

from mrimpute.errors import WeightsUnavailable
from mrimpute.files import disk_errors, replacing, sha256_of
from mrimpute.registry.record import Record

LOCK_FILE = "lock.json"
HUB_WORD = "hf://"
LIST_HINT = "see `mrimpute weights list`"
_OTHER_HOME = "free some space, or set MRIMPUTE_HOME to another folder"


@dataclass(frozen=True)
class Checkpoint:
    """A record together with the place of its file.

    Attributes:
        name: of its table, or of its folder.
        record: what it is.
        path: the safetensors file, which may not be there yet.
    """

    name: str
    record: Record
    path: Path

    @property
    def is_here(self) -> bool:
        """Whether the file can be looked at and is there."""
        try:
            return self.path.is_file()
        except OSError:  # a store that this user may not enter
            return False

    @cached_property
    def sha256(self) -> str:
        """Digest of the file.

        Raises:
            WeightsUnavailable: the file is absent, or is not the one that the record names.
        """
        try:
            digest = sha256_of(self.path)
        except OSError as error:
            raise WeightsUnavailable(
                f"checkpoint {self.name}: cannot read {self.path} ({error.strerror})", LIST_HINT
            ) from error
        in_store = self.path.is_relative_to(home_folder())
        expected = self.record.sha256 or (read_lock().get(self.name, {}).get("model_sha256") if in_store else None)
        if expected and digest != expected:
            raise WeightsUnavailable(
                f"checkpoint {self.name}: {self.path} is damaged (its sha256 is not the recorded one)",
                "remove it and get it again",
            )
        return digest


def read_lock() -> dict[str, dict[str, str]]:
    """Return what earlier pulls and imports recorded: checkpoint name → commit and digests.

    Raises:
        WeightsUnavailable: the lock file is damaged.
    """
    file = home_folder() / LOCK_FILE
    try:
        content = json.loads(file.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise WeightsUnavailable(f"cannot read {file}: {error}", "repair or remove it") from error
    if not isinstance(content, dict) or not all(isinstance(entry, dict) for entry in content.values()):
        raise WeightsUnavailable(f"{file} is not a lock file", "repair or remove it")
    return content


def home_folder() -> Path:
    """Return where checkpoints and locks are kept: MRIMPUTE_HOME, or the user's cache folder."""
    return Path(os.environ.get("MRIMPUTE_HOME") or platformdirs.user_cache_dir("mrimpute"))


def own_folder(word: str) -> Path:
    """Return where a user's own Hub repository (hf://owner/repo[@revision]) is kept."""
    safe = re.sub(r"[^A-Za-z0-9._-]+", "--", word.removeprefix(HUB_WORD)).strip(".-")
    return home_folder() / "checkpoints" / f"hf--{safe}"


@contextmanager
def exclusively(name: str) -> Iterator[None]:
    """Hold the checkpoint of a name against other processes.

    Raises:
        WeightsUnavailable: no lock can be made.
    """
    locks = home_folder() / "locks"
    try:
        locks.mkdir(parents=True, exist_ok=True)
        lock = FileLock(locks / f"weights-{name}.lock")
        lock.acquire()
    except OSError as error:
        raise WeightsUnavailable(f"cannot make a lock in {locks} ({error.strerror})", _OTHER_HOME) from error
    try:
        yield
    finally:
        lock.release()


def put(target: Path, make: Callable[[Path], object]) -> None:
    """Let a function make a file under a temporary name, and rename it, so that it appears whole.

    Raises:
        WeightsUnavailable: the store cannot be written.
        ResourcesExhausted: the disk is full.
    """
    with disk_errors(target.parent, _OTHER_HOME, WeightsUnavailable):
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as part:
            make(part)


def write_lock(name: str, entry: dict[str, str]) -> None:
    """Record what a pull or an import got, under a checkpoint's name."""
    with FileLock(home_folder() / "locks" / "lock-file.lock"):
        text = json.dumps(read_lock() | {name: entry}, indent=2) + "\n"
        put(home_folder() / LOCK_FILE, lambda part: part.write_text(text, "utf-8"))
