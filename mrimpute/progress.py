"""What is going on, told from where it happens to whoever wants to show it."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """What is going on in one study.

    Attributes:
        study: its folder, as given.
        what: in words, for instance 'reading', 'registering t2', 'sampling flair'.
        done, total: how far, in steps of their own; total is 0 where that is not known.
        ahead: whether the study's turn may not have come yet: it is read while another one is computed.
    """

    study: str
    what: str
    done: int = 0
    total: int = 0
    ahead: bool = False


Progress = Callable[[Step], None]
"""Called with each step as it begins or goes on; from the thread in which it happens."""

Tell = Callable[[str], None]
"""Called with what begins, in words."""


def tell_nobody(_what: str) -> None:
    """Do nothing: for callers that nobody watches."""
