"""What the methods share in checking records: no key of a record is passed over without a word. No torch."""

from collections.abc import Collection
from dataclasses import asdict, fields
from typing import Any, NoReturn, Protocol, TypeVar

from mrimpute.errors import WeightsUnavailable
from mrimpute.generators.contract import Method
from mrimpute.registry import Checkpoint, InputSpec, SamplingSpec

MAX_SIZE, MAX_LEVELS, MAX_BLOCKS = 16_384, 16, 64
"""Largest number in a `network` table, most numbers of a list, most blocks of a level: no record makes a run hang."""
REGRESSION = "regression"
"""Key of a record's `network` table: whether a regression is blended with the network."""

OPTIONAL = ("inputs.window", "inputs.slices", "sampling.sampler", "sampling.output_floor", "sampling.shared_noise")
"""Keys that only some generators honour; the others take nothing but their defaults."""


class Sizes(Protocol):
    """The configuration of a network: a frozen dataclass of whole numbers, and tuples of them."""

    @property
    def image_multiple(self) -> int:
        """Every axis of the image must be a multiple of this."""
        ...


Config = TypeVar("Config", bound=Sizes)


def refuse(checkpoint: Checkpoint, key: str, why: str) -> NoReturn:
    """Refuse a checkpoint for one key of its record.

    Raises:
        WeightsUnavailable: always.
    """
    raise WeightsUnavailable(f"checkpoint {checkpoint.name}: {key} {why}", "correct its record")


def check_record(checkpoint: Checkpoint, method: Method, honoured: Collection[str], has_target: bool = True) -> None:
    """Check the part of a record that all methods have in common.

    Args:
        checkpoint: whose record.
        method: of the record's generator.
        honoured: which of OPTIONAL it honours.
        has_target: whether its networks make one target; otherwise any of their sources.

    Raises:
        WeightsUnavailable: a value that the method does not take.
    """
    record = checkpoint.record
    if has_target and record.target is None:
        refuse(checkpoint, "target", f"is missing: a {method.name} network makes one contrast")
    if not has_target and record.target is not None:
        refuse(
            checkpoint, "target", f"is {record.target}, but {method.name} makes any of its sources and has no target"
        )
    _check_word(checkpoint, "sampling.ladder", record.sampling.ladder, method.ladders)
    _check_word(checkpoint, "sampling.predicts", record.sampling.predicts, method.predictions)
    for key in OPTIONAL:
        table, _, name = key.partition(".")
        kind: type[InputSpec | SamplingSpec] = InputSpec if table == "inputs" else SamplingSpec
        if key not in honoured and getattr(getattr(record, table), name) != kind.model_fields[name].default:
            refuse(checkpoint, key, f"means nothing to {method.name}; leave it out")
    known = {*record.sources, *([record.target] if record.target else [])}
    for key, contrasts in (("inputs.mean_to", record.inputs.mean_to), ("inputs.ranges", record.inputs.ranges)):
        if others := contrasts.keys() - known:
            refuse(checkpoint, key, f"names {', '.join(sorted(others))}, which is neither source nor target")


def read_sizes(checkpoint: Checkpoint, kind: type[Config], more: Collection[str] = (), **derived: int) -> Config:
    """Return a network's sizes from the record's `network` table, and check that its frame suits them.

    Args:
        checkpoint: whose record.
        kind: the dataclass of the sizes.
        more: keys of the table that are no sizes, besides REGRESSION.
        derived: sizes that follow from other tables of the record.

    Raises:
        WeightsUnavailable: an unknown key, sizes that cannot be, or a frame that the network cannot take.
    """
    defaults = {one.name: one.default for one in fields(kind) if one.name not in derived}  # type: ignore[arg-type]
    sizes: dict[str, Any] = {}
    for key, value in checkpoint.record.network.items():
        if key == REGRESSION:
            if not isinstance(value, bool):
                refuse(checkpoint, f"network.{key}", "must be true or false")
        elif key in defaults:
            sizes[key] = _size(checkpoint, key, value, isinstance(defaults[key], tuple))
        elif key not in more:
            refuse(checkpoint, f"network.{key}", "is unknown")
    try:
        config = kind(**sizes, **derived)
    except ValueError as error:
        refuse(checkpoint, "network:", str(error))
    _check_frame(checkpoint, config.image_multiple)
    return config


def network_table(config: Sizes, regression: bool, derived: Collection[str] = ()) -> dict[str, Any]:
    """Return the `network` table that describes a configuration, without the sizes that other tables tell."""
    extra = {REGRESSION: True} if regression else {}
    sizes = asdict(config)  # type: ignore[call-overload]
    return extra | {
        key: list(value) if isinstance(value, tuple) else value for key, value in sizes.items() if key not in derived
    }


def has_regression(checkpoint: Checkpoint) -> bool:
    """Tell whether a checkpoint's file holds the coefficients of a regression."""
    return bool(checkpoint.record.network.get(REGRESSION))


def _check_word(checkpoint: Checkpoint, key: str, word: str, taken: tuple[str, ...]) -> None:
    if word not in taken:
        generator = checkpoint.record.generator
        refuse(checkpoint, key, f"is {word!r}, but {generator} takes {', '.join(map(repr, taken))}")


def _size(checkpoint: Checkpoint, key: str, value: Any, several: bool) -> Any:
    """Return one value of a network table: a whole number, or a tuple of them."""
    listed = value if several else [value]
    if not isinstance(listed, list) or not all(type(one) is int for one in listed):
        refuse(checkpoint, f"network.{key}", f"must be {'a list of whole numbers' if several else 'a whole number'}")
    most = MAX_BLOCKS if key.endswith(("blocks", "layers")) else MAX_SIZE
    if len(listed) > MAX_LEVELS or any(abs(one) > most for one in listed):
        refuse(checkpoint, f"network.{key}", f"holds more than {MAX_LEVELS} numbers, or one above {most}")
    return tuple(listed) if several else value


def _check_frame(checkpoint: Checkpoint, multiple: int) -> None:
    """Check that what `prepare` cuts out can be halved as often as the network does."""
    inputs = checkpoint.record.inputs
    if inputs.multiple % multiple:
        refuse(checkpoint, "inputs.multiple", f"must be a multiple of {multiple}")
    for key, lengths in (("inputs.window", inputs.window), ("inputs.slices", inputs.slices)):
        if any(length < 1 or length % multiple for length in lengths or ()):
            refuse(checkpoint, key, f"must hold multiples of {multiple}")
