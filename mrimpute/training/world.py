"""The processes of one training run: alone, or as torchrun started them."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import torch
from torch import distributed, nn


@dataclass(frozen=True)
class World:
    """This process among those of the run: rank from 0, and how many there are."""

    rank: int = 0
    size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this process saves, logs and speaks."""
        return self.rank == 0

    def share(self, network: nn.Module) -> nn.Module:
        """Return the network as it must be called for gradients to be averaged over processes."""
        return nn.parallel.DistributedDataParallel(network) if self.size > 1 else network

    def no_sync(self, shared: nn.Module, more_to_come: bool) -> AbstractContextManager[None]:
        """Return a context in which gradients of a shared network are not averaged yet."""
        if more_to_come and isinstance(shared, nn.parallel.DistributedDataParallel):
            return shared.no_sync()
        return nullcontext()


@contextmanager
def join_world(device: torch.device) -> Iterator[tuple[World, torch.device]]:
    """Give this process's place in the run and its device (with torchrun, one GPU each).

    torchrun states rank and size in the environment; without it the run is alone.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield World(), device
        return
    own = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if device.type == "cuda" else device
    if own.type == "cuda":
        torch.cuda.set_device(own)  # else every process takes memory on the first GPU, and NCCL may meet itself there
    distributed.init_process_group("nccl" if own.type == "cuda" else "gloo")
    try:
        yield World(distributed.get_rank(), size), own
    finally:
        distributed.destroy_process_group()
