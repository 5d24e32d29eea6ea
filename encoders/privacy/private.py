"""Differentially private fine-tuning: what is learned says little of any one person.

DP-SGD (Abadi et al., "Deep learning with differential privacy", CCS 2016) by Opacus, with a person in place of an
example: each step draws every person with the same probability, takes the gradient of each one's loss by itself,
clips it to `max_norm`, adds Gaussian noise to the sum. Adding or removing one person then changes the distribution
of the weights by at most a factor e^epsilon, up to a probability delta (McMahan et al., "Learning differentially
private recurrent language models", ICLR 2018).

Taken as public: the catalogue, the pretrained encoder, the number of people, and the texts of the queries (they are
encoded by a fixed model; a table exported for the log's own queries says which were asked).
"""

from __future__ import annotations

import contextlib
import importlib.util
import math
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from behavior.errors import InputError
from encoders.privacy.adapter import Adapter, make_batch, public_basis, user_losses
from encoders.privacy.users import UserPairs

__all__ = ["PrivacyConfig", "PrivacyReport", "new_adapter", "promise", "train_adapter"]


@dataclass(frozen=True, kw_only=True)
class PrivacyConfig:
    """Fine-tuning by person."""

    epsilon: float | None = 4.0
    """Most that one person may tell (smaller is more private); None: neither clipping nor noise, no promise."""
    delta: float | None = None
    """Probability with which the promise may fail; None: a tenth of one over the number of people."""
    max_norm: float = 1.0
    """Length to which a person's gradient is clipped."""
    epochs: float = 30.0
    """Times that a person is drawn, on average."""
    users_per_step: int = 1024
    """People in a step, on average; the more, the less the noise of a step drowns."""
    learning_rate: float = 0.003
    """AdamW's."""
    decay: float = 3.0
    """Weight decay of the adapter: the pull back to the pretrained geometry."""
    width: int = 64
    """Directions `w` of the adapter: `w * w` weights and a few more."""
    max_pairs: int = 12
    """Shown items kept of a person."""
    n_contrast: int = 48
    """Catalogue items that a clicked one is told apart from."""
    seed: int = 0
    """Seed of draws and noise. A published model needs a seed that nobody knows."""

    def __post_init__(self) -> None:
        if self.epsilon is not None and not self.epsilon > 0:
            raise InputError(f"epsilon must be above 0, found {self.epsilon}", where="PrivacyConfig.epsilon")
        if self.delta is not None and not 0 < self.delta < 1:
            raise InputError(
                f"delta must lie between 0 and 1, found {self.delta}", where="PrivacyConfig.delta"
            )
        if not self.max_norm > 0:
            raise InputError(
                f"max_norm must be above 0, found {self.max_norm}", where="PrivacyConfig.max_norm"
            )


