"""Checkpoints from the Hugging Face Hub and from the authors' own files, into the local store.

What a pull got is written into a lock file (commit, digests); later pulls take the same or refuse.
Nothing here is called unless the user asked for weights that are not on the machine.
"""

import errno
import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TypeVar

from filelock import FileLock

from mrimpute.errors import MrimputeError, ResourcesExhausted, WeightsUnavailable
from mrimpute.registry import (
    CHECKPOINT_TOML,
    HUB_WORD,
    LOCK_FILE,
    MODEL_FILE,
    Checkpoint,
    home_folder,
    load_registry,
    own_folder,
    read_checkpoint_folder,
    read_lock,
)

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # or the client makes calls of its own

Say = Callable[[str], None]
"""Called with a line for the user."""

UNPINNED = "unpinned"

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class HubVersion:
    """One version of a file on the Hub.

    Attributes:
        commit: 40-hex revision of the repository.
        sha256: digest of the file as the Hub's metadata states it (the LFS object's); None for a
            small text file.
        size: bytes.
    """

    commit: str
    sha256: str | None
    size: int


def obtain(checkpoint: Checkpoint, say: Say) -> None:
    """See to it that a checkpoint's file is in the store; fetch it where its origin is the Hub.

    Raises:
        WeightsUnavailable: it cannot be had; the message holds the line to type.
    """
    if checkpoint.path.is_file():
        return
    if checkpoint.record.origin != "hub":
        where = checkpoint.record.where or str(checkpoint.path)
        raise WeightsUnavailable(
            f"checkpoint {checkpoint.name} is not on this machine ({where})",
            f"get its file and type `mrimpute weights import {checkpoint.name} FILE`, or use --weights builtin",
        )
    try:
        pull(checkpoint.name, say)
    except WeightsUnavailable as error:
        raise WeightsUnavailable(
            error.text,
            f"type `mrimpute weights pull {checkpoint.name}` with a network, "
            f"`mrimpute weights import {checkpoint.name} FILE`, or use --weights builtin",
        ) from error


def pull(word: str, say: Say) -> Path:
    """Fetch a checkpoint from the Hub into the store, or find it there.

    Args:
        word: a name of the registry, or hf://owner/repo[@revision] with checkpoint.toml and
            model.safetensors.
        say: told what is fetched, how large it is and under which licence.

    Returns:
        The safetensors file.

    Raises:
        WeightsUnavailable: unknown name, no network, refused by the Hub, wrong bytes.
        ResourcesExhausted: the disk is full.
    """
    if word.startswith(HUB_WORD):
        return _exclusively(own_folder(word).name, lambda: _pull_own(word, say))
    registry = load_registry()
    if word not in registry:
        raise WeightsUnavailable(f"no checkpoint is called {word!r}", "see `mrimpute weights list`")
    checkpoint = registry[word]
    if checkpoint.record.origin != "hub":
        if checkpoint.path.is_file():
            return checkpoint.path
        raise WeightsUnavailable(
            f"checkpoint {word} is not on the Hub ({checkpoint.record.where})",
            f"get its file there and type `mrimpute weights import {word} FILE`",
        )
    try:
        return _exclusively(word, lambda: _pull_known(checkpoint, say))
    except WeightsUnavailable as error:
        by_hand = f"or type `mrimpute weights import {word} FILE` with a file you have"
        raise WeightsUnavailable(error.text, f"{error.hint}, {by_hand}") from error


def import_file(name: str, source: Path) -> Path:
    """Convert a file that the authors published into the store.

    Args:
        name: of the registry: what the file is.
        source: a bare PyTorch state dict.

    Raises:
        WeightsUnavailable: unknown name, or the file is not this network's.
        ResourcesExhausted: the disk is full.
    """
    registry = load_registry()
    if name not in registry:
        raise WeightsUnavailable(f"no checkpoint is called {name!r}", "see `mrimpute weights list`")
    checkpoint = registry[name]
    if checkpoint.record.origin == "builtin":
        raise WeightsUnavailable(f"checkpoint {name} is built in", "import under another name")
    if not source.is_file():
        raise WeightsUnavailable(f"no such file: {source}", "check the path")
    return _exclusively(name, lambda: _convert(checkpoint, source, {"file": source.name}))


