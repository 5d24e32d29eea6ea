"""The counter-based generator: published vectors, statistical laws, independence of the batch; light imports."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from simulators.kernels.rng import MAX_SEED, Purpose, gumbel_table, normal, philox4x32, uniform, uniform_table
from simulators.kernels.twins import Twin


# Known-answer vectors of the Random123 library (kat_vectors, philox4x32 10 rounds).
@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_published_vectors(counter: tuple[int, ...], key: tuple[int, ...], words: tuple[int, ...]) -> None:
    assert tuple(int(w) for w in philox4x32(*counter, *key)) == words


def test_tables_agree_with_single_draws_and_do_not_know_the_batch() -> None:
    user, step = np.array([5, 2**40, 0]), np.array([0, 3, 7], np.int32)
    table = uniform_table(MAX_SEED, user, step, Purpose.CLICK, 6)
    for b in range(3):
        for j in range(6):
            assert table[b, j] == uniform(np.uint64(MAX_SEED), user[b], step[b], int(Purpose.CLICK), j)
    np.testing.assert_array_equal(table[1:2], uniform_table(MAX_SEED, user[1:2], step[1:2], Purpose.CLICK, 6))
    np.testing.assert_array_equal(
        table[:, 2:], uniform_table(MAX_SEED, user, step, Purpose.CLICK, 4, start=2)
    )


def test_keys_do_not_share_numbers() -> None:
    users, step = np.arange(200), np.zeros(200, np.int32)
    draws = [
        uniform_table(seed, users, step + s, purpose, 8)
        for seed in (0, 1, 2**32)
        for s in (0, 1)
        for purpose in (Purpose.CLICK, Purpose.LEAVE)
    ]
    everything = np.concatenate([d.ravel() for d in draws])
    # 19,200 draws of 32 bits: about .04 coincidences are expected; five would be a shared stream.
    assert len(everything) - len(np.unique(everything)) < 5


def test_laws() -> None:
    users, step = np.arange(50_000), np.zeros(50_000, np.int32)
    u = uniform_table(3, users, step, Purpose.PLUG_IN, 4)
    assert u.min() > 0
    assert u.max() < 1
    count = np.histogram(u, bins=50, range=(0, 1))[0]
    assert ((count - 4_000) ** 2 / 4_000).sum() < 110  # 49 degrees of freedom, one in 1e6; the seed is fixed
    correlation = np.corrcoef(u.T)
    assert np.abs(correlation[~np.eye(4, dtype=bool)]).max() < 5 / np.sqrt(50_000)
    z = np.array([normal(np.uint64(1), user, 0, int(Purpose.DRIFT), 0) for user in range(20_000)])
    assert abs(z.mean()) < 5 / np.sqrt(20_000)
    assert z.var() == pytest.approx(1.0, abs=0.06)
    g = gumbel_table(3, users, step, Purpose.PLANNER, 2)
    assert g.mean() == pytest.approx(0.5772, abs=0.02)


def test_twins_are_two_programs_with_the_same_bits() -> None:
    from simulators.kernels.responses import logits_to_probability

    assert isinstance(logits_to_probability, Twin)
    x = np.random.default_rng(0).normal(size=(100, 3)) * 5
    serial, parallel = np.empty_like(x), np.empty_like(x)
    logits_to_probability.serial(serial, x)
    logits_to_probability.parallel(parallel, x)
    np.testing.assert_array_equal(serial, parallel)
    np.testing.assert_allclose(serial, 1 / (1 + np.exp(-x)), rtol=1e-12)
    flags = [
        t.targetoptions.get("parallel", False)
        for t in (logits_to_probability.serial, logits_to_probability.parallel)
    ]
    assert [bool(f) for f in flags] == [False, True]


def test_importing_the_room_is_light() -> None:
    code = (
        "import sys, simulators, simulators.composed, simulators.registry, simulators.fidelity, simulators.storage\n"
        "heavy = {'torch', 'stable_baselines3', 'pandera', 'sklearn', 'transformers'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
