"""PPO over slates with credit by position, on SB3's PPO."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3 import PPO
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.utils import explained_variance, obs_as_tensor
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from agents.chance import generator_array, restore_generator
from agents.clock import Stopwatch
from agents.divergence import refuse_divergence
from agents.page_features import PageInputs
from agents.ppo.buffer import Page, SlotRolloutBuffer
from agents.ppo.distribution import slate_entropy
from agents.ppo.policy import PlackettLucePolicy
from agents.ranks import Ranks
from agents.shown import shown_pages
from envs.sb3 import SlateVecEnv

__all__ = ["SlatePPO"]

_FIGURES = (
    "policy_gradient_loss",
    "value_loss",
    "entropy",
    "clip_fraction",
    "click_loss",
    "purchase_loss",
    "grad_norm",
)
"""What is logged of an update, in the order in which `train` sums it up."""


class SlatePPO(PPO):
    """PPO that treats a page as `K` choices without replacement, each with its own ratio and advantage.

    A page's reward comes from ten positions, and its users say which of them they clicked. SB3's PPO sees one
    number per page, and every choice on it is blamed for the noise of all the others; here the clicks and
    purchases of a position are credited to the choice made there (read from the next observation), and what
    cannot be told apart (other reward parts, later pages) to all of them: see `slot_advantages`.

    Loss: mean over pages of the sum over positions of -min(ratio A, clip(ratio) A), with PPO's clipping per choice,
    plus the squared errors of critic and outlook and the log losses of the response model, less the entropy bonus. A
    choice in whose place another item was shown is left out of the first.

    Args:
        *args: As SB3's PPO.
        slot_lambda: How far a choice is credited with the positions below it; see `slot_advantages`.
        feedback_coef: Weight of the response model's log losses.
        bootstrap_at_limit: Whether the step limit only cuts the session (bootstrap), or ends the task.
        **kwargs: As SB3's PPO.
    """

    policy: PlackettLucePolicy
    rollout_buffer: SlotRolloutBuffer

    def __init__(
        self,
        *args: Any,
        slot_lambda: float = 0.0,
        feedback_coef: float = 1.0,
        bootstrap_at_limit: bool = True,
        **kwargs: Any,
    ) -> None:
        self.feedback_coef = feedback_coef
        self.bootstrap_at_limit = bootstrap_at_limit
        self.stopwatch = Stopwatch()
        self.ranks = Ranks.alone()
        self.largest_reward = 0.0  # of a page, absolute, so far
        kwargs |= {
            "rollout_buffer_class": SlotRolloutBuffer,
            "rollout_buffer_kwargs": {"slot_lambda": slot_lambda},
        }
        super().__init__(*args, **kwargs)
        self.shuffler = np.random.default_rng(self.seed)

    def collect_rollouts(
        self, env: VecEnv, callback: BaseCallback, rollout_buffer: RolloutBuffer, n_rollout_steps: int
    ) -> bool:
        """Fill the buffer with `n_rollout_steps` steps of every user; False where a callback stopped."""
        assert isinstance(rollout_buffer, SlotRolloutBuffer)
        self.policy.set_training_mode(False)
        rollout_buffer.reset()
        callback.on_rollout_start()
        for _ in range(n_rollout_steps):
            start = time.perf_counter()
            with torch.no_grad():
                inputs = self.policy.page(obs_as_tensor(self._last_obs, self.device))  # type: ignore[arg-type]
                slates, values, log_probs, gain = self.policy.act(inputs)
            chosen = slates.cpu().numpy()
            self.stopwatch.add(policy=time.perf_counter() - start)
            new_obs, rewards, dones, infos = env.step(chosen)
            self.num_timesteps += env.num_envs * self.ranks.size
            self.largest_reward = max(self.largest_reward, float(np.abs(rewards).max()))
            callback.update_locals(locals())
            if not callback.on_step():
                return False
            start = time.perf_counter()
            self._update_info_buffer(infos, dones)
            shown, click, purchase, by_slot = self._feedback(inputs, chosen, new_obs, rewards, dones, infos)  # type: ignore[arg-type]
            ended = torch.from_numpy(dones).to(self.device)
            rollout_buffer.put(
                Page(inputs, slates, shown, click, purchase, by_slot, ended, values, log_probs, gain)
            )
            self._last_obs, self._last_episode_starts = new_obs, dones  # type: ignore[assignment]
            self.stopwatch.add(policy=time.perf_counter() - start)
        last: Any = self._last_obs
        rollout_buffer.finish(self._values(last), unit=self.policy.unit)
        callback.update_locals(locals())
        callback.on_rollout_end()
        return True

    def _values(self, observation: Mapping[str, NDArray[Any]]) -> Tensor:
        """Values (B,) of states, in reward units."""
        with torch.no_grad():
            return self.policy.predict_values(obs_as_tensor(dict(observation), self.device)).flatten()

    def _feedback(
        self,
        inputs: PageInputs,
        chosen: NDArray[np.int64],
        new_obs: Mapping[str, NDArray[Any]],
        rewards: NDArray[np.float32],
        dones: NDArray[np.bool_],
        infos: list[dict[str, Any]],
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Slates shown, clicks and purchases (B, K), and rewards (B, K + 1) in units: of each position, and the rest.

        The rest takes in the value beyond a step limit.
        """
        finished = np.flatnonzero(dones)
        ends = [infos[b]["terminal_observation"] for b in finished]
        before: Any = self._last_obs
        page = shown_pages(before["candidates"], chosen, new_obs, finished, ends)
        shown = torch.from_numpy(page.places).to(self.device)
        clicks, purchases = (torch.from_numpy(a).float().to(self.device) for a in (page.click, page.purchase))
        worth = self.policy.worth_of(inputs.items.gather(1, shown))
        slots = self.policy.click_worth * clicks + worth * purchases
        rest = torch.from_numpy(rewards).to(self.device) / self.policy.unit - slots.sum(1)
        cut = np.array([infos[b].get("TimeLimit.truncated", False) for b in finished], np.bool_)
        if self.bootstrap_at_limit and cut.any():
            assert isinstance(self.observation_space, spaces.Dict)
            # One critic pass for all of them; SB3 makes one of a single row for each.
            beyond = [end for end, one in zip(ends, cut, strict=True) if one]
            values = self._values(
                {name: np.stack([end[name] for end in beyond]) for name in self.observation_space.spaces}
            )
            rest[torch.from_numpy(finished[cut]).to(self.device)] += self.gamma * values
        return shown, clicks, purchases, torch.cat((slots, rest.unsqueeze(1)), dim=1)

    def _update_learning_rate(self, optimizers: list[torch.optim.Optimizer] | torch.optim.Optimizer) -> None:
        """SB3's schedule, times each parameter group's own factor."""
        super()._update_learning_rate(optimizers)
        for group in self.policy.optimizer.param_groups:
            group["lr"] *= group["factor"]

    def train(self) -> None:
        """Update the policy from the rollouts."""
        start = time.perf_counter()
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        clip = self.clip_range(self._current_progress_remaining)  # type: ignore[operator]
        buffer, tally = self.rollout_buffer, self.policy.page.tally
        pages = buffer.slot_advantages.flatten(0, 1)  # (T * B, K)
        centre, _ = self.ranks.moments(pages, 0)  # (K,)
        spread = self.ranks.moments(pages)[1] + 1e-8
        # Figures stay on the device until the update is done: to look at one is to wait for all before it.
        sums = torch.zeros(len(_FIGURES), device=self.device)
        kl = torch.zeros((), device=self.device)
        n_batches, stopped = 0, False
        for epoch in range(self.n_epochs):
            for batch in buffer.batches(self.batch_size, self.shuffler):
                in_order = torch.arange(batch.shown.shape[1], device=self.device).expand_as(batch.shown)
                # Feedback says nothing of a choice in whose place another item was shown.
                kept = batch.shown == batch.slates  # (B, K)
                inputs = self.policy.page.with_vectors(batch.inputs)
                values, state, log_prob, scores = self.policy.judge(inputs, batch.slates, batch.gain)
                advantages = (batch.advantages - centre) / spread  # (B, K)
                log_ratio = log_prob - batch.log_prob
                ratio = log_ratio.exp()
                gain = torch.min(advantages * ratio, advantages * ratio.clamp(1 - clip, 1 + clip))
                policy_loss = -(gain * kept).sum(1).mean()
                value_loss = (values - batch.returns).square().sum(1).mean()
                # Users answer to what they are shown: the response model needs no other candidate here.
                shown = inputs.shown(batch.shown)
                response = self.policy.response(shown)
                surprise = batch.returns[:, -1] - values[:, -1].detach()
                foretold = self.policy.outlook.realised(shown, state.detach(), batch.click, batch.purchase)
                outlook_loss = (surprise - foretold).square().mean()
                click_loss, purchase_loss = response.loss(in_order, batch.click, batch.purchase)
                if tally is not None and epoch == 0:
                    tally.count(shown, response, batch.click, batch.purchase)
                purchase_loss = purchase_loss * self.ranks.weight(batch.click.sum())
                loss = policy_loss + self.vf_coef * (value_loss + outlook_loss)
                with torch.set_grad_enabled(self.ent_coef != 0):
                    mean_entropy = slate_entropy(scores, batch.slates).mean()
                loss = loss - self.ent_coef * mean_entropy
                loss = loss + self.feedback_coef * (click_loss + purchase_loss)
                kl = (ratio - 1 - log_ratio).detach().sum(1).mean()
                if self.target_kl is not None and self.ranks.mean(float(kl)) > 1.5 * self.target_kl:
                    stopped = True
                    break
                self.policy.optimizer.zero_grad()
                loss.backward()
                self.ranks.average_gradients(self.policy.parameters())
                norm = torch.nn.utils.clip_grad_norm_(self.policy.parameters(), self.max_grad_norm)
                self.policy.optimizer.step()
                n_batches += 1
                clipped = ((ratio - 1).abs() > clip).float().mean()
                figures = (policy_loss, value_loss, mean_entropy, clipped, click_loss, purchase_loss, norm)
                sums += torch.stack(figures).detach()
            self._n_updates += 1
            if stopped:
                break
        if tally is not None:
            tally.settle(self.ranks)
        means = dict(zip(_FIGURES, (sums / max(n_batches, 1)).tolist(), strict=True))
        refuse_divergence(
            means,
            error=math.sqrt(max(means["value_loss"], 0.0)),
            largest_reward=self.largest_reward / self.policy.unit,
            gamma=self.gamma,
            ranks=self.ranks,
        )
        for name, value in means.items():
            self.logger.record(f"train/{name}", value)
        foreseen, came = (array.flatten() / self.policy.unit for array in (buffer.values, buffer.returns))
        explained = explained_variance(foreseen, came)  # in units: the square of a large reward is infinite
        self.logger.record("train/explained_variance", explained)
        self.logger.record("train/approx_kl", float(kl))
        self.logger.record("train/gain_scale", float(self.policy.gain_scale.detach()))
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        self.stopwatch.add(update=time.perf_counter() - start)

    def training_state(self) -> dict[str, NDArray[Any]]:
        """What `restore_training_state` needs to go on to the bit, beside weights and optimiser.

        Called between an update and the next rollout: the rollout buffer holds nothing then that is still needed,
        and schedules are functions of the step.
        """
        env = self.get_env()
        assert isinstance(env, SlateVecEnv)
        users = {f"env/{name}": array for name, array in env.save_state().items()}
        return users | {
            "noise": self.policy.generator.get_state().numpy(),
            "shuffler": generator_array(self.shuffler),
            "largest_reward": np.array(self.largest_reward),
        }

    def restore_training_state(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Go on from what `training_state` gave."""
        env = self.get_env()
        assert isinstance(env, SlateVecEnv)
        users = {
            name.removeprefix("env/"): array for name, array in arrays.items() if name.startswith("env/")
        }
        self._last_obs = env.restore_state(users)
        self.policy.generator.set_state(torch.from_numpy(arrays["noise"]))
        restore_generator(self.shuffler, arrays["shuffler"])
        self.largest_reward = float(arrays["largest_reward"])
