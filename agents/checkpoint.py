"""Checkpoints: weights, optimiser and all else a learner goes on from, written whole or not at all.

The file is SB3's zip (`policy.pth`, `policy.optimizer.pth`) with `slategym.json` in place of SB3's pickled `data`:
it says what the weights were trained for, and reading it runs no code of the file's author. `training/*.npy` is what
only a learner that goes on needs: replay, users, generators (not in `best_model.zip`). Nothing is compressed, for
speed. The public tables stay outside; they belong to the data.
"""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from agents.divergence import TrainingDiverged, all_finite
from agents.dqn.config import DQNConfig
from agents.network_config import NetworkConfig
from agents.ppo.config import PPOConfig
from behavior.errors import InputError
from behavior.files import atomic_path
from encoders.features import FeatureTables
from envs.world import TaskConfig, World

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm

__all__ = [
    "TABLES",
    "Checkpoint",
    "LearnerConfig",
    "read_checkpoint",
    "read_meta",
    "read_parameters",
    "read_training_state",
    "task_differences",
    "task_of",
    "write_archive",
    "write_checkpoint",
]

LearnerConfig = PPOConfig | DQNConfig

_FORMAT = 3
"""1: without the state of users, generators and replay. 2: with them. 3: networks with what is learned of pairs."""
_META = "slategym.json"
_TRAINING = "training/"
TABLES = ("n_categories", "tables", "relevance", "prices")
"""Entries of `task_of` that say which tables the weights were learned with."""
_LATER = ("relevance", "prices", "pessimism")
_CONFIGS: dict[str, type[PPOConfig] | type[DQNConfig]] = {"ppo": PPOConfig, "dqn": DQNConfig}


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """What a checkpoint says of itself."""

    config: LearnerConfig
    """The learner's settings."""
    task: Mapping[str, Any]
    """Sizes, tables and reward it was trained for; see `task_of`."""
    num_timesteps: int
    """User-steps trained so far."""
    n_updates: int
    """Updates so far."""
    metrics: Mapping[str, float]
    """What was measured when it was written (the evaluation's figures for `best_model.zip`)."""


def agent_of(config: LearnerConfig) -> str:
    """'ppo' or 'dqn'."""
    return next(name for name, kind in _CONFIGS.items() if isinstance(config, kind))


def task_of(world: World, task: TaskConfig) -> dict[str, Any]:
    """What a policy's weights are bound to: sizes, columns, and digests of the tables."""
    features = world.features
    return {
        "slate_size": task.slate_size,
        "n_candidates": task.n_candidates,
        "history": task.history,
        "memory": task.memory,
        "max_steps": task.max_steps,
        "reward": dataclasses.asdict(task.reward),
        "pessimism": float(task.pessimism),
        "context_size": int(world.simulator.context_size),
        "vector_size": int(features.item_vectors.shape[1]),
        "numeric_names": list(features.numeric_names),
        "n_categories": int(features.n_categories),
        **_digests(features),
    }


def task_differences(found: Mapping[str, Any], wanted: Mapping[str, Any], keys: Sequence[str]) -> list[str]:
    """The entries `keys` in which two descriptions by `task_of` differ, as `differences` tells them.

    Checkpoints from before relevance, prices and pessimism were told apart do not name them; nothing is known against
    those.
    """
    keys = [key for key in keys if key in found or key not in _LATER]
    return differences({key: found.get(key) for key in keys}, {key: wanted.get(key) for key in keys})


def _digests(features: FeatureTables) -> dict[str, str]:
    """Digests of all that networks read of the public tables, and of what purchases are worth."""
    relevance = features.relevance
    biases = np.array([relevance.click_bias, relevance.purchase_bias])
    margin = [] if features.margin is None else [features.margin]
    parts: dict[str, Sequence[NDArray[Any]]] = {
        "tables": (
            features.item_vectors,
            features.query_vectors,
            features.item_numeric,
            features.item_category,
        ),
        "relevance": (relevance.item, relevance.click_query, relevance.purchase_query, biases),
        "prices": (features.price, *margin),
    }
    found = {}
    for name, tables in parts.items():
        digest = hashlib.sha256()
        for table in tables:
            digest.update(np.ascontiguousarray(table).tobytes())
        found[name] = digest.hexdigest()[:16]
    return found


def write_checkpoint(
    model: BaseAlgorithm,
    path: Path,
    about: Checkpoint,
    training: Mapping[str, NDArray[Any]] | None = None,
) -> None:
    """Write `path` through a temporary file beside it: a reader finds the old file or the new one.

    Args:
        model: Whose weights and optimiser are kept.
        path: The file.
        about: What it says of itself.
        training: What `train_agent` needs beside them to go on exactly; None: the file is for use, not for going on.

    Raises:
        TrainingDiverged: A weight is not finite; the file that is there is kept.
        InputError: The disk is full, or the folder cannot be written to.
    """
    if not all_finite(model.policy.state_dict().values()):
        raise TrainingDiverged(
            "weights have become infinite or undefined, and are not written over the last good ones",
            where=str(path),
            mend="try a lower learning rate or max_grad_norm, and look for extreme rewards",
        )
    meta = {
        "agent": agent_of(about.config),
        "config": dataclasses.asdict(about.config),
        "task": dict(about.task),
        "num_timesteps": about.num_timesteps,
        "n_updates": about.n_updates,
        "metrics": dict(about.metrics),
    }
    write_archive(path, meta, model.get_parameters(), training)


