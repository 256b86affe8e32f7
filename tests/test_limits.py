"""What a process may take is what its own limits leave, too."""

import multiprocessing
import os
import resource

import pytest
import torch

from mrimpute import device
from mrimpute.errors import ResourcesExhausted

ROOM = 2**30


def _under(kind, key):
    """Be a process with 1 GiB left under a limit; exit with what went wrong."""
    used = device._kilobytes("/proc/self/status", key)
    resource.setrlimit(kind, (used + ROOM, resource.RLIM_INFINITY))
    cpu = torch.device("cpu")
    left = device.available_memory(cpu)
    if not 0.9 * ROOM < left <= ROOM:
        os._exit(2)
    device.require_memory(ROOM // 2, cpu)
    try:
        device.require_memory(2 * ROOM, cpu)
    except ResourcesExhausted as error:
        os._exit(0 if "1.0 GiB is free" in str(error) else 3)
    os._exit(4)


@pytest.mark.parametrize(("kind", "key"), [(resource.RLIMIT_AS, "VmSize"), (resource.RLIMIT_DATA, "VmData")])
def test_the_limits_of_the_process_count(kind, key):
    """Before, `ulimit -v` was no part of the estimate: the run went on until an allocation failed."""
    process = multiprocessing.get_context("fork").Process(target=_under, args=(kind, key))
    process.start()
    process.join(60)
    assert process.exitcode == 0
