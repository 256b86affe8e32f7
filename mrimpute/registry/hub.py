"""Checkpoints from the Hugging Face Hub and from the authors' own files, into the local store.

What a pull got is written into a lock file (commit, digests); later pulls take the same or refuse.
Nothing here is called unless the user asked for weights that are not on the machine.
"""

import os
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from mrimpute.errors import MrimputeError, ResourcesExhausted, WeightsUnavailable
from mrimpute.files import FULL_DISK, sha256_of
from mrimpute.registry.catalogue import CHECKPOINT_TOML, named, read_checkpoint_folder
from mrimpute.registry.record import MODEL_FILE
from mrimpute.registry.store import (
    HUB_WORD,
    LOCK_FILE,
    Checkpoint,
    exclusively,
    home_folder,
    own_folder,
    put,
    read_lock,
    write_lock,
)

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # or the client makes calls of its own

Notify = Callable[[str], None]
"""Called with a line for the user."""

Convert = Callable[[Checkpoint, Path, Path], None]
"""Turns a file that the authors published into a safetensors file: (checkpoint, source, target)."""

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


def obtain(checkpoint: Checkpoint, notify: Notify, convert: Convert) -> None:
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
        pull(checkpoint.name, notify, convert)
    except WeightsUnavailable as error:
        raise WeightsUnavailable(
            error.text,
            f"type `mrimpute weights pull {checkpoint.name}` with a network, "
            f"`mrimpute weights import {checkpoint.name} FILE`, or use --weights builtin",
        ) from error


def pull(word: str, notify: Notify, convert: Convert) -> Path:
    """Fetch a checkpoint from the Hub into the store, or find it there.

    Args:
        word: a name of the registry, or hf://owner/repo[@revision] with checkpoint.toml and
            model.safetensors.
        notify: told what is fetched, how large it is and under which licence.
        convert: turns the authors' file into ours.

    Returns:
        The safetensors file.

    Raises:
        UsageError: unknown name.
        WeightsUnavailable: no network, refused by the Hub, wrong bytes.
        ResourcesExhausted: the disk is full.
    """
    if word.startswith(HUB_WORD):
        with exclusively(own_folder(word).name):
            return _pull_own(word, notify)
    checkpoint = named(word)
    if checkpoint.record.origin != "hub":
        if checkpoint.path.is_file():
            return checkpoint.path
        raise WeightsUnavailable(
            f"checkpoint {word} is not on the Hub ({checkpoint.record.where})",
            f"get its file there and type `mrimpute weights import {word} FILE`",
        )
    try:
        with exclusively(word):
            return _pull_known(checkpoint, notify, convert)
    except WeightsUnavailable as error:
        by_hand = f"or type `mrimpute weights import {word} FILE` with a file you have"
        raise WeightsUnavailable(error.text, f"{error.hint}, {by_hand}") from error


def import_file(name: str, source: Path, convert: Convert) -> Path:
    """Convert a file that the authors published into the store.

    Args:
        name: of the registry: what the file is.
        source: a bare PyTorch state dict.
        convert: turns it into a safetensors file, strictly.

    Raises:
        UsageError: unknown name.
        WeightsUnavailable: the file is not this network's.
        ResourcesExhausted: the disk is full.
    """
    checkpoint = named(name)
    if checkpoint.record.origin == "builtin":
        raise WeightsUnavailable(f"checkpoint {name} is built in", "import under another name")
    if not source.is_file():
        raise WeightsUnavailable(f"no such file: {source}", "check the path")
    with exclusively(name):
        return _convert(checkpoint, source, {"file": source.name}, convert)


def _pull_known(checkpoint: Checkpoint, notify: Notify, convert: Convert) -> Path:
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
    notify(f"fetching {checkpoint.name} ({version.size / 1e6:.0f} MB, licence {licence}) from {hub.repo}")
    file = _download(hub.repo, hub.file, version)
    source = {"repo": hub.repo, "commit": version.commit, "file": hub.file, "source_sha256": version.sha256 or ""}
    return _convert(checkpoint, file, source, convert)


def _pull_own(word: str, notify: Notify) -> Path:
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
    notify(f"fetching {word} ({version.size / 1e6:.0f} MB)")
    model = _download(repo, MODEL_FILE, version)
    record = _download(repo, CHECKPOINT_TOML, HubVersion(version.commit, None, 0))
    put(folder / CHECKPOINT_TOML, partial(shutil.copyfile, record))
    put(folder / MODEL_FILE, partial(shutil.copyfile, model))
    write_lock(folder.name, {"repo": repo, "commit": version.commit, "model_sha256": version.sha256})
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
            return HubVersion(path.parent.name, _sha256_in(path.resolve().name), path.stat().st_size)

    def ask() -> HubVersion:
        told = get_hf_file_metadata(hf_hub_url(repo, file, revision=revision), timeout=_timeout())
        if not told.commit_hash:
            raise WeightsUnavailable(f"the Hub does not say which commit {repo} is at", _RETRY)
        return HubVersion(told.commit_hash, _sha256_in(told.etag or ""), told.size or 0)

    return _asking_the_hub(repo, file, ask)


def _sha256_in(etag: str) -> str | None:
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
    if version.sha256 and sha256_of(path) != version.sha256:
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
        if error.errno in FULL_DISK:
            raise ResourcesExhausted("the disk is full", "free some space, or set HF_HOME elsewhere") from error
        raise WeightsUnavailable(f"{repo} cannot be fetched ({type(error).__name__})", _RETRY) from error
    except Exception as error:  # the client's transport errors are of several unrelated kinds
        raise WeightsUnavailable(f"{repo} cannot be fetched ({type(error).__name__})", _RETRY) from error


_RETRY = "check the network and try again"
_ASK_OWNER = "ask the repository's owner"


def _timeout() -> float:
    from huggingface_hub import constants

    return float(constants.HF_HUB_ETAG_TIMEOUT)


def _convert(checkpoint: Checkpoint, source: Path, origin: dict[str, str], convert: Convert) -> Path:
    """Convert the authors' file into the store, strictly, and record it."""
    put(checkpoint.path, lambda part: convert(checkpoint, source, part))
    digest = sha256_of(checkpoint.path)
    write_lock(checkpoint.name, {**origin, "source_sha256": sha256_of(source), "model_sha256": digest})
    return checkpoint.path
