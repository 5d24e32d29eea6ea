"""Random slates in RecSim's interest evolution; runs in RecSim's own virtual environment.

`python recsim_loop.py SECONDS N K keep|resample` prints steps, seconds and episodes as JSON. `resample` draws N new
documents at each step, as RecSim's tutorials do; `keep` goes on with the same, which is faster. RecSim was written for
NumPy before 1.24: the names that NumPy has since dropped are put back before it is imported; nothing else of it is
changed.
"""

from __future__ import annotations

import json
import sys
import time
import warnings

import numpy as np

warnings.simplefilter("ignore")
for _name, _type in (("float", float), ("int", int), ("bool", bool), ("object", object)):
    if _name not in np.__dict__:
        setattr(np, _name, _type)


def main(seconds: float, n_candidates: int, slate_size: int, *, resample: bool) -> None:
    """Step until `seconds` are over."""
    from recsim.environments import interest_evolution  # type: ignore[import-not-found]

    env = interest_evolution.create_environment(
        {
            "num_candidates": n_candidates,
            "slate_size": slate_size,
            "resample_documents": resample,
            "seed": 0,
        }
    )
    rng = np.random.default_rng(0)
    slates = [rng.permutation(n_candidates)[:slate_size] for _ in range(1024)]
    env.reset()
    for i in range(50):
        if env.step(slates[i])[2]:
            env.reset()
    steps, episodes, began = 0, 0, time.perf_counter()
    while (spent := time.perf_counter() - began) < seconds:
        if env.step(slates[steps % 1024])[2]:
            episodes += 1
            env.reset()
        steps += 1
    print(json.dumps({"steps": steps, "seconds": spent, "episodes": episodes}))


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), resample=sys.argv[4] == "resample")
