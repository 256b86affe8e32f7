"""What a study folder may choose for itself: its mrimpute.toml may be anybody's, and images are made by its word.

A word that this machine's user already knows is taken: `auto`, `builtin`, a name of the registry. A folder of weights
or a repository on the Hub, asked with the user's token, is not, unless the user says so: as git takes no
configuration from a folder of somebody else (`safe.directory`).
"""

from dataclasses import replace
from pathlib import Path

from mrimpute.errors import StudyRefused
from mrimpute.registry import HUB_WORD, load_registry
from mrimpute.request.options import Options
from mrimpute.settings import SETTINGS_FILE, Settings

OWN_WORDS = ("auto", "builtin")


def trusted(settings: Settings, folder: Path, options: Options) -> Settings:
    """Return the settings of a study that hold in a run; relative folders in them are the study's.

    Args:
        settings: from the study's file.
        folder: the study.
        options: of the run: the user's own words win, and none of the file are left beside them.

    Raises:
        StudyRefused: the file names weights that the user neither named nor has, and is not trusted.
    """
    if options.weights:
        return replace(settings, weights=())
    return replace(settings, weights=tuple(_trusted_word(word, folder, options) for word in settings.weights))


def _trusted_word(word: str, folder: Path, options: Options) -> str:
    generator, equals, name = word.rpartition("=")
    if name in OWN_WORDS or name in load_registry():
        return word
    if not options.trust_study_settings:
        raise StudyRefused(
            f"{folder / SETTINGS_FILE} chooses the weights {name!r}, which may be anybody's",
            "add --trust-study-settings if you trust them, or choose with --weights",
        )
    return word if name.startswith(HUB_WORD) else f"{generator}{equals}{folder / name}"
