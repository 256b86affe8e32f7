"""One training step of SynDiff with every network, for any source of noise.

Names follow the paper: contrast 1 and contrast 2; `diffusive` networks make a contrast from noise
and the other contrast; `one_shot` networks make the missing other contrast of an unpaired slice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mrimpute.diffusion.ladder import Ladder
from mrimpute.diffusion.step import posterior_step
from mrimpute.training.loop import descend, to_figures

GENERATORS = ("gen_diffusive_1", "gen_diffusive_2", "gen_non_diffusive_1to2", "gen_non_diffusive_2to1")
DISCRIMINATORS = ("disc_diffusive_1", "disc_diffusive_2", "disc_non_diffusive_cycle1", "disc_non_diffusive_cycle2")
ONE_SHOT = (*GENERATORS[2:], *DISCRIMINATORS[2:])
"""What only unpaired training needs."""


@dataclass(frozen=True)
class Draws:
    """The random numbers of one phase.

    Attributes:
        timesteps: (B,) step index of each item, for contrast 1 and 2.
        step_noise: what x_{t+1} adds to x_t, (B, 1, H, W), for contrast 1 and 2.
        state_noise: what x_t adds to the clean slice.
        latents: (B, latent_size).
        posterior_noise: of the sampled x_t.
    """

    timesteps: tuple[Tensor, Tensor]
    step_noise: tuple[Tensor, Tensor]
    state_noise: tuple[Tensor, Tensor]
    latents: tuple[Tensor, Tensor]
    posterior_noise: tuple[Tensor, Tensor]


@dataclass(frozen=True)
class LossWeights:
    """Weights of the losses; the defaults are those of the authors' command.

    Attributes:
        pixel: of the L1 losses (lambda).
        penalty: of the gradient penalty (gamma of R1; half of it multiplies the squared norm).
        penalty_every: iterations between two penalties (lazy R1).
    """

    pixel: float = 0.5
    penalty: float = 1.0
    penalty_every: int = 10


@dataclass(frozen=True)
class AdversarialStep:
    """The networks of one pair of contrasts with their optimisers.

    Attributes:
        networks: by the names in GENERATORS and DISCRIMINATORS; without ONE_SHOT in paired training.
        optimisers: one per network.
        ladder: the large steps.
        weights: of the losses.
        half_precision: run the networks in bfloat16.
    """

    networks: Mapping[str, nn.Module]
    optimisers: Mapping[str, torch.optim.Optimizer]
    ladder: Ladder
    weights: LossWeights
    half_precision: bool = False

    @property
    def paired(self) -> bool:
        """Whether sources come from registered slices, so that there are no one-shot networks."""
        return ONE_SHOT[0] not in self.networks

    def take(
        self,
        slices: tuple[Tensor, Tensor],
        discriminating: Draws,
        making: Draws,
        step: int,
        sources: tuple[Tensor, Tensor] | None = None,
    ) -> dict[str, float]:
        """Take one step with every network: first the discriminators, then the generators.

        Args:
            slices: contrast 1 and contrast 2, (B, 1, H, W) in [-1, 1].
            sources: in paired training, what the networks see of contrast 2 and of contrast 1, in
                this order.
            discriminating, making: the draws of the two phases.
            step: iterations done before.

        Returns:
            Every loss by name.
        """
        losses = self._discriminate_diffusive(slices, discriminating, step, sources)
        if not self.paired:
            losses |= self._discriminate_one_shot(slices)
        return losses | self._make(slices, making, sources)

    def _run(self, name: str, *inputs: Tensor) -> Tensor:
        with torch.autocast(inputs[0].device.type, torch.bfloat16, enabled=self.half_precision):
            made: Tensor = self.networks[name](*inputs)
        return made.float()

    def _states(self, slices: tuple[Tensor, Tensor], draws: Draws) -> list[tuple[Tensor, Tensor]]:
        """Return (x_t, x_{t+1}) of both contrasts."""
        pairs = []
        before = torch.from_numpy(self.ladder.alphas_cumprod_prev).float()
        betas = torch.from_numpy(self.ladder.betas).float()
        for clean, index, here, further in zip(
            slices, draws.timesteps, draws.state_noise, draws.step_noise, strict=True
        ):
            level, beta = (table.to(clean.device)[index][:, None, None, None] for table in (before, betas))
            state = level.sqrt() * clean + (1 - level).sqrt() * here
            pairs.append((state, (1 - beta).sqrt() * state + beta.sqrt() * further))
        return pairs

    def _others(self, slices: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Make the source for contrast 1 (a contrast 2) and for contrast 2 (a contrast 1)."""
        first, second = slices
        return self._run("gen_non_diffusive_1to2", first), self._run("gen_non_diffusive_2to1", second)

    def _diffusive(
        self, slices: tuple[Tensor, Tensor], draws: Draws, sources: tuple[Tensor, Tensor] | None
    ) -> tuple[list[tuple[Tensor, Tensor]], list[Tensor], list[Tensor], tuple[Tensor, Tensor]]:
        """Return the noisy pairs, the clean estimates, sampled x_t, and the sources they came from."""
        states = self._states(slices, draws)
        sources = sources or self._others(slices)
        estimates, sampled = [], []
        for number, ((_, noisier), source) in enumerate(zip(states, sources, strict=True)):
            index, latent = draws.timesteps[number], draws.latents[number]
            made = self._run(f"gen_diffusive_{number + 1}", torch.cat([noisier, source], dim=1), index, latent)
            estimate = made[:, :1]
            noise = draws.posterior_noise[number]
            estimates.append(estimate)
            sampled.append(posterior_step(estimate, noisier, index, self.ladder, noise))
        return states, estimates, sampled, sources

    def _discriminate_diffusive(
        self, slices: tuple[Tensor, Tensor], draws: Draws, step: int, sources: tuple[Tensor, Tensor] | None
    ) -> dict[str, float]:
        names = DISCRIMINATORS[:2]
        penalised = step % self.weights.penalty_every == 0
        with torch.no_grad():
            states, _, sampled, _ = self._diffusive(slices, draws, sources)
        real, penalty, fake = [], [], []
        for number, name in enumerate(names):
            state, noisier = states[number]
            state = state.detach().requires_grad_(penalised)
            index = draws.timesteps[number]
            logits = self._run(name, state, index, noisier)
            real.append(F.softplus(-logits).mean())
            if penalised:
                (gradient,) = torch.autograd.grad(logits.sum(), state, create_graph=True)
                penalty.append(gradient.square().flatten(1).sum(dim=1).mean())
            fake.append(F.softplus(self._run(name, sampled[number], index, noisier)).mean())
        total = sum(real) + sum(fake) + self.weights.penalty / 2 * sum(penalty)
        self._step(torch.as_tensor(total), names)
        losses = {f"errD{n}_real": loss for n, loss in enumerate(real, 1)}
        losses |= {f"grad{n}_penalty": loss for n, loss in enumerate(penalty, 1)}
        return to_figures(losses | {"errD_fake": torch.stack(fake).sum()})

    def _discriminate_one_shot(self, slices: tuple[Tensor, Tensor]) -> dict[str, float]:
        names = DISCRIMINATORS[2:]
        with torch.no_grad():
            second, first = self._others(slices)
        losses = {}
        for number, (name, acquired, made) in enumerate(zip(names, slices, (first, second), strict=True), 1):
            losses[f"errD_cycle{number}_real"] = F.softplus(-self._run(name, acquired)).mean()
            losses[f"errD_cycle{number}_fake"] = F.softplus(self._run(name, made)).mean()
        self._step(torch.stack(list(losses.values())).sum(), names)
        return to_figures(losses)

    def _make(
        self, slices: tuple[Tensor, Tensor], draws: Draws, sources: tuple[Tensor, Tensor] | None
    ) -> dict[str, float]:
        names = [name for name in GENERATORS if name in self.networks]
        for name in DISCRIMINATORS:
            if name in self.networks:
                self.networks[name].requires_grad_(False)
        states, estimates, sampled, (second, first) = self._diffusive(slices, draws, sources)
        losses = {}
        for number, (state, estimate) in enumerate(zip(states, estimates, strict=True)):
            logits = self._run(DISCRIMINATORS[number], sampled[number], draws.timesteps[number], state[1])
            losses[f"errG{number + 1}"] = F.softplus(-logits).mean()
            losses[f"errG{number + 1}_L1"] = F.l1_loss(estimate, slices[number])
        if not self.paired:
            cycled = self._run("gen_non_diffusive_2to1", second), self._run("gen_non_diffusive_1to2", first)
            for number, (made, back) in enumerate(zip((first, second), cycled, strict=True)):
                losses[f"errG_cycle_adv{number + 1}"] = F.softplus(-self._run(DISCRIMINATORS[2 + number], made)).mean()
                losses[f"errG{number + 1}_cycle"] = F.l1_loss(back, slices[number])
        pixelwise = [loss for name, loss in losses.items() if name.endswith(("_L1", "_cycle"))]
        adversarial = [loss for name, loss in losses.items() if not name.endswith(("_L1", "_cycle"))]
        total = torch.stack(adversarial).sum() + self.weights.pixel * torch.stack(pixelwise).sum()
        self._step(total, names)
        for name in DISCRIMINATORS:
            if name in self.networks:
                self.networks[name].requires_grad_(True)
        return to_figures(losses | {"errG": total})

    def _step(self, loss: Tensor, names: Sequence[str]) -> None:
        descend(loss, *(self.optimisers[name] for name in names))
