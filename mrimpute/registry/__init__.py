"""Checkpoints: their records, where their files lie, and how they come there. No torch but in `tensors`."""

from mrimpute.registry.catalogue import (
    BUILTIN_FOLDER,
    CHECKPOINT_TOML,
    choose_checkpoint,
    load_registry,
    named,
    read_checkpoint_folder,
)
from mrimpute.registry.record import MODEL_FILE, About, HubFile, InputSpec, Record, SamplingSpec
from mrimpute.registry.store import HUB_WORD, LOCK_FILE, Checkpoint, home_folder, own_folder, read_lock

__all__ = [
    "BUILTIN_FOLDER",
    "CHECKPOINT_TOML",
    "HUB_WORD",
    "LOCK_FILE",
    "MODEL_FILE",
    "About",
    "Checkpoint",
    "HubFile",
    "InputSpec",
    "Record",
    "SamplingSpec",
    "choose_checkpoint",
    "home_folder",
    "load_registry",
    "named",
    "own_folder",
    "read_checkpoint_folder",
    "read_lock",
]
