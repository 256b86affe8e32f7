"""Renames that refuse a taken name, and replacements that keep the old one until the new one stands.

Linux can do both in one call (renameat2: RENAME_NOREPLACE, RENAME_EXCHANGE), on most local file systems. Elsewhere, as
on NFS, hard links do for files, and plain renames for folders, which never replace a folder that holds something.
"""

import ctypes
import errno
import hashlib
import os
import secrets
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from mrimpute.errors import OutputRefused
from mrimpute.files.digest import standing_sha256

_HERE = -100  # AT_FDCWD
_NOREPLACE, _EXCHANGE = 1, 2
_UNSUPPORTED = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP)
_NO_LINKS = (*_UNSUPPORTED, errno.EPERM, errno.EMLINK)
_TAKEN = (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR, errno.EISDIR)
STALE_CLAIM_S = 60.0
"""A claim on a name is held for the time of one rename; older ones were left by a killed run."""


def publish(part: Path, final: Path) -> None:
    """Give a part, a file or a folder, its final name in a way that fails if the name is taken.

    Raises:
        OutputRefused: something appeared at the place.
        OSError: the disk refuses.
    """
    try:
        _publish(part, final)
    except OSError as error:
        if error.errno in _TAKEN:
            raise OutputRefused(f"{final} appeared meanwhile", "run again") from error
        raise


def replace(part: Path, final: Path, expected: str) -> None:
    """Put a part in the place of what has a known digest; afterwards the part's name holds the old one.

    Whatever fails, the old one stands: exchanging back undoes it.

    Raises:
        OutputRefused: something else stands there.
        OSError: the disk refuses.
    """
    refused = OutputRefused(f"{final} was changed meanwhile", "run again")
    if standing_sha256(final) != expected:
        raise refused
    _exchange(part, final)
    try:
        if standing_sha256(part) != expected:
            raise refused
    except BaseException:  # what was there may be unreadable by now
        _exchange(part, final)
        raise


def put(part: Path, final: Path, expected: str | None) -> None:
    """Put a part where nothing stands, or what has a known digest; see `publish` and `replace`."""
    if expected is None:
        publish(part, final)
    else:
        replace(part, final, expected)


def take_back(part: Path, final: Path, expected: str | None) -> None:
    """Undo `put`."""
    if expected is not None:
        _exchange(part, final)
    elif part.exists():  # the place has it by a hard link
        final.unlink()
    else:
        os.rename(final, part)


def _publish(part: Path, final: Path) -> None:
    if _renamed(part, final, _NOREPLACE):
        return
    if part.is_dir():
        os.rename(part, final)
        return
    try:
        os.link(part, final)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _rename_alone(part, final)


def _rename_alone(part: Path, final: Path) -> None:
    """Rename a file where there are no hard links, as on exFAT: under a claim that only one process can make."""
    claim = final.with_name(f".mrimpute-{hashlib.sha256(os.fsencode(final.name)).hexdigest()[:16]}.claim")
    with suppress(FileNotFoundError):
        if time.time() - claim.stat().st_mtime > STALE_CLAIM_S:
            claim.unlink()
    claim.touch(exist_ok=False)
    try:
        if os.path.lexists(final):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(final))
        os.rename(part, final)
    finally:
        claim.unlink(missing_ok=True)


def _exchange(part: Path, final: Path) -> None:
    if _renamed(part, final, _EXCHANGE):
        return
    old = part.with_name(f".mrimpute-old-{secrets.token_hex(4)}")  # no part: nobody clears it away
    if not _linked(final, old):
        os.rename(final, old)
    try:
        os.rename(part, final)
        os.rename(old, part)
    except BaseException:
        if not part.exists():
            os.rename(final, part)
        if final.exists():  # it never lost its name
            old.unlink()
        else:
            os.rename(old, final)
        raise


def _linked(final: Path, old: Path) -> bool:
    """Give a file a second name, so that it is never without one; tell whether that can be done."""
    if final.is_dir():
        return False
    try:
        os.link(final, old)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return False
    return True


def _renamed(part: Path, final: Path, flag: int) -> bool:
    """Call renameat2; tell whether kernel and file system know the flag.

    Raises:
        OSError: the rename is refused.
    """
    call = _renameat2()
    if call is None:
        return False
    if call(_HERE, os.fsencode(part), _HERE, os.fsencode(final), flag) == 0:
        return True
    code = ctypes.get_errno()
    if code in _UNSUPPORTED:
        return False
    raise OSError(code, os.strerror(code), str(final))


@cache
def _renameat2() -> Any:
    """Return the C library's renameat2; None where it has none."""
    with suppress(OSError, AttributeError, TypeError):
        call = ctypes.CDLL(None, use_errno=True).renameat2
        call.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
        return call
    return None
