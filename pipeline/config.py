"""The configuration of a run: typed, documented at each field, complete enough to repeat the run from its YAML.

The command line is made from these classes, so `python train.py --help` says what stands here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import tyro

from envs.world import RewardMix

__all__ = [
    "AUTO",
    "JudgeOptions",
    "LearnerOptions",
    "RelevanceOptions",
    "RunOptions",
    "SourceOptions",
    "TaskOptions",
    "TrainConfig",
    "UserOptions",
]

AUTO = "auto"
"""The simulator of a run that leaves the choice to its log."""


@dataclass(frozen=True, kw_only=True)
class SourceOptions:
    """Where the logged behaviour comes from."""

    data: str = "demo"
    """'demo' (the embedded store), 'icecat' (the demo store stocked with real products and judged queries, with
    --data-path), the path of your own interaction log (CSV or Parquet), a folder that `python -m behavior prepare`
    wrote (docs/big-logs.md), or FORMAT:PATH, such as open-bandit:obd/random/all (`python -m behavior formats` lists
    them; docs/logs)."""
    data_path: Path | None = None
    """The folder of a published data set, as it was published."""
    catalog: Path | None = None
    """Your product catalogue (CSV, Parquet, JSON). Without it, items are known by their ids alone."""
    candidates: Path | None = None
    """Companion table of each step's candidates (session_id, step, rank, item_id), if not found beside the log."""
    columns: Path | None = None
    """Mapping file (YAML or JSON) from our column names to yours; see docs/your-own-logs.md."""
    repairs: tuple[str, ...] = ()
    """Repairs of the log that you allow by name: sort, derive-steps, positions-from-one, drop-duplicates,
    drop-unknown-items, purchase-implies-click, assume-utc, to-utc. Each is counted in the summary; nothing is
    repaired in silence."""
    latest_impressions: int | None = None
    """Of a prepared log: the latest training sessions with at most so many shown items are read, and of the validation
    and test parts the same share. 1,000,000 if not given."""
    gap_minutes: float | None = None
    """For formats that do not know visits: the pause after which a user's events are a new one. 30 if not given."""
    positive_from: float | None = None
    """For formats that do not know clicks: the smallest rating, or share watched, that counts as one."""
    actions: tuple[str, ...] = ()
    """For events whose names your shop chose itself, YOURS=OURS, such as product_click=click; ours are impression,
    click and purchase."""
    store_seed: int = 0
    """Seed of the demo store: catalogue, queries, users and log."""
    store_size: Literal["default", "tiny"] = "default"
    """'tiny' is a store for trying things out: 200 products, 300 sessions."""


@dataclass(frozen=True, kw_only=True)
class RelevanceOptions:
    """The relevance model: text encoder, fine-tuning on the log, candidate source."""

    encoder: str = "minilm"
    """'minilm' (a BERT carried by a PyPI package), any hub name or model folder, 'hash' (no BERT; for trials), or
    'features' (no text: numeric and categorical columns). Catalogues without titles always use 'features'."""
    finetune: Literal["full", "heads"] = "heads"
    """'heads' trains the layers on top of the cached embeddings, 'full' the weights of the BERT before that."""
    finetune_pairs: int = 6_500
    """At most so many (query, item) pairs for training the weights of the encoder, about 45 a second on 2 cores."""
    width: int = 48
    """Width of the reduced item and query vectors in observations and simulators."""
    relevance_tables: Path | None = None
    """Take the tables in this folder, which `python -m encoders export` or `fuse` wrote from the same log and
    catalogue, in place of fine-tuning a model here (docs/fusion.md). --encoder, --finetune and --width say nothing
    then."""
    as_candidates: bool = True
    """Let the fine-tuned model choose the candidates; otherwise the encoder as it was before fine-tuning."""
    popular_candidates: float = 0.0
    """Share of the candidates taken by popularity, whatever the query (docs/candidates.md)."""
    explored_candidates: float = 0.0
    """Share of the candidates drawn at random from the whole catalogue."""
    as_observation: bool = True
    """Show the model's scores to the agent; otherwise it sees none."""


@dataclass(frozen=True, kw_only=True)
class UserOptions:
    """The simulated users the policy is trained on."""

    simulator: str = AUTO
    """'auto' (whichever of 'skimming', 'pbm' and 'cascade' the log's held-out pages fit best), a click model to fit
    ('skimming', 'pbm', 'cascade', 'dcm', 'ccm', 'dbn', 'sdbn', 'mnl'), 'ensemble' (fits to resampled sessions,
    docs/ensembles.md), a folder that `python -m simulators fit` wrote, an entry point of an installed plug-in, or
    `module:Class`; see docs/your-own-simulator.md."""
    simulator_options: tuple[str, ...] = ()
    """Settings of the simulator, NAME=VALUE: keyword arguments of a plug-in's class, or how to fit (ring=128); lists
    as in JSON. They go to the one named by --simulator alone."""
    members: int = 8
    """Fits of --simulator ensemble."""
    pessimism: float | None = None
    """So many standard deviations between an ensemble's members are taken off the reward of each page that the policy
    trains on; scores are never changed by it. None given: 0.5 with --simulator ensemble, else 0."""
    compare: tuple[str, ...] = ("pbm", "cascade")
    """Simulators to fit for the fidelity table; the one named by --simulator is always among them."""


