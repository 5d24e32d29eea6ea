"""Laws over random logs: regrouping against plain loops, and no input that ends in anything but an `InputError`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import hypothesis.strategies as st
import pandas as pd
from hypothesis import HealthCheck, Phase, given, settings

from behavior import Catalog, InputError, InteractionLog, read_log
from behavior.contract import check_log

_CATALOG = Catalog.from_frame(pd.DataFrame({"item_id": [f"i{n}" for n in range(6)]}))

_PAGE = st.tuples(
    st.permutations(range(6)), st.integers(1, 6), st.sampled_from(["", "q1", "q2"]), st.integers(0, 63)
)
_SESSIONS = st.lists(
    st.tuples(st.integers(0, 5), st.lists(_PAGE, min_size=1, max_size=3)), min_size=1, max_size=6
)


@settings(max_examples=15, deadline=None)
@given(_SESSIONS, st.randoms(use_true_random=False))
def test_regroup_equals_plain_loops(sessions: list[tuple[int, list[tuple]]], random: object) -> None:
    rows, pages = [], []
    for number, (start, content) in enumerate(sessions):
        for step, (items, size, query, clicks) in enumerate(content):
            time = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=start, minutes=step)
            click = [clicks >> k & 1 for k in range(size)]
            pages.append((start, number, step, query, list(items[:size]), click))
            rows += [
                (
                    f"s{number}",
                    step,
                    time.isoformat(),
                    query,
                    k,
                    f"i{items[k]}",
                    click[k],
                    click[k] & (k == 0),
                )
                for k in range(size)
            ]
    names = ["session_id", "step", "timestamp", "query", "position", "item_id", "click", "purchase"]
    # interleaved sessions are valid as long as each keeps its own order
    order = sorted(range(len(rows)), key=lambda r: (rows[r][1], rows[r][4]))
    log = InteractionLog.from_frame(pd.DataFrame([rows[r] for r in order], columns=names), catalog=_CATALOG)
    steps = check_log(log, _CATALOG)

    first_seen = {session: at for at, session in reversed(list(enumerate(rows[r][0] for r in order)))}
    pages.sort(key=lambda page: (page[0], first_seen[f"s{page[1]}"], page[2]))
    assert steps.n_steps == len(pages)
    for m, (_, number, step, query, items, click) in enumerate(pages):
        assert steps.item[m, : len(items)].tolist() == items
        assert (steps.item[m, len(items) :] == -1).all()
        assert steps.click[m, : len(items)].tolist() == click
        assert steps.queries[steps.query[m]] == query
        assert steps.step[m] == step
        assert steps.session[m] == len({page[1] for page in pages[: m + 1]}) - 1
        assert steps.session_end[m] == (3 if step == len(sessions[number][1]) - 1 else 0)


_CELL = st.one_of(
    st.text(max_size=6),
    st.sampled_from(
        ["", "0", "1", "-1", "1e400", "nan", "inf", "2026-01-01", "2026-13-45T99:00", "a", "i1", "0.5"]
    ),
    st.integers(-(10**20), 10**20).map(str),
)


@settings(
    max_examples=30,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.lists(st.tuples(st.integers(0, 7), st.integers(0, 10), _CELL), min_size=1, max_size=4),
    st.sampled_from(
        [(), ("sort",), ("sort", "derive-steps"), ("drop-unknown-items", "assume-utc", "to-utc")]
    ),
)
def test_whatever_stands_in_the_cells(
    tmp_path: Path,
    frame: pd.DataFrame,
    catalog: Catalog,
    changes: list[tuple[int, int, str]],
    repairs: tuple[str, ...],
) -> None:
    broken = frame.assign(propensity="0.5", context_age="3").astype(object)
    for row, column, value in changes:
        broken.iloc[row, column] = value
    path = tmp_path / "log.csv"
    broken.to_csv(path, index=False)
    try:
        log = read_log(path, repairs=repairs, catalog=catalog)
    except InputError as error:
        refused = error
    else:
        check_log(log, catalog)
        return
    assert str(path) in refused.where
    assert refused.mend
