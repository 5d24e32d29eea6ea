"""Settings of PPO over slates."""

from __future__ import annotations

from dataclasses import dataclass, field

from agents.network_config import NetworkConfig

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
    """Weight of the critic's squared error."""
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
