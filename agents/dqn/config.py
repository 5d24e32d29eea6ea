"""Settings of DQN over slates."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

from agents.network_config import NetworkConfig, check_network
from agents.settings import ABOVE_ZERO, check_choices, check_numbers
from behavior.errors import InputError

__all__ = ["DQNConfig", "form_of", "options_of"]

Choice = Literal["additive", "multinomial"]
Optimiser = Literal["topk", "greedy", "exact"]


@dataclass(frozen=True, kw_only=True)
class DQNConfig:
    """DQN by an additive SlateQ decomposition; see `agents.dqn.learner` for the loss."""

    n_envs: int = 256
    """Users served side by side."""
    choice: Choice = "additive"
    """How pages are answered: several clicks, values added up; or at most one, by multinomial choice (SlateQ)."""
    optimiser: Optimiser = "topk"
    """How slates are chosen; see `agents.dqn.values`."""
    crowding: bool = False
    """Additive: whether like items on one page may cost (choose the optimiser greedy then)."""
    buffer_size: int = 200_000
    """Pages kept for replay, about 0.6 kB each at N 50, K 5."""
    recent: int | None = None
    """Draw from the newest so many pages only; None: from all."""
    learning_starts: int = 4_000
    """Pages served by exploration before the first update."""
    batch_size: int = 1_024
    """Pages in a minibatch."""
    block: int = 8
    """Consecutive pages of a user that are drawn together."""
    n_steps: int = 8
    """Pages at most whose rewards a target sums before it bootstraps; up to `block`."""
    trace_decay: float = 0.5
    """Lambda of these returns; 1: plain n-step returns."""
    cut_traces: bool = False
    """Whether a return stops before a page that was shown to explore (Watkins); else it runs through (Peng)."""
    double: bool = True
    """Whether the online network chooses the slate that the target network values (double DQN)."""
    expected: bool = False
    """Whether the regression is on the expected clicks; else on those that happened."""
    train_freq: int = 2
    """Steps of all users between two rounds of updates."""
    gradient_steps: int = 2
    """Updates in a round."""
    learning_rate: float = 2e-3
    """Adam's step size at first; it falls linearly to a tenth of this."""
    item_rate: float = 1.0
    """The step size of the item-wise values as a share of that of the page's value and the response model."""
    gamma: float = 0.97
    """Discount per page."""
    target_update_interval: int = 5_000
    """Pages between two moves of the target network."""
    tau: float = 1.0
    """Share of the way to the online network that the target network then moves (1: a copy; less: Polyak)."""
    exploration_initial_eps: float = 1.0
    """Share of users who are shown a drawn slate, at first."""
    exploration_final_eps: float = 0.1
    """The same, at last."""
    exploration_fraction: float = 0.3
    """Share of the training over which the former becomes the latter."""
    exploration_temperature: float = 0.5
    """Temperature of such draws, in standard deviations of the item values."""
    value_coef: float = 1.0
    """Weight of the value regression."""
    feedback_coef: float = 1.0
    """Weight of the click and purchase log losses."""
    max_grad_norm: float = 10.0
    """Gradient norm limit."""
    bootstrap_at_limit: bool = True
    """Value what lies beyond the step limit (the limit only cuts the simulation); False: the limit ends the
    task."""
    network: NetworkConfig = field(default_factory=NetworkConfig)
    """Sizes of the networks."""

    def __post_init__(self) -> None:
        check_network(self.network, where="DQNConfig.network")
        check_choices(self, {"choice": get_args(Choice), "optimiser": get_args(Optimiser)})
        check_numbers(
            self,
            integers={
                "n_envs": 1,
                "buffer_size": 1,
                "recent": 1,
                "learning_starts": 0,
                "batch_size": 1,
                "block": 1,
                "n_steps": 1,
                "train_freq": 1,
                "gradient_steps": 1,
                "target_update_interval": 1,
            },
            reals={
                "trace_decay": (0.0, 1.0),
                "learning_rate": (ABOVE_ZERO, 1e30),
                "item_rate": (0.0, 1e3),
                "gamma": (0.0, 1.0),
                "tau": (ABOVE_ZERO, 1.0),
                "exploration_initial_eps": (0.0, 1.0),
                "exploration_final_eps": (0.0, 1.0),
                "exploration_fraction": (ABOVE_ZERO, 1.0),
                "exploration_temperature": (0.0, 1e6),
                "value_coef": (0.0, 1e6),
                "feedback_coef": (0.0, 1e6),
                "max_grad_norm": (ABOVE_ZERO, 1e12),
            },
            optional=("recent",),
        )
        if self.batch_size > self.buffer_size:
            raise InputError(
                f"batch_size is {self.batch_size:,}, but the replay holds {self.buffer_size:,} pages",
                where="DQNConfig.batch_size",
                mend="choose a smaller batch_size or a larger buffer_size",
            )
        if self.crowding and self.choice != "additive":
            raise InputError(
                f"crowding is part of the additive form, and choice is {self.choice!r}",
                where="DQNConfig.crowding",
                mend="leave crowding out, or choose additive",
            )


def form_of(config: DQNConfig) -> dict[str, Any]:
    """The settings of `SlateQNetwork` beyond its sizes."""
    return {"choice": config.choice, "optimiser": config.optimiser, "crowding": config.crowding}


_ELSEWHERE = {"n_envs", "network", "choice", "optimiser", "crowding", "item_rate"}
_BOTH = {"learning_rate", "gamma", "max_grad_norm", "feedback_coef", "bootstrap_at_limit"}


def options_of(config: DQNConfig) -> dict[str, Any]:
    """The settings that `SlateDQN` takes and PPO does not, by their names there."""
    names = {one.name for one in fields(config)} - _ELSEWHERE - _BOTH
    return {name: getattr(config, name) for name in sorted(names)}
