"""Random recommendations in RecoGym's `reco-gym-v1`; runs in RecoGym's own virtual environment.

`python recogym_loop.py SECONDS N` prints steps, seconds and episodes as JSON. A step shows one of N products.
Importing `recogym` imports its agents, which need TensorFlow, torch and a SciPy that no longer exists; the environment
itself needs none of them, so its package is entered without running its first lines, and an empty class stands for the
agents' base. The environment's own code is untouched.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import time
import types
import warnings

import numpy as np

warnings.simplefilter("ignore")


def _environment() -> types.ModuleType:
    found = importlib.util.find_spec("recogym")
    if found is None or found.submodule_search_locations is None:
        raise SystemExit("recogym is not installed here")
    package, agents = types.ModuleType("recogym"), types.ModuleType("recogym.agents")
    package.__path__ = list(found.submodule_search_locations)
    agents.Agent = type("Agent", (), {})  # type: ignore[attr-defined]
    sys.modules["recogym"], sys.modules["recogym.agents"] = package, agents
    return importlib.import_module("recogym.envs.reco_env_v1")


def main(seconds: float, n_products: int) -> None:
    """Step until `seconds` are over."""
    module = _environment()
    env = module.RecoEnv1()
    env.init_gym({**module.env_1_args, "random_seed": 0, "num_products": n_products})
    shown = np.random.default_rng(0).integers(0, n_products, 4096).tolist()
    steps, user = 0, 0

    def arrive() -> (
        None
    ):  # a user's first step takes no recommendation; one may leave before any is asked for
        nonlocal user
        over = True
        while over:
            env.reset(user)
            user += 1
            over = env.step(None)[2]

    arrive()
    for i in range(200):
        if env.step(shown[i])[2]:
            arrive()
    first, began = user, time.perf_counter()
    while (spent := time.perf_counter() - began) < seconds:
        if env.step(shown[steps % 4096])[2]:
            arrive()
        steps += 1
    print(json.dumps({"steps": steps, "seconds": spent, "episodes": user - first}))


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]))
