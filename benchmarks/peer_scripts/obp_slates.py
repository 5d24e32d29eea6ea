"""Time the slate estimators of the Open Bandit Pipeline (`sb-obp`); run in an environment of its own.

`python obp_slates.py N NAME [NAME ...]`: each named estimator once, on the log of N slates of `slate_log`; prints a
line of JSON for each, `{"name", "value", "cpu_s", "peak_gb"}`. `bootstrap-R` is the interval of independent IPS with R
resamples.

The package is used as it comes, with the inputs that it asks for made beforehand. It imports torch for policies that
are not used here; an empty stand-in of that name saves gigabytes.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
import types
import warnings
from typing import Any

import numpy as np


class _Nothing:
    """Stands for every class and function of torch."""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def __call__(self, *_: Any, **__: Any) -> Any:
        return self


class _Empty(types.ModuleType):
    __path__: list[str] = []  # noqa: RUF012  (a module's attribute)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Nothing


def _stand_in_for_torch() -> None:
    if importlib.util.find_spec("torch") is not None:
        return
    for name in (
        "torch",
        "torch.nn",
        "torch.nn.functional",
        "torch.optim",
        "torch.utils",
        "torch.utils.data",
    ):
        sys.modules[name] = _Empty(name)
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, sys.modules[name])


def main() -> None:
    """All named estimators."""
    warnings.simplefilter("ignore")
    n, names = int(sys.argv[1]), sys.argv[2:]
    slates = importlib.import_module("slate_log")  # beside this script, which is no package where it runs
    K = slates.K
    _stand_in_for_torch()
    obp = importlib.import_module("obp.ope")
    kinds = {
        "sips": obp.SlateStandardIPS,
        "iips": obp.SlateIndependentIPS,
        "rips": obp.SlateRewardInteractionIPS,
        "snsips": obp.SelfNormalizedSlateStandardIPS,
        "sniips": obp.SelfNormalizedSlateIndependentIPS,
        "snrips": obp.SelfNormalizedSlateRewardInteractionIPS,
    }
    log = slates.whole(n, tables="cascade_dr" in names)
    given = {
        "slate_id": np.repeat(np.arange(n), K),
        "position": np.tile(np.arange(K), n),
        "reward": log["reward"].ravel(),
        "pscore": np.repeat(log["logging_slate"], K),
        "evaluation_policy_pscore": np.repeat(log["evaluation_slate"], K),
        "pscore_item_position": log["logging_item"].ravel(),
        "evaluation_policy_pscore_item_position": log["evaluation_item"].ravel(),
        "pscore_cascade": log["logging_cascade"].ravel(),
        "evaluation_policy_pscore_cascade": log["evaluation_cascade"].ravel(),
        "action": log["action"].ravel(),
    }
    if "cascade_dr" in names:
        given["q_hat"], given["evaluation_policy_action_dist"] = (
            log["q_hat"].ravel(),
            log["evaluation_dist"].ravel(),
        )
    for name in names:
        kind, _, resamples = name.partition("-")
        with slates.Meter() as meter:
            if kind == "bootstrap":
                interval = kinds["iips"](len_list=K).estimate_interval(
                    n_bootstrap_samples=int(resamples), random_state=0, **given
                )
                value = interval["mean"]
            elif kind == "cascade_dr":
                estimator = obp.SlateCascadeDoublyRobust(len_list=K, n_unique_action=K)
                value = estimator.estimate_policy_value(**given)
            else:
                value = kinds[kind](len_list=K).estimate_policy_value(**given)
        row = {"name": name, "value": float(value), "cpu_s": meter.cpu_s, "peak_gb": meter.peak_gb}
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
