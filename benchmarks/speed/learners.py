"""Training end to end beside the network alone: one learner in one process, both in turns."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from agents.building import TrainingEnv, build_learner
from agents.callbacks import MetricsCallback
from agents.checkpoint import LearnerConfig
from agents.clock import Stopwatch
from agents.ppo.config import PPOConfig
from agents.ranks import Ranks
from agents.registry import learner_config
from benchmarks.common import Case, case
from benchmarks.speed.replay_network import Recorder, replay
from benchmarks.speed.worlds import TASK, speed_world

__all__ = ["sb3_training", "training"]

N_ITEMS = 10_000
RATE = "user-steps/core-second"
DEVICE_RATE = "user-steps/s"
_PARTS = ("simulator", "policy", "update", "watching")


class _Totals(Stopwatch):
    """A stopwatch whose laps forget nothing."""

    def keep(self) -> _Totals:
        """Add up from here on."""
        self.totals = dict.fromkeys(_PARTS, 0.0)
        return self

    def add(self, **seconds: Any) -> None:
        """As `Stopwatch.add`."""
        super().add(**seconds)
        for name in _PARTS:
            self.totals[name] += seconds.get(name, 0.0)


@dataclasses.dataclass(frozen=True)
class _Clock:
    """Seconds: of the processor where all is computed there by one thread, else of the wall."""

    device: str

    def __call__(self) -> float:
        if self.device == "cpu":
            return time.process_time()
        torch.cuda.synchronize()
        return time.perf_counter()


def training(
    *, agent: str, n_users: int, rounds: int, iterations: int, device: str = "cpu", small: bool = False
) -> list[Case]:
    """One learner: its rate end to end, its network's own rate, the split, and the arithmetic it cannot avoid.

    Args:
        agent: 'ppo' or 'dqn', by its default settings.
        n_users: Users side by side; what is learned from each page stays as the settings have it.
        rounds: Turns; the best of each contestant counts.
        iterations: Rollouts, with their updates, in a contestant's turn.
        device: 'cpu' or 'cuda'.
        small: A small rollout, for a look.
    """
    clock, rate = _Clock(device), RATE if device == "cpu" else DEVICE_RATE
    config = _for_users(learner_config(agent), n_users, small=small)
    world = speed_world(N_ITEMS)
    env = TrainingEnv(n_users, world, TASK, seed=0, ranks=Ranks.alone())
    model = build_learner(config, env, TASK, seed=0, device=device, ranks=Ranks.alone())
    watch = _Totals().keep()
    model.stopwatch = env.stopwatch = watch
    per_iteration = n_users * (config.n_steps if isinstance(config, PPOConfig) else config.train_freq)
    endless: Any = {"log_interval": 2**62, "reset_num_timesteps": False}
    metrics = MetricsCallback(10_000, 2**62, progress=False)  # a training is watched: that is part of it

    def learn(n: int) -> None:
        model.learn(n * per_iteration, callback=metrics, **endless)

    learn(1)
    if not isinstance(config, PPOConfig):  # no updates before that many pages are there
        learn(-(-config.learning_starts // per_iteration) + 1)
    recorder = Recorder(_asked(model))
    with recorder.recording():
        learn(1)
    if not any(call.learns for call in recorder.calls):
        raise RuntimeError(f"{agent} did not learn through {[name for _, name in recorder.watched]}")
    parameters = list(model.policy.parameters())
    with FlopCounterMode(display=False) as counter:
        replay(recorder.calls, parameters)
    work = counter.get_total_flops() / per_iteration

    def ask(n: int) -> None:
        for _ in range(n):
            replay(recorder.calls, parameters)

    contestants = {"end to end": learn, "network": ask}
    best = dict.fromkeys((*contestants, "matmul"), 0.0)
    watch.keep()  # the network alone adds nothing to the learner's stopwatch
    for _ in range(rounds):
        for name, run in contestants.items():
            began = clock()
            run(iterations)
            best[name] = max(best[name], iterations * per_iteration / (clock() - began))
        best["matmul"] = max(best["matmul"], matmul_rate(device, clock))
    seconds, total = watch.totals, sum(watch.totals.values())
    what = f"{agent}, B {n_users:,}"
    return [
        case(f"{what}: end to end (reference: its network alone)", best["end to end"], rate, best["network"]),
        *(
            case(
                f"{what}: of its time {part}",
                seconds[part] / total,
                "share",
                0.10 if part == "simulator" else None,
            )
            for part in _PARTS
        ),
        case(f"{what}: arithmetic of the network", work / 1e6, "MFLOP a user-step"),
        case(
            f"{what}: network alone (reference: that arithmetic at the rate of a matrix product)",
            best["network"],
            rate,
            best["matmul"] / work,
        ),
        case(f"{what}: matrix product of 512 x 512, float32", best["matmul"] / 1e9, "GFLOP/s"),
    ]


def matmul_rate(device: str, clock: Callable[[], float], seconds: float = 0.3) -> float:
    """Floating-point operations a second of a plain matrix product, the best of a few."""
    a, b = torch.rand(512, 512, device=device), torch.rand(512, 512, device=device)
    best, began = 0.0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        at = clock()
        for _ in range(8):
            a @ b
        best = max(best, 8 * 2 * 512.0**3 / max(clock() - at, 1e-9))
    return best


def sb3_training(*, n_users: int, rounds: int, iterations: int, small: bool = False) -> list[Case]:
    """SB3's own PPO on the same environment and with the same batches: with its `MultiInputPolicy`, and with ours.

    Its policy sees ids as numbers and can learn nothing of use: it is here for the speed of the loop.
    """
    from stable_baselines3 import PPO

    from agents.ppo.policy import PlackettLucePolicy

    config = _for_users(learner_config("ppo"), n_users, small=small)
    assert isinstance(config, PPOConfig)
    world, clock, per_iteration = speed_world(N_ITEMS), _Clock("cpu"), n_users * config.n_steps

    def env() -> TrainingEnv:
        return TrainingEnv(n_users, world, TASK, seed=0, ranks=Ranks.alone())

    ours = build_learner(config, env(), TASK, seed=0, device="cpu", ranks=Ranks.alone())
    kinds: dict[str, tuple[Any, dict[str, Any]]] = {
        "MultiInputPolicy": ("MultiInputPolicy", {}),
        "PlackettLucePolicy": (PlackettLucePolicy, {"tables": world.features, "network": config.network}),
    }
    models = {
        name: PPO(
            policy,
            env(),
            n_steps=config.n_steps,
            batch_size=ours.batch_size,
            n_epochs=config.n_epochs,
            device="cpu",
            policy_kwargs=options,
        )
        for name, (policy, options) in kinds.items()
    }
    contestants = {"ours": ours, **models}
    best = dict.fromkeys(contestants, 0.0)
    endless: Any = {"log_interval": 2**62, "reset_num_timesteps": False}
    for turn in range(1 + rounds):  # the first warms up
        for name, model in contestants.items():
            began = clock()
            model.learn(iterations * per_iteration, **endless)
            if turn:
                best[name] = max(best[name], iterations * per_iteration / (clock() - began))
    return [
        case(
            f"ppo, B {n_users:,}: end to end (reference: SB3's PPO with {told})",
            best["ours"],
            RATE,
            best[name],
        )
        for name, told in (("MultiInputPolicy", "its MultiInputPolicy"), ("PlackettLucePolicy", "our policy"))
    ]


def _for_users(config: LearnerConfig, n_users: int, *, small: bool) -> LearnerConfig:
    """The settings for another number of users, with as many updates for each page."""
    if isinstance(config, PPOConfig):
        steps = 2 if small else config.n_steps
        return dataclasses.replace(config, n_envs=n_users, n_steps=steps)
    gradient_steps = max(1, round(config.gradient_steps * n_users / config.n_envs))
    return dataclasses.replace(
        config,
        n_envs=n_users,
        gradient_steps=gradient_steps,
        buffer_size=max(config.buffer_size, 64 * n_users),
    )


def _asked(model: Any) -> list[tuple[Any, str]]:
    """Through which methods a learner asks its network: features of pages, pages to act on, minibatches."""
    policy = model.policy
    owners: list[tuple[Any, tuple[str, ...]]] = []
    if hasattr(policy, "q_net"):
        for network in (policy.q_net, policy.q_net_target):
            owners += [(network, ("forward", "values", "slate_values")), (network.page, ("forward",))]
    else:
        owners += [(policy, ("act", "judge", "predict_values")), (policy.response, ("forward",))]
        owners += [(policy.page, ("forward", "with_vectors")), (policy.outlook, ("realised",))]
    return [(owner, name) for owner, names in owners for name in names if hasattr(owner, name)]
