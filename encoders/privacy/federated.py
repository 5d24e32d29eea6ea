"""Federated fine-tuning: every shop (or device) learns from its own log, and only weights travel.

Federated averaging (McMahan et al., "Communication-efficient learning of deep networks from decentralized data",
AISTATS 2017) by Flower. Flower's simulation asks for versions of libraries that do not go with the rest, so it lives in
a virtual environment of its own; the two sides speak through a folder:

    folder/federated.json   rounds, sizes, training
    folder/catalog.npz      item vectors (public), the weights to start from
    folder/shop_<n>.npz     one shop's log and the vectors of its queries; read by that shop's client alone
    folder/rounds.txt       rounds that are done
    folder/weights.npz      the average after the last round, written by `encoders.privacy.flower_app`
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from behavior.errors import InputError
from encoders.privacy.adapter import Adapter
from encoders.privacy.private import PrivacyConfig, new_adapter, train_adapter
from encoders.privacy.users import UserPairs
from encoders.storage import write_npz

__all__ = [
    "FLOWER",
    "FederatedConfig",
    "Shop",
    "check_flower",
    "federate",
    "get_weights",
    "read_folder",
    "set_weights",
    "shops_of",
    "update_adapter",
    "write_folder",
]

FLOWER = (
    "an environment of its own: python -m venv flower; "
    "flower/bin/pip install 'flwr[simulation]' torch safetensors pandas pyarrow tqdm; then name flower/bin/python"
)
"""How to make it."""


@dataclass(frozen=True, kw_only=True)
class FederatedConfig:
    """Rounds, and what a shop does in one."""

    rounds: int = 5
    """Rounds of learning and averaging."""
    local: PrivacyConfig = field(
        default_factory=lambda: PrivacyConfig(
            epsilon=None, epochs=6.0, users_per_step=256, learning_rate=0.001
        )
    )
    """How a shop learns in one round; with an epsilon, its promise to its people covers all rounds together."""


@dataclass(frozen=True, kw_only=True)
class Shop:
    """What one shop keeps to itself."""

    pairs: UserPairs
    query: NDArray[np.float32]  # (Q, D) raw vectors of its queries


def shops_of(pairs: UserPairs, query: NDArray[np.float32], n_shops: int, *, seed: int = 0) -> list[Shop]:
    """People dealt to `n_shops` shops of unequal size, as shops are: sizes in proportion to 1, 2, 3, ...

    Raises:
        InputError: Fewer people than shops.
    """
    if not 1 <= n_shops <= pairs.n_users:
        raise InputError(f"{n_shops} shops for {pairs.n_users} people", where="shops_of(n_shops=...)")
    order = np.random.default_rng(seed).permutation(pairs.n_users)
    size = np.arange(1, n_shops + 1)
    ends = np.maximum(np.round(pairs.n_users * np.cumsum(size) / size.sum()), size).astype(int)
    return [Shop(pairs=pairs.take(np.sort(part)), query=query) for part in np.split(order, ends[:-1])]


def get_weights(adapter: Adapter) -> list[NDArray[np.float32]]:
    """The weights, in the order of the module's parameters."""
    return [values.detach().numpy().copy() for values in adapter.parameters()]


def set_weights(adapter: Adapter, weights: Sequence[NDArray[np.float32]]) -> None:
    """Put `weights` (as `get_weights` gives them) into `adapter`."""
    import torch

    with torch.no_grad():
        for values, new in zip(adapter.parameters(), weights, strict=True):
            values.copy_(torch.from_numpy(np.asarray(new, np.float32)))


def update_adapter(
    adapter: Adapter,
    shop: Shop,
    item: NDArray[np.float32],
    config: FederatedConfig,
    *,
    round_number: int,
    shop_number: int,
) -> int:
    """One shop's share of a round: `adapter` learns from its log, in place. The number of its people, its weight."""
    # No two shops or rounds draw the same noise: whoever sees two weights with the same would take one from the other.
    entropy = np.random.SeedSequence([config.local.seed, round_number, shop_number])
    local = replace(config.local, seed=int(entropy.generate_state(1, np.uint64)[0]) >> 1)
    train_adapter(adapter, shop.pairs, item, shop.query, local, runs=config.rounds, progress=False)
    return shop.pairs.n_users


def check_flower(python: Path | str, *, private: bool = False) -> None:
    """See that `python` can run federated rounds, before minutes are spent on what comes first.

    Args:
        python: The interpreter of an environment that has `flwr[simulation]` and torch.
        private: Whether shops make a promise to their people, which needs Opacus there, too.

    Raises:
        InputError: It is not there, or lacks a library.
    """
    needed = ["flwr", "ray", "torch", "safetensors", "pandas", "tqdm", *(["opacus"] if private else [])]
    asked = f"import importlib.util as u; print(*[n for n in {needed!r} if u.find_spec(n) is None])"
    try:
        done = subprocess.run([str(python), "-c", asked], capture_output=True, text=True, check=False)
    except OSError as error:
        raise InputError(
            f"this Python cannot be run: {error.strerror}", where=str(python), mend=FLOWER
        ) from error
    if done.returncode != 0:
        raise InputError(
            f"this Python does not run: {_last_line(done.stderr)}", where=str(python), mend=FLOWER
        )
    if done.stdout.strip():
        raise InputError(
            f"the environment of this Python lacks {', '.join(done.stdout.split())}",
            where=str(python),
            mend=FLOWER + ("; with an epsilon, opacus as well" if private else ""),
        )


