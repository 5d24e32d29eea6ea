"""Streams: chunks of a log add up to the estimate of the whole, with errors by cluster and in bounded memory."""

from __future__ import annotations

import itertools
import tracemalloc
from typing import Any

import numpy as np
import pytest

from behavior.errors import InputError
from evaluation.estimators import Estimate, iips, ips, sniips, snips
from evaluation.estimators.cascade_dr import sncascade_dr_from_values
from evaluation.estimators.streaming import Stream
from evaluation.intervals import bootstrap_estimate, estimate_interval, mean_interval


def _log(n: int = 4000, n_sessions: int = 700, seed: int = 0) -> tuple[Any, Any, Any, Any]:
    rng = np.random.default_rng(seed)
    session = np.sort(rng.integers(0, n_sessions, n))
    mood = rng.gamma(1.0, 1.0, n_sessions)[session]  # rows of a session are alike
    r = (rng.random((n, 3)) < 0.2 * np.minimum(mood, 4)[:, None]).astype(np.float64)
    return r, rng.uniform(0.1, 1, (n, 3)), rng.uniform(0, 1, (n, 3)), session


def _dr(r: Any, b: Any, e: Any) -> Estimate:
    b, e = np.sort(b, axis=1)[:, ::-1], np.sort(e, axis=1)[:, ::-1]
    return sncascade_dr_from_values(r, b, e, predicted=r * 0.5, expected=r * 0.25)


@pytest.mark.parametrize("estimator", [iips, sniips, _dr])
def test_chunks_add_up(estimator: Any) -> None:
    r, b, e, session = _log()
    whole = estimator(r, b, e)
    edges = [0, 17, 1000, 1003, 4000]
    parts = [slice(i, j) for i, j in itertools.pairwise(edges)]
    one, two, other = Stream(), Stream(), Stream()
    for part in parts:
        one.add(estimator(r[part], b[part], e[part]), clusters=session[part])
    for part in parts[::-1]:  # in any order, by two processes
        (two if part.start % 2 else other).add(estimator(r[part], b[part], e[part]), clusters=session[part])
    two.merge(other)
    two.merge(Stream())
    for stream in (one, two):
        found = stream.estimate()
        assert found.name == whole.name
        assert found.value == pytest.approx(whole.value, rel=1e-12)
        assert found.ess == pytest.approx(whole.ess, rel=1e-10)
        assert (found.max_weight, stream.n_rows) == (whole.max_weight, 4000)
        assert found.mean_weight == pytest.approx(whole.mean_weight, rel=1e-12)
    clustered = estimate_interval(whole, clusters=session)
    # Few clusters share a group, so the errors are those by cluster, not those of independent rows.
    assert one.estimate().standard_error == pytest.approx(clustered.standard_error, rel=0.03)
    assert one.estimate().standard_error > 1.1 * whole.standard_error


def test_errors_and_bootstraps_are_by_group_of_clusters() -> None:
    r, b, e, session = _log(seed=1)
    few = Stream(n_groups=64)
    for start in range(0, 4000, 500):
        part = slice(start, start + 500)
        few.add(sniips(r[part], b[part], e[part]), clusters=session[part])
    found = few.estimate()
    assert found.terms.shape == (64,)
    by_cluster = estimate_interval(sniips(r, b, e), clusters=session)
    assert found.standard_error == pytest.approx(by_cluster.standard_error, rel=0.35)
    resampled = bootstrap_estimate(found, n_resamples=500)
    assert resampled.value == pytest.approx(found.value, rel=1e-12)
    assert resampled.standard_error == pytest.approx(found.standard_error, rel=0.25)
    assert mean_interval(found.terms).value == pytest.approx(found.value, rel=1e-12)


def test_labels_may_be_strings_or_left_out() -> None:
    r, b, e, session = _log(400, 60)
    named, plain = Stream(), Stream()
    named.add(sniips(r, b, e), clusters=np.array([f"s{label}" for label in session], object))
    plain.add(sniips(r, b, e))
    assert named.estimate().value == pytest.approx(plain.estimate().value, rel=1e-12)
    assert plain.estimate().standard_error == pytest.approx(sniips(r, b, e).standard_error, rel=0.02)
    assert named.estimate().terms.shape[0] < 61


def test_refusals() -> None:
    r, b, e, session = _log(50, 10)
    stream = Stream()
    with pytest.raises(InputError, match="at least 2"):
        stream.estimate()
    stream.add(sniips(r, b, e), clusters=session)
    with pytest.raises(InputError, match="IIPS"):
        stream.add(iips(r, b, e))
    with pytest.raises(InputError, match="columns"):
        stream.add(sniips(r[:, :2], b[:, :2], e[:, :2]))
    with pytest.raises(InputError, match="labels"):
        stream.add(sniips(r, b, e), clusters=session[1:])
    with pytest.raises(InputError, match="groups"):
        stream.merge(_with(Stream(n_groups=8), sniips(r, b, e)))
    with pytest.raises(InputError, match="groups"):
        Stream(n_groups=1)


def _with(stream: Stream, estimate: Estimate) -> Stream:
    stream.add(estimate)
    return stream


def test_a_chunk_without_weight_is_no_obstacle() -> None:
    stream = Stream()
    stream.add(snips([1.0, 0.0], [0.5, 0.5], [0.0, 0.0]))
    stream.add(snips([1.0, 0.0], [0.5, 0.5], [0.5, 0.25]))
    assert stream.estimate().value == pytest.approx(1 / 1.5)


def test_memory_does_not_grow_with_the_log() -> None:
    rng = np.random.default_rng(0)

    def peak(chunks: int) -> int:
        stream = Stream(n_groups=1024)
        tracemalloc.start()
        for _ in range(chunks):
            stream.add(ips(rng.random(5000), rng.uniform(0.1, 1, 5000), rng.random(5000)))
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    peak(2)
    assert peak(40) < 1.2 * peak(4)
