"""DQN over slates by SlateQ, on SB3's DQN: its loop, schedules and target network."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3 import DQN
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.noise import ActionNoise
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.type_aliases import GymEnv, RolloutReturn, TrainFreq
from stable_baselines3.common.utils import obs_as_tensor, polyak_update
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from agents.chance import generator_array, restore_generator
from agents.clock import Stopwatch
from agents.divergence import refuse_divergence
from agents.dqn.network import PADDING
from agents.dqn.policy import SlateQPolicy
from agents.dqn.replay import BlockReplay, Blocks
from agents.dqn.returns import block_returns
from agents.networks import PageInputs
from agents.ranks import Ranks
from agents.shown import shown_pages
from envs.sb3 import SlateVecEnv

__all__ = ["SlateDQN"]

_LOGGED = ("td_loss", "click_loss", "purchase_loss", "value", "target", "grad_norm")


class SlateDQN(DQN):
    """DQN whose actions are slates.

    Loss: (Q(s, A, clicks, purchases) - y)^2 / value_scale^2 + click log loss + purchase log loss, where y is an n-step
    lambda-return (`block_returns`) over values Q_target(s', argmax_A' Q_online(s', A')) (double DQN). Conditioning
    on the clicks that happened takes their chance out of the regression; the learned click and purchase models put
    their expectation back when slates are chosen. The error is squared, never clipped: a session may end on every
    page, so a page's return has two modes, and what a clipped error fits is nearer the likelier one than the mean.

    Each user explores by a coin of their own: an exploring user sees a Plackett-Luce draw over the standardised
    item values.

    Args:
        policy: A `SlateQPolicy` class.
        env: A `VecEnv` with this project's Dict observations and `MultiDiscrete` slates.
        block: Consecutive pages of a user drawn together.
        n_steps: Pages at most whose rewards a target sums.
        trace_decay: Lambda of these returns.
        cut_traces: Whether a return stops before a page that was shown to explore.
        double: Whether the online network chooses the slate that the target network values.
        expected: Whether the regression is on expected clicks, not on those that happened.
        recent: Draw from the newest so many pages only.
        value_coef: Weight of the regression.
        exploration_temperature: Temperature of an exploring user's draw, in standard deviations of the values.
        feedback_coef: Weight of the click and purchase log losses.
        bootstrap_at_limit: Whether the step limit only cuts the session (bootstrap), or ends the task.
        exploration_initial_eps: Share of exploring users at first.
        exploration_final_eps: Share of exploring users at last.
        exploration_fraction: Share of the training over which the former becomes the latter.
        target_update_interval: User-steps between updates of the target network.
        max_grad_norm: Gradient norm limit.
        _init_setup_model: As SB3.
        **kwargs: Options of SB3's `OffPolicyAlgorithm`.
    """

    policy: SlateQPolicy
    replay_buffer: BlockReplay | None  # type: ignore[assignment]

    def __init__(
        self,
        policy: str | type[SlateQPolicy],
        env: GymEnv | None,
        *,
        block: int = 8,
        n_steps: int = 1,
        trace_decay: float = 1.0,
        cut_traces: bool = False,
        double: bool = True,
        expected: bool = False,
        recent: int | None = None,
        value_coef: float = 1.0,
        exploration_temperature: float = 1.0,
        feedback_coef: float = 1.0,
        bootstrap_at_limit: bool = True,
        exploration_initial_eps: float = 1.0,
        exploration_final_eps: float = 0.05,
        exploration_fraction: float = 0.3,
        target_update_interval: int = 10_000,
        max_grad_norm: float = 10.0,
        _init_setup_model: bool = True,
        **kwargs: Any,
    ) -> None:
        self.block, self.return_steps, self.trace_decay = block, n_steps, trace_decay
        self.cut_traces, self.double, self.expected, self.recent = cut_traces, double, expected, recent
        self.value_coef = value_coef
        self.exploration_temperature = exploration_temperature
        self.feedback_coef = feedback_coef
        self.bootstrap_at_limit = bootstrap_at_limit
        self.stopwatch = Stopwatch()
        self.ranks = Ranks.alone()
        self.largest_reward = 0.0  # of a page, absolute, so far
        # DQN's own constructor allows Discrete actions only; its other lines are repeated here.
        OffPolicyAlgorithm.__init__(
            self,
            policy,
            env,  # type: ignore[arg-type]
            replay_buffer_class=BlockReplay,  # type: ignore[arg-type]
            sde_support=False,
            supported_action_spaces=(spaces.MultiDiscrete,),
            support_multi_env=True,
            **kwargs,
        )
        if self.env is not None:
            self.replay_buffer_kwargs |= {
                "max_steps": self.env.get_attr("task")[0].max_steps,
                "bootstrap_at_limit": bootstrap_at_limit,
            }
        self.exploration_initial_eps = exploration_initial_eps
        self.exploration_final_eps = exploration_final_eps
        self.exploration_fraction = exploration_fraction
        self.target_update_interval = target_update_interval
        self._n_calls = 0
        self.max_grad_norm = max_grad_norm
        self.exploration_rate = 0.0
        self.generator = np.random.default_rng(self.seed)
        if _init_setup_model:
            self._setup_model()

    def _excluded_save_params(self) -> list[str]:
        # The tables in `policy_kwargs` belong to the data, not to the checkpoint.
        return [*super()._excluded_save_params(), "policy_kwargs", "stopwatch", "generator"]

    def collect_rollouts(
        self,
        env: VecEnv,
        callback: BaseCallback,
        train_freq: TrainFreq,
        replay_buffer: Any,
        action_noise: ActionNoise | None = None,
        learning_starts: int = 0,
        log_interval: int | None = None,
    ) -> RolloutReturn:
        """Serve every user `train_freq` pages and put them into the replay."""
        self.policy.set_training_mode(False)
        callback.on_rollout_start()
        served = 0
        for _ in range(train_freq.frequency):
            slates, explored = self.explore(learning_starts)
            new_obs, rewards, dones, infos = env.step(slates)
            self.num_timesteps += env.num_envs * self.ranks.size
            served += env.num_envs
            self.largest_reward = max(self.largest_reward, float(np.abs(rewards).max()))
            callback.update_locals(locals())
            if not callback.on_step():
                return RolloutReturn(served, 0, continue_training=False)
            self._update_info_buffer(infos, dones)
            self._keep(replay_buffer, slates, explored, new_obs, rewards, dones, infos)
            self._last_obs = new_obs  # type: ignore[assignment]
            self._update_current_progress_remaining(self.num_timesteps, self._total_timesteps)
            self._on_step()
        callback.on_rollout_end()
        return RolloutReturn(served, 0, continue_training=True)

    def _on_step(self) -> None:
        """Move the target network when it is time, and the share of users who explore."""
        self._n_calls += 1
        every = max(self.target_update_interval // (self.n_envs * self.ranks.size), 1)
        if self._n_calls % every == 0:
            polyak_update(self.q_net.parameters(), self.q_net_target.parameters(), self.tau)
        self.exploration_rate = self.exploration_schedule(self._current_progress_remaining)

    def explore(self, learning_starts: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Slates (B, K): the best by the learned values, or a draw for the users (B,) who explore."""
        start = time.perf_counter()
        network = self.policy.q_net
        with torch.no_grad():
            values = network(obs_as_tensor(self._last_obs, self.device))  # type: ignore[arg-type]
            slates = values.best_slates(network.optimiser).cpu().numpy()
            items = values.item_values().double().cpu().numpy()  # (B, N)
        rate = 1.0 if self.num_timesteps < learning_starts else self.exploration_rate
        explored = np.less(self.generator.random(items.shape[0]), rate)
        rows = np.flatnonzero(explored)
        if rows.size:
            mine = items[rows]
            valid = np.asarray(mine > PADDING / 2)
            spread = mine.std(axis=1, where=valid, keepdims=True)
            noise = self.generator.gumbel(size=mine.shape)
            mine = np.where(valid, mine + noise * self.exploration_temperature * spread, -np.inf)
            slates[rows] = np.argsort(-mine, axis=1, kind="stable")[:, : slates.shape[1]]
        self.stopwatch.add(policy=time.perf_counter() - start)
        return slates, explored

    def _keep(
        self,
        replay: BlockReplay,
        slates: NDArray[np.int64],
        explored: NDArray[np.bool_],
        new_obs: Any,
        reward: NDArray[np.float32],
        dones: NDArray[np.bool_],
        infos: list[dict[str, Any]],
    ) -> None:
        """Put the pages of all users into the replay as they were shown, whatever was asked for."""
        finished = np.flatnonzero(dones)
        ends = [infos[b]["terminal_observation"] for b in finished]
        before: Any = self._last_obs
        page = shown_pages(before["candidates"], slates, new_obs, finished, ends)
        truncated = np.zeros_like(dones)
        last: dict[str, NDArray[Any]] = {}
        if finished.size:
            cut = [bool(infos[b].get("TimeLimit.truncated", False)) for b in finished]
            truncated[finished] = cut
            if any(cut):
                kept = [end for end, one in zip(ends, cut, strict=True) if one]
                last = {name: np.stack([end[name] for end in kept]) for name in replay.names}
        replay.put(
            before,
            slates=page.places,
            click=page.click,
            purchase=page.purchase,
            reward=reward,
            terminated=dones & ~truncated,
            truncated=truncated,
            explored=explored,
            last=last,
        )

    def _update_learning_rate(self, optimizers: list[torch.optim.Optimizer] | torch.optim.Optimizer) -> None:
        """SB3's schedule, times each parameter group's own factor."""
        super()._update_learning_rate(optimizers)
        for group in self.policy.optimizer.param_groups:
            group["lr"] *= group["factor"]

    @torch.no_grad()
    def targets(self, batch: Blocks, page: PageInputs) -> Tensor:
        """Targets y (L, M) of a batch with the features `page` of all its observations."""
        online, target = self.policy.q_net, self.policy.q_net_target
        slates = (online if self.double else target).values(page).best_slates(online.optimiser)
        values, places = target.slate_values(page, slates)
        return block_returns(
            batch.reward,
            values.slate_value(places)[batch.successor],
            batch.going_on,
            batch.ended,
            gamma=self.gamma,
            n_steps=self.return_steps,
            trace_decay=self.trace_decay,
            cut=batch.explored if self.cut_traces else None,
        )

    def train(self, gradient_steps: int, batch_size: int = 100) -> None:
        """Minimise the loss on `gradient_steps` minibatches from the replay."""
        start = time.perf_counter()
        assert self.replay_buffer is not None
        if self.replay_buffer.size < 2:
            return  # of a single row no page's successor is known yet
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        network = self.policy.q_net
        sums = torch.zeros(len(_LOGGED), device=self.device)
        for _ in range(gradient_steps):
            batch = self.replay_buffer.sample(batch_size, self.block, self.generator, self.recent)
            page = network.page(batch.observations)
            y = self.targets(batch, page).flatten()
            shown, click, purchase = (
                part.flatten(0, 1) for part in (batch.slates, batch.click, batch.purchase)
            )
            first = PageInputs(*(part[: y.shape[0]] for part in page))
            # Gradients come from the items that were shown; the many others have been looked at without any.
            here, places = network.slate_values(first, shown)
            estimate = (
                here.slate_value(places) if self.expected else here.realised_value(places, click, purchase)
            )
            td_loss = ((estimate - y) / network.value_scale).square().mean()
            click_loss, purchase_loss = here.response_loss(places, click, purchase)
            purchase_loss = purchase_loss * self.ranks.weight(click.sum())
            loss = self.value_coef * td_loss + self.feedback_coef * (click_loss + purchase_loss)
            self.policy.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self.ranks.average_gradients(network.parameters())
            norm = torch.nn.utils.clip_grad_norm_(network.parameters(), self.max_grad_norm)
            self.policy.optimizer.step()
            # Figures stay on the device until the round is done: to look at one is to wait for all before it.
            sums += torch.stack(
                (td_loss, click_loss, purchase_loss, estimate.mean(), y.mean(), norm)
            ).detach()
        self._n_updates += gradient_steps
        means = dict(zip(_LOGGED, (sums / gradient_steps).tolist(), strict=True))
        refuse_divergence(
            means,
            error=network.value_scale * math.sqrt(max(means["td_loss"], 0.0)),
            largest_reward=self.largest_reward,
            gamma=self.gamma,
            ranks=self.ranks,
        )
        for name, value in means.items():
            self.logger.record(f"train/{name}", value)
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        self.stopwatch.add(update=time.perf_counter() - start)

    def predict(
        self,
        observation: np.ndarray | dict[str, np.ndarray],
        state: tuple[np.ndarray, ...] | None = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = True,
    ) -> tuple[np.ndarray, tuple[np.ndarray, ...] | None]:
        """The greedy slates; exploration belongs to training only."""
        return self.policy.predict(observation, state, episode_start, deterministic)

    def training_state(self) -> dict[str, NDArray[Any]]:
        """What `restore_training_state` needs to go on to the bit, beside weights and optimiser.

        Called between an update and the next pages. The replay is part of it: about 0.6 kB a page at N 50, K 5.
        """
        env = self.get_env()
        assert isinstance(env, SlateVecEnv)
        assert self.replay_buffer is not None
        users = {f"env/{name}": array for name, array in env.save_state().items()}
        pages = {f"replay/{name}": array for name, array in self.replay_buffer.save().items()}
        return (
            users
            | pages
            | {
                "chance": generator_array(self.generator),
                "calls": np.array(self._n_calls),
                "exploration_rate": np.array(self.exploration_rate),
                "largest_reward": np.array(self.largest_reward),
            }
        )

    def restore_training_state(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Go on from what `training_state` gave."""
        env = self.get_env()
        assert isinstance(env, SlateVecEnv)
        assert self.replay_buffer is not None

        def part(prefix: str) -> dict[str, NDArray[Any]]:
            return {
                name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)
            }

        self._last_obs = env.restore_state(part("env/"))
        self.replay_buffer.restore(part("replay/"))
        restore_generator(self.generator, arrays["chance"])
        self._n_calls = int(arrays["calls"])
        self.exploration_rate = float(arrays["exploration_rate"])
        self.largest_reward = float(arrays["largest_reward"])
