"""A case: a study built in code, what is asked of it, and how that must end."""

import hashlib
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

FILL = ("fill", "{study}", "--missing", "flair", "--weights", "builtin", "--device", "cpu")
SMALL_BYTES = 2**24
LINE_CHARACTERS = 600


@dataclass(frozen=True)
class Case:
    """One line on one study.

    Attributes:
        name: of the case, once in its family.
        build: writes the study into an empty folder.
        says: words that must be in what is said on stderr; lower case.
        codes: exit codes of which one must come.
        words: the command line; {study} is the folder, {beside} one next to it that `build` may fill.
    """

    name: str
    build: Callable[[Path], object]
    says: tuple[str, ...] = ()
    codes: tuple[int, ...] = (3,)
    words: tuple[str, ...] = FILL


def looks(folder: Path) -> dict[str, str]:
    """Return what stands below a folder: kinds, sizes, and digests of what is a small file."""
    found = {}
    for place, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = Path(place, name)
            state = path.lstat()
            content = ""
            if stat.S_ISREG(state.st_mode) and state.st_size < SMALL_BYTES:
                content = hashlib.sha256(path.read_bytes()).hexdigest()
            found[str(path.relative_to(folder))] = f"{stat.S_IFMT(state.st_mode)} {state.st_size} {content}"
    return found


def judge(case: Case, code: int, said: str) -> str:
    """Return what is wrong with the end of a case; '' where it ended as it must."""
    lines = said.splitlines()
    if "Traceback" in said:
        return "traceback"
    if code not in case.codes:
        return f"code {code}: {lines[-1] if lines else 'nothing said'}"
    if code and len(lines) != 1:
        return f"{len(lines)} lines on stderr"
    if any(len(line) > LINE_CHARACTERS + sum(map(len, case.words)) for line in lines):
        return "a very long line"
    missing = [word for word in case.says if word not in said.lower()]
    return f"not said: {missing} in {said.strip()!r}" if missing else ""
