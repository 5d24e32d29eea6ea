"""Settings of DQN over slates."""

from __future__ import annotations

from dataclasses import dataclass, field

from agents.network_config import NetworkConfig

__all__ = ["DQNConfig"]


@dataclass(frozen=True, kw_only=True)
class DQNConfig:
    """DQN by an additive SlateQ decomposition; see `agents.dqn.learner` for the loss."""

    n_envs: int = 256
    """Users served side by side."""
    buffer_size: int = 200_000
    """Pages kept for replay, about 1.5 kB each at N 50, K 10."""
    learning_starts: int = 4_000
    """Pages served by exploration before the first update."""
    batch_size: int = 512
    """Pages in a minibatch."""
    train_freq: int = 2
    """Steps of all users between two rounds of updates."""
    gradient_steps: int = 1
    """Updates in a round."""
    learning_rate: float = 1e-3
    """Adam's step size at first; it falls linearly to a tenth of this."""
    gamma: float = 0.97
    """Discount per page."""
    target_update_interval: int = 5_000
    """Pages between two copies of the online network to the target network."""
    exploration_initial_eps: float = 1.0
    """Share of users who are shown a drawn slate, at first."""
    exploration_final_eps: float = 0.1
    """The same, at last."""
    exploration_fraction: float = 0.3
    """Share of the training over which the former becomes the latter."""
    exploration_temperature: float = 0.5
    """Temperature of such draws, in standard deviations of the item values."""
    feedback_coef: float = 1.0
    """Weight of the click and purchase log losses."""
    max_grad_norm: float = 10.0
    """Gradient norm limit."""
    bootstrap_at_limit: bool = True
    """Value what lies beyond the step limit (the limit only cuts the simulation); False: the limit ends the
    task."""
    network: NetworkConfig = field(default_factory=NetworkConfig)
    """Sizes of the networks."""
