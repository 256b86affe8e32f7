"""What `doctor` shows: versions, machine, store, network settings."""

import os
import platform
import shutil
from importlib import metadata

from mrimpute import __version__, device
from mrimpute.cli.records.machine import DoctorRecord
from mrimpute.registry import home_folder, load_registry

_SHOWN_PACKAGES = ("torch", "numpy", "nibabel", "SimpleITK", "pydicom", "huggingface-hub", "safetensors")


def record() -> DoctorRecord:
    """Return what `doctor` shows: versions, machine, store, network settings."""
    import torch
    from huggingface_hub import constants

    home = home_folder()
    present = next(folder for folder in (home, *home.parents) if folder.exists())
    memory = device.available_memory(torch.device("cpu"))
    versions = {name: metadata.version(name) for name in _SHOWN_PACKAGES}
    cuda = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    checkpoints = load_registry().values()
    facts = {
        "mrimpute": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        **versions,
        "openvino": metadata.version(device.OPENVINO) if device.has_openvino() else None,
        "cpus_allowed": device.allowed_cpus(),
        "memory_available_gib": round(memory / 2**30, 1) if memory else None,
        "cuda_devices": cuda,
        "store": str(home),
        "store_writable": os.access(present, os.W_OK),
        "disk_free_gib": round(shutil.disk_usage(present).free / 2**30, 1),
        "checkpoints_here": [checkpoint.name for checkpoint in checkpoints if checkpoint.path.is_file()],
        "hub": constants.ENDPOINT,
        "hub_cache": constants.HF_HUB_CACHE,
        "hub_offline": bool(constants.HF_HUB_OFFLINE),
        "hub_token": bool(os.environ.get("HF_TOKEN")),
    }
    return DoctorRecord.model_validate(facts)
