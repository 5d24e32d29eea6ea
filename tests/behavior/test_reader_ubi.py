"""User Behavior Insights: queries and events, by hand and from the published sample."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from behavior import Dataset, InputError, load
from behavior.contract import check_log

SAMPLE = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "esci_ubi"


def _query(
    query_id: str, text: str, at: str, hits: list[str] | None = None, client: str = "c1"
) -> dict[str, Any]:
    document = {
        "query_id": query_id,
        "user_query": text,
        "timestamp": f"2026-01-01T{at}Z",
        "client_id": client,
    }
    return document | ({} if hits is None else {"query_response_hit_ids": hits})


def _event(
    action: str, query_id: str, item: str, at: str, ordinal: int | None = None, **more: Any
) -> dict[str, Any]:
    attributes: dict[str, Any] = {"object": {"object_id": item, "object_id_field": "sku"}}
    if ordinal is not None:
        attributes["position"] = {"ordinal": ordinal}
    return {
        "action_name": action,
        "query_id": query_id,
        "client_id": "c1",
        "session_id": "s1",
        "timestamp": f"2026-01-01T{at}Z",
        "event_attributes": attributes,
    } | more


def _write(path: Path, *documents: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(document) + "\n" for document in documents))
    return path


def _load(path: Path, **options: Any) -> Dataset:
    return load(f"ubi:{path}", progress=False, **options)


def _page(dataset: Dataset, query: str) -> list[tuple[int, str, int, int]]:
    rows = dataset.log.rows
    rows = rows[rows["query"] == query]
    return list(
        zip(
            rows["position"].tolist(),
            rows["item_id"],
            rows["click"].tolist(),
            rows["purchase"].tolist(),
            strict=True,
        )
    )


def test_queries_become_pages_in_their_session(tmp_path: Path) -> None:
    path = _write(
        tmp_path / "ubi.ndjson",
        {"index": {"_index": "ubi_queries"}},
        _query("q2", "lamp", "10:05:00"),
        _event("impression", "q2", "a", "10:05:01", 0),
        _event("impression", "q2", "b", "10:05:01", 1),
        _event("click", "q2", "b", "10:05:09", 1),
        _event("purchase", "q2", "b", "10:06:00"),
        {"_index": "ubi_queries", "_source": _query("q1", "chair", "10:00:00")},
        _event("impression", "q1", "c", "10:00:01", 0, event_attributes={
            "object": {"object_id": "c", "description": "Chair C"}, "position": {"ordinal": 0}}),
        _event("add_to_cart", "q1", "c", "10:00:30", 0),
        _event("impression", "q1", "a", "10:00:02", 1, user_id="ann"),
    )  # fmt: skip
    dataset = _load(path)
    steps = check_log(dataset.log, dataset.catalog)
    assert steps.n_sessions == 1
    assert [steps.queries[q] for q in steps.query] == ["chair", "lamp"]
    assert _page(dataset, "lamp") == [(0, "a", 0, 0), (1, "b", 1, 1)]
    assert _page(dataset, "chair") == [(0, "c", 0, 0), (1, "a", 0, 0)]
    assert set(dataset.log.rows["user_id"]) == {"ann"}
    assert dict(zip(dataset.catalog.item_ids, dataset.catalog.titles, strict=True))["c"] == "Chair C"
    assert any("add_to_cart 1" in note for note in dataset.log.notes)


def test_what_a_page_showed_is_never_guessed(tmp_path: Path) -> None:
    path = _write(
        tmp_path / "ubi.jsonl",
        _event("impression", "gap", "a", "10:00:00", 1),  # ordinals from 1
        _event("impression", "gap", "b", "10:00:00", 2),
        _event("impression", "gap", "d", "10:00:00", 4),
        _event("click", "gap", "d", "10:00:05", 4),
        _event("impression", "gap", "e", "10:00:06", 1),  # sorted anew: another item at the first place
        _event("impression", "below", "a", "10:01:00", 3),
        _query("hits", "lamp", "10:02:00", ["x", "y", "x"]),
        _event("click", "hits", "y", "10:02:01", 2),
        _query("nothing", "chair", "10:03:00"),
        _event("page_exit", "gap", "a", "10:04:00"),
        _event("click", "", "a", "10:04:00"),
    )
    dataset = _load(path)
    check_log(dataset.log, dataset.catalog)
    rows = dataset.log.rows
    assert rows.loc[rows["query"] == "", "item_id"].tolist() == ["a", "b"]
    assert _page(dataset, "lamp") == [(0, "x", 0, 0), (1, "y", 1, 0)]
    told = " ".join(dataset.log.notes)
    for text in (
        "1 queries have neither impressions nor returned ids",
        "1 pages are taken from the ids that the engine returned",
        "1 pages are left out: what stood at their first place",
        "1 impressions below an unknown place",
        "1 impressions repeat a place",
        "1 clicks or purchases are left out",
        "1 events without a query or an object",
        "1 pages have no query text",
    ):
        assert text in told, text


def test_clients_without_a_session_are_cut_into_visits(tmp_path: Path) -> None:
    path = _write(
        tmp_path / "ubi.jsonl",
        _query("q1", "a", "10:00:00", ["x"]),
        _query("q2", "b", "10:20:00", ["x"]),
        _query("q3", "c", "11:20:00", ["x"]),
        _query("q4", "d", "10:01:00", ["x"], client="c2"),
    )
    log = _load(path).log
    rows = log.rows
    assert any("4 pages carry no session" in note for note in log.notes)
    assert rows.groupby("query")["session_id"].first().to_dict() == {
        "a": "c1-0",
        "b": "c1-0",
        "c": "c1-1",
        "d": "c2-0",
    }
    assert rows.groupby("query")["step"].first().to_dict() == {"a": 0, "b": 1, "c": 0, "d": 0}


def test_ones_own_products(tmp_path: Path) -> None:
    path = _write(tmp_path / "ubi.jsonl", _query("q1", "a", "10:00:00", ["x", "y"]))
    products = tmp_path / "products.csv"
    pd.DataFrame({"item_id": ["x", "y", "z"], "title": ["X", "Y", "Z"]}).to_csv(products, index=False)
    assert _load(path, catalog=products).catalog.titles == ("X", "Y", "Z")
    products.write_text("item_id,title\nx,X\n")
    with pytest.raises(InputError, match="row 2, column 'item_id': found 'y'"):
        _load(path, catalog=products)


def test_a_purchase_without_a_click_needs_a_repair(tmp_path: Path) -> None:
    path = _write(
        tmp_path / "ubi.jsonl",
        _event("impression", "q", "a", "10:00:00", 0),
        _event("purchase", "q", "a", "10:00:09"),
    )
    with pytest.raises(InputError, match="purchase-implies-click"):
        _load(path)
    assert _load(path, repairs=["purchase-implies-click"]).log.rows["click"].tolist() == [1]


def test_actions_of_ones_own_names(tmp_path: Path) -> None:
    path = _write(
        tmp_path / "ubi.jsonl",
        _event("seen", "q", "a", "10:00:00", 0),
        _event("seen", "q", "b", "10:00:00", 1),
        _event("product_click", "q", "b", "10:00:09"),
        _event("click", "q", "a", "10:00:10"),
    )
    with pytest.raises(InputError, match="no page is known"):
        _load(path)
    log = _load(path, actions=["seen=impression", "product_click=click"]).log
    assert log.rows["click"].tolist() == [1, 1]
    assert not any("passed over: seen" in note for note in log.notes)
    for wrong in ("seen", "seen=shown", "=click"):
        with pytest.raises(InputError, match="expected YOURS=OURS"):
            _load(path, actions=[wrong])


def test_bad_documents_are_named(tmp_path: Path) -> None:
    path = _write(
        tmp_path / "ubi.jsonl",
        {"user_query": "lamp"},
        {"query_id": "q", "user_query": "lamp"},
        {"action_name": "click"},
        _event("impression", "q", "a", "10:00:00", None),
        _query("q", "lamp", "10:00:00") | {"query_response_hit_ids": "x"},
    )
    with pytest.raises(InputError) as caught:
        _load(path)
    for text in (
        "row 1, column 'query_id': found nothing",
        "row 2, column 'timestamp': found nothing",
        "row 3, column 'timestamp': found nothing",
        "row 4, column 'event_attributes.position.ordinal': found nothing",
        "row 5, column 'query_response_hit_ids': found 'x', expected a list of ids",
    ):
        assert text in str(caught.value)
    with pytest.raises(InputError, match="no page is known"):
        _load(_write(tmp_path / "none.jsonl", _query("q", "lamp", "10:00:00")))
    with pytest.raises(InputError, match="a timestamp is 'yesterday'"):
        _load(
            _write(tmp_path / "when.jsonl", _query("q", "a", "10:00:00", ["x"]) | {"timestamp": "yesterday"})
        )
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no JSON lines"):
        _load(tmp_path / "empty")


@pytest.mark.skipif(not SAMPLE.exists(), reason="the UBI sample is not at hand")
def test_the_published_sample() -> None:
    dataset = _load(SAMPLE / "ubi_queries_events.ndjson")
    steps = check_log(dataset.log, dataset.catalog)
    rows = dataset.log.rows
    # of the three applications in the file, one has whole pages of five throughout
    whole = rows[rows["context_application"] == "esci_ubi_sample"]
    assert whole.groupby("session_id").size().tolist() == [5] * 200
    assert whole.groupby("position")["click"].sum().tolist() == [22, 10, 13, 9, 6]
    assert int(whole["query"].ne("").all())
    assert set(rows["context_application"]) == {
        "esci_ubi_sample",
        "Chorus",
    }  # the third logged no impressions
    assert steps.slate_size == 20
    assert int(rows["purchase"].sum()) == 0