def _pull_known(checkpoint: Checkpoint, say: Say) -> Path:
    """Fetch, verify and convert a checkpoint whose record names a Hub file."""
    hub = checkpoint.record.hub
    assert hub is not None
    locked = read_lock().get(checkpoint.name, {})
    if checkpoint.path.is_file():
        _ = checkpoint.sha256
        return checkpoint.path
    revision = locked.get("commit") or (None if hub.revision == UNPINNED else hub.revision)
    version = _version(hub.repo, hub.file, revision)
    for expected in (locked.get("source_sha256"), hub.sha256):
        if expected and version.sha256 != expected:
            raise WeightsUnavailable(
                f"{hub.repo}/{hub.file} at {version.commit[:12]} is not the file that was recorded before",
                f"if you trust the new one, remove {checkpoint.name} from {home_folder() / LOCK_FILE}",
            )
    licence = checkpoint.record.about.licence
    say(f"fetching {checkpoint.name} ({version.size / 1e6:.0f} MB, licence {licence}) from {hub.repo}")
    file = _download(hub.repo, hub.file, version)
    source = {"repo": hub.repo, "commit": version.commit, "file": hub.file, "source_sha256": version.sha256 or ""}
    return _convert(checkpoint, file, source)


def _pull_own(word: str, say: Say) -> Path:
    """Fetch a user's own repository, which holds a checkpoint folder."""
    folder = own_folder(word)
    repo, _, revision = word.removeprefix(HUB_WORD).partition("@")
    locked = read_lock().get(folder.name, {})
    if (folder / MODEL_FILE).is_file() and (folder / CHECKPOINT_TOML).is_file():
        return _checked_own(folder, locked)
    version = _version(repo, MODEL_FILE, locked.get("commit") or revision or None)
    if locked and version.sha256 != locked.get("model_sha256"):
        raise WeightsUnavailable(
            f"{repo} at {version.commit[:12]} is not what was recorded before",
            f"if you trust it, remove {folder.name} from {home_folder() / LOCK_FILE}",
        )
    if not version.sha256:
        raise WeightsUnavailable(f"the Hub states no sha256 for {repo}/{MODEL_FILE}", "upload it with git-lfs")
    say(f"fetching {word} ({version.size / 1e6:.0f} MB)")
    model = _download(repo, MODEL_FILE, version)
    record = _download(repo, CHECKPOINT_TOML, HubVersion(version.commit, None, 0))
    folder.mkdir(parents=True, exist_ok=True)
    _place(folder / CHECKPOINT_TOML, partial(_copy, record))
    _place(folder / MODEL_FILE, partial(_copy, model))
    _record_lock(folder.name, {"repo": repo, "commit": version.commit, "model_sha256": version.sha256})
    return _checked_own(folder, read_lock()[folder.name])


def _checked_own(folder: Path, locked: dict[str, str]) -> Path:
    checkpoint = read_checkpoint_folder(folder)
    if checkpoint.sha256 != locked.get("model_sha256"):
        raise WeightsUnavailable(f"{checkpoint.path} is damaged", f"remove {folder} and pull it again")
    return checkpoint.path


def _version(repo: str, file: str, revision: str | None) -> HubVersion:
    """Ask the Hub which commit a revision is, and what it says of a file there.

    Offline, the Hub client's own cache answers, which keeps files under the same digests.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url, try_to_load_from_cache
    from huggingface_hub.constants import HF_HUB_OFFLINE

    if HF_HUB_OFFLINE:
        cached = try_to_load_from_cache(repo, file, revision=revision)
        if isinstance(cached, str):
            path = Path(cached)
            return HubVersion(path.parent.name, _digest(path.resolve().name), path.stat().st_size)

    def ask() -> HubVersion:
        told = get_hf_file_metadata(hf_hub_url(repo, file, revision=revision), timeout=_timeout())
        if not told.commit_hash:
            raise WeightsUnavailable(f"the Hub does not say which commit {repo} is at", _RETRY)
        return HubVersion(told.commit_hash, _digest(told.etag or ""), told.size or 0)

    return _asking_the_hub(repo, file, ask)


def _digest(etag: str) -> str | None:
    """Return the sha256 that an entity tag of the Hub is for large (LFS) files."""
    return etag if re.fullmatch("[0-9a-f]{64}", etag) else None


def _download(repo: str, file: str, version: HubVersion) -> Path:
    """Fetch one file at one commit into the Hub client's cache, and compare its digest.

    Raises:
        WeightsUnavailable: it cannot be fetched, or the bytes are not those the Hub states.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.utils import logging
    from huggingface_hub.utils.tqdm import disable_progress_bars

    logging.set_verbosity_error()
    if not sys.stderr.isatty():
        disable_progress_bars()
    path = Path(_asking_the_hub(repo, file, lambda: hf_hub_download(repo, file, revision=version.commit)))
    if version.sha256 and _sha256(path) != version.sha256:
        blob = path.resolve()
        path.unlink(missing_ok=True)
        blob.unlink(missing_ok=True)
        raise WeightsUnavailable(
            f"{repo}/{file}: the bytes that came are not those the Hub states (sha256)", "try again later"
        )
    return path


