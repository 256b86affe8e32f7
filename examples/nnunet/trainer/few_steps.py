"""A trainer for nnU-Net that ends soon, to show how things are put together (see ../run.sh)."""

from typing import Any

import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer


class FewSteps(nnUNetTrainer):
    """Trains for some twenty steps instead of 250,000."""

    def __init__(
        self,
        plans: dict[str, Any],
        configuration: str,
        fold: int,
        dataset_json: dict[str, Any],
        device: torch.device = torch.device("cpu"),  # noqa: B008, the base class reads this signature
    ) -> None:
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.num_epochs = 2
        self.num_iterations_per_epoch = 10
        self.num_val_iterations_per_epoch = 1
        self.save_every = 100

    def perform_actual_validation(self, save_probabilities: bool = False) -> None:
        """Leave out the validation at the end: `mrimpute evaluate` asks what matters here."""
