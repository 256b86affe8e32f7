"""mrimpute.toml in a study folder: what a study decides for itself where the user says nothing.

Two keys: `weights`, a word or a list of words as for `--weights`; `calibration`, the name of a calibration in the
user's store. Options and environment win.
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path

from mrimpute.errors import StudyRefused
from mrimpute.files import read_small

SETTINGS_FILE = "mrimpute.toml"


@dataclass(frozen=True)
class Settings:
    """The settings of one study.

    Attributes:
        weights: words on weights; empty where the study says nothing.
        calibration: name of a calibration in the user's store; '' where the study says nothing.
    """

    weights: tuple[str, ...] = ()
    calibration: str = ""


def read_settings(folder: Path) -> Settings:
    """Return the settings in a study folder; defaults where there is no file.

    Raises:
        StudyRefused: the file cannot be read, or has another key or type.
    """
    file = folder / SETTINGS_FILE
    if not file.is_file():
        return Settings()
    try:
        table = tomllib.loads(read_small(file).decode("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise StudyRefused(f"cannot read {file}: {error}", "repair or remove it") from error
    words = table.pop("weights", [])
    words = [words] if isinstance(words, str) else words
    calibration = table.pop("calibration", "")
    if table or not isinstance(words, list) or not all(isinstance(word, str) for word in (*words, calibration)):
        raise StudyRefused(
            f"{file} may hold 'weights', a word or a list of words, and 'calibration', a name", "correct or remove it"
        )
    return Settings(tuple(words), calibration)