def federate(
    shops: Sequence[Shop],
    item: NDArray[np.float32],
    slate_size: int,
    config: FederatedConfig,
    *,
    folder: Path,
    python: Path | str = sys.executable,
    progress: bool = True,
) -> Adapter:
    """Average what `shops` learn, by Flower's simulation.

    Args:
        shops: Each shop's own log.
        item: Raw vectors (I, D) of the catalogue that all shops share.
        slate_size: Positions of a page.
        config: Rounds and training.
        folder: Where the two sides meet; empty or absent.
        python: The interpreter of an environment that has `flwr[simulation]` and torch.
        progress: Show a bar of rounds.

    Raises:
        InputError: That environment lacks Flower, or the simulation failed.
    """
    adapter = new_adapter(item, slate_size, config.local)
    write_folder(folder, shops, item, adapter, config)
    here = str(Path(__file__).resolve().parents[2])
    # Ray would run the shops at the lowest priority: next to other work they would hardly move.
    environment = os.environ | {
        "PYTHONPATH": here,
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "RAY_worker_niceness": "0",
    }
    command = [str(python), "-m", "encoders.privacy.flower_app", str(folder)]
    # Into files: a full pipe that nobody reads would stop the simulation.
    with tempfile.TemporaryFile("w+", encoding="utf-8") as out, tempfile.TemporaryFile("w+") as errors:
        try:
            running = subprocess.Popen(command, stdout=out, stderr=errors, env=environment)
        except OSError as error:
            raise InputError(
                f"this Python cannot be run: {error.strerror}", where=str(python), mend=FLOWER
            ) from error
        try:
            _watch(running, folder / "rounds.txt", config.rounds, progress=progress)
        finally:
            if running.poll() is None:  # stopped from the keyboard
                running.terminate()
                running.wait()
        errors.seek(0)
        said = _last_line(errors.read())
    if running.returncode != 0 or not (folder / "weights.npz").is_file():
        raise InputError(f"the federated rounds did not end well: {said}", where=str(python), mend=FLOWER)
    with np.load(folder / "weights.npz") as stored:
        set_weights(adapter, [stored[f"weight_{n}"] for n in range(len(stored.files))])
    return adapter


def _watch(running: subprocess.Popen[bytes], done: Path, rounds: int, *, progress: bool) -> None:
    """Wait for the simulation, and show which round it is in."""
    with tqdm(total=rounds, desc="rounds", leave=False, disable=None if progress else True) as bar:
        while running.poll() is None:
            time.sleep(0.2)
            if done.is_file():
                bar.update(len(done.read_text(encoding="utf-8").splitlines()) - bar.n)


def _last_line(said: str) -> str:
    return (said.strip().splitlines() or ["nothing was said"])[-1]


def write_folder(
    folder: Path, shops: Sequence[Shop], item: NDArray[np.float32], adapter: Adapter, config: FederatedConfig
) -> None:
    """Write what server and clients need; each shop's file is its own client's alone."""
    start = {f"weight_{n}": values for n, values in enumerate(get_weights(adapter))}
    write_npz(folder / "catalog.npz", {"item": item, "basis": adapter.basis.numpy(), **start})
    for number, shop in enumerate(shops):
        arrays = {f.name: getattr(shop.pairs, f.name) for f in fields(UserPairs)}
        # Under another name: the log's `query` holds numbers, this the vectors that they stand for.
        write_npz(folder / f"shop_{number}.npz", {**arrays, "query_vectors": shop.query})
    description = {
        "n_shops": len(shops),
        "slate_size": adapter.place.num_embeddings,
        "rounds": config.rounds,
        "local": asdict(config.local),
    }
    (folder / "federated.json").write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")


def read_folder(
    folder: Path, number: int | None = None
) -> tuple[FederatedConfig, int, Adapter, NDArray[np.float32], Shop | None]:
    """Configuration, number of shops, the adapter to start from, item vectors; and shop `number`, if asked for."""
    described = json.loads((folder / "federated.json").read_text(encoding="utf-8"))
    config = FederatedConfig(rounds=described["rounds"], local=PrivacyConfig(**described["local"]))
    with np.load(folder / "catalog.npz") as stored:
        item, basis = stored["item"], stored["basis"]
        weights = [stored[f"weight_{n}"] for n in range(len(stored.files) - 2)]
    adapter = Adapter(basis, described["slate_size"])
    set_weights(adapter, weights)
    shop = None
    if number is not None:
        with np.load(folder / f"shop_{number}.npz") as stored:
            pairs = UserPairs(**{f.name: stored[f.name] for f in fields(UserPairs)})
            shop = Shop(pairs=pairs, query=stored["query_vectors"])
    return config, described["n_shops"], adapter, item, shop