@dataclass(frozen=True, kw_only=True)
class TaskOptions:
    """The task set to the policy."""

    task: str = "SlateRank-v0"
    """The registered task."""
    slate_size: int = 10
    """Positions K on a page (at most what the log shows, where one-position logs such as Open Bandit set it)."""
    n_candidates: int = 50
    """Candidates N to rank a page from."""
    max_steps: int = 10
    """Pages after which a session is cut off."""
    history: int = 10
    """Clicked items remembered in the observation."""
    memory: int = 8
    """Last pages remembered whole in the observation, each position with its feedback."""
    purchase_weight: float = 5.0
    """The score by which policies are compared: clicks + this x purchases."""


@dataclass(frozen=True, kw_only=True)
class LearnerOptions:
    """Who learns, and for how long."""

    agent: str = "ppo"
    """'ppo' (Plackett-Luce policy), 'dqn' (SlateQ), or a baseline that is only judged: random, popularity,
    relevance, mmr, or one that learns from the log alone: click-greedy, linucb, lints, cloning, reinforce."""
    warm_start: Literal["none", "log"] = "none"
    """'log': teach the learner from the log (response model and values) before it meets the simulator."""
    steps: int = 300_000
    """User-steps of training in the fitted simulator."""
    evaluate_every: int = 30_000
    """User-steps between evaluations on validation users; the best policy so far is kept."""
    checkpoint_every: int = 30_000
    """User-steps between checkpoints from which --resume goes on."""
    n_envs: int | None = None
    """Simulated users served side by side; the agent's preset where none is given."""
    learning_rate: float | None = None
    """The agent's preset where none is given."""
    gamma: float | None = None
    """Discount per page; the agent's preset where none is given."""


@dataclass(frozen=True, kw_only=True)
class JudgeOptions:
    """How the policies are judged in the end."""

    eval_users: int = 1_000
    """Held-out users that every policy serves, the same for all."""
    validation_users: int = 256
    """Users of the evaluations during training."""
    planner_rollouts: int = 4
    """Rollouts per proposed slate of the planning oracle."""
    planner_practice: int = 320
    """Simulated sessions for each policy that the planning oracle tries while it practises."""
    planner_users: int = 1_000
    """Of the held-out users, so many are served by the planning oracle, which is costly."""
    agreement: bool = True
    """Compare the simulator's values of the run's policies and of a set of varied others with the true ones, or with
    the log's own estimates, and judge the policies in the simulators of --compare too."""
    explained_users: int = 4
    """Held-out users whose sessions the report explains candidate by candidate; 0: none."""
    explained_rollouts: int = 64
    """Times that each explained page is played on from, to measure what an item is worth later; 0: not measured."""


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """The run itself."""

    name: str | None = None
    """Name of the run's folder; made from data, agent, seed and time where none is given."""
    logs: Path = Path("logs")
    """Where run folders are made."""
    seed: int = 0
    """Seed of fitting, training and judging."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where networks live; the simulator always runs on the CPU."""
    threads: int = 2
    """CPU threads for networks and simulators."""
    quiet: bool = False
    """No progress bars."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Logs to a trained, judged slate policy in one command."""

    source: tyro.conf.OmitArgPrefixes[SourceOptions] = field(default_factory=SourceOptions)
    """The logged behaviour."""
    relevance: tyro.conf.OmitArgPrefixes[RelevanceOptions] = field(default_factory=RelevanceOptions)
    """The relevance model, fine-tuned on the log."""
    user: tyro.conf.OmitArgPrefixes[UserOptions] = field(default_factory=UserOptions)
    """The simulated users, fitted to the log."""
    task: tyro.conf.OmitArgPrefixes[TaskOptions] = field(default_factory=TaskOptions)
    """The task in the environment."""
    reward: RewardMix = field(default_factory=RewardMix)
    """The training reward; the score by which policies are compared is apart."""
    learner: tyro.conf.OmitArgPrefixes[LearnerOptions] = field(default_factory=LearnerOptions)
    """Who learns, and for how long."""
    judge: tyro.conf.OmitArgPrefixes[JudgeOptions] = field(default_factory=JudgeOptions)
    """How the policies are judged in the end."""
    run: tyro.conf.OmitArgPrefixes[RunOptions] = field(default_factory=RunOptions)
    """The run itself."""