def _asking_the_hub(repo: str, file: str, action: Callable[[], Answer]) -> Answer:
    """Run a call of the Hub client; tell its failures in the user's terms."""
    from huggingface_hub import errors

    try:
        return action()
    except MrimputeError:
        raise
    except (errors.OfflineModeIsEnabled, errors.LocalEntryNotFoundError) as error:
        raise WeightsUnavailable(f"{repo} is not in the local cache and the Hub is out of reach", _RETRY) from error
    except errors.GatedRepoError as error:
        raise WeightsUnavailable(f"{repo} is gated", "ask for access on the Hub and set HF_TOKEN") from error
    except errors.RevisionNotFoundError as error:
        raise WeightsUnavailable(f"{repo} has no such revision any more", _ASK_OWNER) from error
    except errors.EntryNotFoundError as error:
        raise WeightsUnavailable(f"{repo} holds no {file}", _ASK_OWNER) from error
    except errors.HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        if isinstance(error, errors.RepositoryNotFoundError) or status in (401, 403, 404):
            raise WeightsUnavailable(
                f"the Hub does not show {repo} ({status}): absent or private", "check the name, or set HF_TOKEN"
            ) from error
        raise WeightsUnavailable(f"the Hub refused {repo} ({status})", _RETRY) from error
    except errors.HFValidationError as error:
        raise WeightsUnavailable(f"{repo!r} is not a Hub repository", "write hf://owner/repo[@revision]") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ResourcesExhausted("the disk is full", "free some space, or set HF_HOME elsewhere") from error
        raise WeightsUnavailable(f"{repo} cannot be fetched ({type(error).__name__})", _RETRY) from error
    except Exception as error:  # the client's transport errors are of several unrelated kinds
        raise WeightsUnavailable(f"{repo} cannot be fetched ({type(error).__name__})", _RETRY) from error


_RETRY = "check the network and try again"
_ASK_OWNER = "ask the repository's owner"


def _timeout() -> float:
    from huggingface_hub import constants

    return float(constants.HF_HUB_ETAG_TIMEOUT)


def _convert(checkpoint: Checkpoint, source: Path, origin: dict[str, str]) -> Path:
    """Convert the authors' file into the store, strictly, and record it."""
    room = import_module(f"mrimpute.generators.{checkpoint.record.generator}.checkpoint")
    _place(checkpoint.path, lambda part: room.convert(checkpoint, source, part))
    digest = _sha256(checkpoint.path)
    _record_lock(checkpoint.name, {**origin, "source_sha256": _sha256(source), "model_sha256": digest})
    return checkpoint.path


def _place(target: Path, make: Callable[[Path], None]) -> None:
    """Make a file under a temporary name and rename it, so that it appears whole."""
    part = target.with_name(f".{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        make(part)
        with part.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(part, target)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ResourcesExhausted(f"the disk is full: {target.parent}", _OTHER_HOME) from error
        raise WeightsUnavailable(f"cannot write in {target.parent} ({error.strerror})", _OTHER_HOME) from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


_OTHER_HOME = "free some space, or set MRIMPUTE_HOME to another folder"


def _copy(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)


def _write_text(text: str, target: Path) -> None:
    target.write_text(text, "utf-8")


def _exclusively(name: str, action: Callable[[], Path]) -> Path:
    """Run action while no other process works on the checkpoint of this name."""
    locks = home_folder() / "locks"
    try:
        locks.mkdir(parents=True, exist_ok=True)
        lock = FileLock(locks / f"weights-{name}.lock")
        lock.acquire()
    except OSError as error:
        raise WeightsUnavailable(f"cannot make a lock in {locks} ({error.strerror})", _OTHER_HOME) from error
    try:
        return action()
    finally:
        lock.release()


def _record_lock(name: str, entry: dict[str, str]) -> None:
    """Add an entry to the lock file."""
    file = home_folder() / LOCK_FILE
    with FileLock(home_folder() / "locks" / "lock-file.lock"):
        text = json.dumps(read_lock() | {name: entry}, indent=2) + "\n"
        _place(file, partial(_write_text, text))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
