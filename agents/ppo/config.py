"""Settings of PPO over slates."""

from __future__ import annotations

from dataclasses import dataclass, field

from agents.network_config import NetworkConfig, check_network
from agents.settings import ABOVE_ZERO, check_numbers
from behavior.errors import InputError

__all__ = ["PPOConfig"]


@dataclass(frozen=True, kw_only=True)
class PPOConfig:
    """PPO with a Plackett-Luce policy and credit by position; see `agents.ppo.learner`."""

    n_envs: int = 512
    """Users served side by side."""
    n_steps: int = 8
    """Pages of each user between two updates."""
    batch_size: int = 256
    """Pages in a minibatch; fewer where it does not divide n_envs x n_steps."""
    n_epochs: int = 1
    """Passes over the collected pages."""
    learning_rate: float = 2e-3
    """Adam's step size at first; it falls linearly to a tenth of this."""
    actor_rate: float = 0.2
    """The actor's step size as a share of the critic's and the response model's, whose losses are far less noisy."""
    gamma: float = 0.97
    """Discount per page; within a page nothing is discounted."""
    gae_lambda: float = 0.7
    """Decay of the generalised advantage over pages. All choices of a page share what follows it, so noise costs
    much; a critic that learns slowly what users hide costs more as this falls."""
    slot_lambda: float = 0.0
    """How far a choice is credited with the positions below it (0: its own position alone)."""
    clip_range: float = 0.2
    """PPO's clip of each choice's probability ratio."""
    entropy_coef: float = 0.0
    """Weight of the entropy bonus."""
    critic_coef: float = 0.02
    """Weight of the squared errors of critic and outlook."""
    feedback_coef: float = 1.0
    """Weight of the response model's log losses."""
    max_grad_norm: float = 1.0
    """Gradient norm limit."""
    target_kl: float | None = None
    """Stop the update when a page's approximate KL divergence passes one and a half times this."""
    bootstrap_at_limit: bool = True
    """Value what lies beyond the step limit (the limit only cuts the simulation); False: the limit ends the
    task."""
    network: NetworkConfig = field(default_factory=NetworkConfig)
    """Sizes of the networks."""

    def __post_init__(self) -> None:
        check_network(self.network, where="PPOConfig.network")
        check_numbers(
            self,
            integers={"n_envs": 1, "n_steps": 1, "batch_size": 1, "n_epochs": 1},
            reals={
                "learning_rate": (ABOVE_ZERO, 1e30),
                "actor_rate": (0.0, 1e3),
                "gamma": (0.0, 1.0),
                "gae_lambda": (0.0, 1.0),
                "slot_lambda": (0.0, 1.0),
                "clip_range": (ABOVE_ZERO, 1e3),
                "entropy_coef": (0.0, 1e6),
                "critic_coef": (0.0, 1e6),
                "feedback_coef": (0.0, 1e6),
                "max_grad_norm": (ABOVE_ZERO, 1e12),
                "target_kl": (ABOVE_ZERO, 1e6),
            },
            optional=("target_kl",),
        )
        if self.n_envs * self.n_steps < 2:
            raise InputError(
                "one page between two updates has no spread of advantages",
                where="PPOConfig.n_steps",
                mend="choose n_envs x n_steps of at least 2",
            )