@dataclass(frozen=True, kw_only=True)
class PrivacyReport:
    """What was promised."""

    epsilon: float | None
    """Spent, by the accountant; None: no promise."""
    delta: float
    """Probability with which it may fail."""
    noise_multiplier: float
    """Standard deviation of the noise over `max_norm`."""
    max_norm: float
    """Length to which a person's gradient was clipped."""
    sample_rate: float
    """Probability with which a person is drawn in a step."""
    steps: int
    """Steps, of all runs together."""
    n_users: int
    """People."""
    accountant: str
    """How epsilon was counted."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def new_adapter(item: NDArray[np.float32], slate_size: int, config: PrivacyConfig) -> Adapter:
    """An adapter that has learned nothing, for the vectors (I, D) of a public catalogue."""
    return Adapter(public_basis(item, min(config.width, *item.shape)), slate_size)


def train_adapter(
    adapter: Adapter,
    pairs: UserPairs,
    item: NDArray[np.float32],
    query: NDArray[np.float32],
    config: PrivacyConfig,
    *,
    runs: int = 1,
    progress: bool = True,
) -> PrivacyReport:
    """Train `adapter` in place, so that `config.epsilon` holds for every person of `pairs`.

    Args:
        adapter: Where to start from; what it knows already is not counted.
        pairs: What people saw and did.
        item: Raw vectors (I, D).
        query: Raw vectors (Q, D).
        config: The promise, and how to train; another seed for each of several runs.
        runs: Times that this is done with the same people; the promise is that of all of them together.
        progress: Show a bar.

    Raises:
        InputError: The extra `privacy` is not installed, or the promise cannot be kept with so few people.
    """
    U = pairs.n_users
    promised = promise(U, config, runs=runs)
    rate, steps, noise = promised.sample_rate, promised.steps // runs, promised.noise_multiplier
    optimiser: torch.optim.Optimizer = torch.optim.AdamW(
        [
            {"params": [adapter.mix.weight], "weight_decay": config.decay},
            {"params": [p for p in adapter.parameters() if p is not adapter.mix.weight], "weight_decay": 0.0},
        ],
        lr=config.learning_rate,
    )
    model: torch.nn.Module = adapter
    if config.epsilon is not None:
        model, optimiser = _made_private(adapter, optimiser, config, noise, rate * U)
    rng, basis = np.random.default_rng([config.seed, 1]), adapter.basis.numpy()
    model.train()
    for _ in tqdm(range(steps), desc="private", leave=False, disable=None if progress else True):
        # Poisson sampling, everyone for themselves, as the accountant takes it.
        rows = np.flatnonzero(rng.random(U) < rate)
        if not rows.size and config.epsilon is None:
            continue
        optimiser.zero_grad()
        if rows.size:
            batch = make_batch(pairs, rows, item, query, basis, n_contrast=config.n_contrast, rng=rng)
            with _quiet():
                user_losses(model, batch).mean().backward()  # type: ignore[no-untyped-call]
        else:  # a step that drew nobody adds its noise like any other
            for parameter in adapter.parameters():
                parameter.grad_sample = parameter.new_zeros((0, *parameter.shape))  # type: ignore[attr-defined]
        optimiser.step()
    if config.epsilon is not None:
        model.to_standard_module()  # type: ignore[operator]
    adapter.eval()
    return promised


def promise(n_users: int, config: PrivacyConfig, *, runs: int = 1) -> PrivacyReport:
    """What `runs` runs of `train_adapter` on the same `n_users` people promise to each of them.

    Raises:
        InputError: As `train_adapter`.
    """
    rate = min(1.0, config.users_per_step / n_users)
    steps = runs * max(1, math.ceil(config.epochs / rate))
    delta = config.delta if config.delta is not None else 0.1 / n_users
    noise = 0.0 if config.epsilon is None else _noise(config.epsilon, delta, rate, steps)
    return PrivacyReport(
        epsilon=None if config.epsilon is None else _spent(noise, rate, steps, delta),
        delta=delta,
        noise_multiplier=noise,
        max_norm=config.max_norm,
        sample_rate=rate,
        steps=steps,
        n_users=n_users,
        accountant="none" if config.epsilon is None else "Opacus, Renyi differential privacy",
    )


def _require_opacus() -> None:
    if importlib.util.find_spec("opacus") is None:
        raise InputError(
            "private fine-tuning needs the library opacus",
            where="PrivacyConfig.epsilon",
            mend="pip install -e '.[privacy]', or epsilon None for no promise",
        )


def _noise(epsilon: float, delta: float, rate: float, steps: int) -> float:
    """The least noise that keeps the promise over `steps` steps."""
    _require_opacus()
    from opacus.accountants.utils import get_noise_multiplier

    try:
        with _quiet():
            return float(
                get_noise_multiplier(
                    target_epsilon=epsilon,
                    target_delta=delta,
                    sample_rate=rate,
                    steps=steps,
                    accountant="rdp",
                )
            )
    except ValueError as error:
        raise InputError(
            f"no amount of noise keeps epsilon {epsilon:g} at delta {delta:.2g} over {steps} steps: {error}",
            where="PrivacyConfig.epsilon",
            mend="a larger epsilon, fewer epochs, or more people",
        ) from error


def _spent(noise: float, rate: float, steps: int, delta: float) -> float:
    from opacus.accountants import RDPAccountant

    accountant = RDPAccountant()
    for _ in range(steps):
        accountant.step(noise_multiplier=noise, sample_rate=rate)
    with _quiet():
        return float(accountant.get_epsilon(delta))


def _made_private(
    adapter: Adapter, optimiser: torch.optim.Optimizer, config: PrivacyConfig, noise: float, expected: float
) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    """The module that keeps every person's gradient apart, and the optimiser that clips, sums and adds noise."""
    _require_opacus()
    from opacus import GradSampleModule
    from opacus.optimizers import DPOptimizer

    model = GradSampleModule(adapter, loss_reduction="mean")
    private = DPOptimizer(
        optimiser,
        noise_multiplier=noise,
        max_grad_norm=config.max_norm,
        expected_batch_size=max(1, round(expected)),
        generator=torch.Generator().manual_seed(config.seed % 2**63),
    )
    return model, private


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence two warnings that say nothing here.

    Opacus warns where its bound is best at the end of its list of orders (it holds all the same), torch where the input
    of a network needs no gradient.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield
