"""A stored simulator whose weights are for other columns is refused: kernels would write beyond their arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from behavior.errors import InputError
from simulators.example import example_features, example_log
from simulators.fitting.fit import fit_simulator
from simulators.storage import load_simulator, save_simulator


def test_weights_of_another_version_are_refused(tmp_path: Path) -> None:
    log, held = example_log(n_sessions=150), example_log(n_sessions=40, first_user=150)
    simulator = fit_simulator("pbm", log, held, example_features(), progress=False)
    save_simulator(simulator, tmp_path / "kept")
    assert load_simulator(tmp_path / "kept").slate_size == simulator.slate_size
    with np.load(tmp_path / "kept" / "parts.npz") as file:
        whole = dict(file)
    for name in ("attractiveness.weights", "conversion.weights", "dynamics.leave_weights"):
        np.savez(tmp_path / "kept" / "parts.npz", **{**whole, name: whole[name][:-1]})
        with pytest.raises(InputError, match=f"its {name.split('.')[0]} has .* written by another version"):
            load_simulator(tmp_path / "kept")