def write_archive(
    path: Path,
    meta: Mapping[str, Any],
    parameters: Mapping[str, Any],
    training: Mapping[str, NDArray[Any]] | None = None,
) -> None:
    """Write the file itself: `parameters` (state dictionaries by name), `meta`, and the arrays of `training`.

    Raises:
        InputError: The disk is full, or the folder cannot be written to.
    """
    from stable_baselines3.common.save_util import save_to_zip_file

    with atomic_path(path) as temporary, temporary.open("wb+") as file:
        try:
            save_to_zip_file(file, data=None, params=dict(parameters))
        except RuntimeError as error:
            # torch's zip writer reports a full disk as a RuntimeError.
            raise OSError(errno.ENOSPC, f"the weights could not be written: {error}") from error
        with zipfile.ZipFile(file, "a") as archive:
            for name, array in (training or {}).items():
                with archive.open(f"{_TRAINING}{name}.npy", "w", force_zip64=True) as entry:
                    np.lib.format.write_array(entry, np.asanyarray(array), allow_pickle=False)
            archive.writestr(_META, json.dumps({"format": _FORMAT, **meta}, indent=1))
        file.flush()
        os.fsync(file.fileno())


def read_meta(path: Path) -> dict[str, Any]:
    """What `write_archive` was given as `meta`.

    Raises:
        InputError: No such file, or not a checkpoint of ours.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return dict(json.loads(archive.read(_META)))
    except FileNotFoundError:
        raise InputError("there is no such checkpoint", where=str(path), mend="check the path") from None
    except (zipfile.BadZipFile, KeyError, ValueError, OSError) as error:
        raise InputError(
            f"this is not a checkpoint of a learner: {error}",
            where=str(path),
            mend="name a best_model.zip or last_model.zip that training has written",
        ) from None


def read_checkpoint(path: Path) -> Checkpoint:
    """What the checkpoint at `path` says of itself.

    Raises:
        InputError: No such file, or not a checkpoint of a learner of ours.
    """
    meta = read_meta(path)
    if meta.get("format") in range(1, _FORMAT):
        raise InputError(
            "this checkpoint is of an earlier version, whose networks and kept states were others",
            where=str(path),
            mend="train anew with this version, or use the version that wrote it",
        )
    if meta.get("format") != _FORMAT or meta.get("agent") not in _CONFIGS:
        raise InputError(
            f"unknown checkpoint format {meta.get('format')!r} or agent {meta.get('agent')!r}",
            where=str(path),
            mend="use the version that wrote it",
        )
    settings = dict(meta["config"])
    try:
        network = NetworkConfig(**settings.pop("network"))
        config = _CONFIGS[meta["agent"]](network=network, **settings)
    except (TypeError, KeyError) as error:
        raise InputError(
            f"the settings in this checkpoint are not ours: {error}",
            where=str(path),
            mend="use the version that wrote it",
        ) from None
    return Checkpoint(
        config=config,
        task={"memory": 0, **meta["task"]},  # checkpoints from before pages were kept do not name it
        num_timesteps=int(meta["num_timesteps"]),
        n_updates=int(meta["n_updates"]),
        metrics=meta["metrics"],
    )


def read_parameters(path: Path, device: str) -> dict[str, Any]:
    """Weights (`policy`) and optimiser (`policy.optimizer`) of the checkpoint at `path`.

    Raises:
        InputError: They cannot be read.
    """
    from stable_baselines3.common.save_util import load_from_zip_file

    try:
        _, parameters, _ = load_from_zip_file(path, load_data=False, device=device)
    except (ValueError, RuntimeError, KeyError, OSError) as error:
        raise InputError(
            f"the weights in this checkpoint cannot be read: {error}",
            where=str(path),
            mend="use an intact checkpoint",
        ) from None
    return dict(parameters or {})


def read_training_state(path: Path, prefix: str = "") -> dict[str, NDArray[Any]]:
    """What was given to `write_checkpoint` as `training`; the names that begin with `prefix`, without it.

    Raises:
        InputError: The file holds none, or a torn one.
    """
    start = _TRAINING + prefix
    found = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if name.startswith(start) and name.endswith(".npy"):
                    with archive.open(name) as entry:
                        array = np.lib.format.read_array(entry, allow_pickle=False)
                    found[name[len(start) : -len(".npy")]] = array
    except (zipfile.BadZipFile, ValueError, OSError) as error:
        raise InputError(
            f"the training state in this checkpoint cannot be read: {error}",
            where=str(path),
            mend="use an intact checkpoint",
        ) from None
    if not found:
        raise InputError(
            "this checkpoint holds a policy, but not the state of its training",
            where=str(path),
            mend="go on from a last_model.zip, or begin a new run with these weights by start_from",
        )
    return found


def differences(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """The entries in which two (nested) descriptions differ, as `key: found, wanted`."""
    lines = []
    for key in sorted(found.keys() | wanted.keys()):
        a, b = found.get(key), wanted.get(key)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            lines += [f"{key}.{line}" for line in differences(a, b)]
        elif a != b and not (isinstance(a, (list, tuple)) and list(a) == list(b or ())):
            lines.append(f"{key} is {a!r} there and {b!r} here")
    return lines
