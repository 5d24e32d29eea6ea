"""Tables on disk: `.npz` without pickles, written beside their place and renamed into it."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from behavior.files import atomic_path
from encoders.features import CandidateTable, FeatureTables, RelevanceTables
from encoders.pair_table import PairTable

__all__ = ["load_candidates", "load_features", "read_npz", "save_candidates", "save_features", "write_npz"]

_FEATURES, _CANDIDATES = "slategym-features-1", "slategym-candidates-1"
_PAIR_FIELDS = tuple(field.name for field in fields(PairTable))


def write_npz(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write `arrays` so that `path` is either the whole new file or what was there before."""
    with atomic_path(path) as temporary:
        np.savez(temporary, **dict(arrays))  # type: ignore[arg-type]


def save_features(path: Path | str, tables: FeatureTables) -> None:
    """Write `tables` to `path` (`.npz`)."""
    write_npz(
        Path(path),
        {
            "kind": np.array(_FEATURES),
            "item_vectors": tables.item_vectors,
            "query_vectors": tables.query_vectors,
            "item_numeric": tables.item_numeric,
            "numeric_names": np.array(tables.numeric_names, dtype=np.str_),
            "item_category": tables.item_category,
            "n_categories": np.array(tables.n_categories),
            "price": tables.price,
            "popularity": tables.popularity,
            "relevance_item": tables.relevance.item,
            "relevance_click_query": tables.relevance.click_query,
            "relevance_purchase_query": tables.relevance.purchase_query,
            "relevance_bias": np.array([tables.relevance.click_bias, tables.relevance.purchase_bias]),
            **_pair_arrays(tables.pairs),
            **({} if tables.words_click_query is None else {"words_click_query": tables.words_click_query}),
        },
    )


def load_features(path: Path | str) -> FeatureTables:
    """Read what `save_features` wrote.

    Raises:
        InputError: Missing, damaged, or another kind of file.
    """
    data = read_npz(Path(path), _FEATURES)
    click_bias, purchase_bias = data["relevance_bias"].tolist()
    return FeatureTables(
        item_vectors=data["item_vectors"],
        query_vectors=data["query_vectors"],
        item_numeric=data["item_numeric"],
        numeric_names=tuple(str(name) for name in data["numeric_names"]),
        item_category=data["item_category"],
        n_categories=int(data["n_categories"]),
        price=data["price"],
        popularity=data["popularity"],
        relevance=RelevanceTables(
            item=data["relevance_item"],
            click_query=data["relevance_click_query"],
            purchase_query=data["relevance_purchase_query"],
            click_bias=click_bias,
            purchase_bias=purchase_bias,
        ),
        pairs=PairTable(**{name: data[f"pair_{name}"] for name in _PAIR_FIELDS})
        if "pair_item" in data
        else None,
        words_click_query=data.get("words_click_query"),
    )


def _pair_arrays(pairs: PairTable | None) -> dict[str, NDArray[Any]]:
    return {} if pairs is None else {f"pair_{name}": getattr(pairs, name) for name in _PAIR_FIELDS}


def save_candidates(path: Path | str, table: CandidateTable) -> None:
    """Write `table` to `path` (`.npz`)."""
    write_npz(Path(path), {"kind": np.array(_CANDIDATES), "items": table.items, "scores": table.scores})


def load_candidates(path: Path | str) -> CandidateTable:
    """Read what `save_candidates` wrote.

    Raises:
        InputError: Missing, damaged, or another kind of file.
    """
    data = read_npz(Path(path), _CANDIDATES)
    return CandidateTable(items=data["items"], scores=data["scores"])


def read_npz(path: Path, kind: str) -> dict[str, NDArray[Any]]:
    """The arrays of a file whose entry `kind` says what it is.

    Raises:
        InputError: Missing, damaged, or another kind of file.
    """
    try:
        # Opened here: np.load leaves a damaged file open.
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            data = {name: file[name] for name in file.files}
    except FileNotFoundError as error:
        raise InputError(
            "no such file", where=str(path), mend="python -m encoders export writes it"
        ) from error
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"unreadable tables: {error}", where=str(path), mend="export them again") from error
    found = str(data.get("kind", "nothing"))
    if found != kind:
        raise InputError(
            f"found {found!r}, expected {kind!r}", where=str(path), mend="export the tables again"
        )
    return data
