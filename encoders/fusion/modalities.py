"""What is known of items beside their text, each kind as a matrix with a note of which items have it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from behavior.errors import InputError
from encoders.build import smoothed_rate, standardise
from encoders.pairs import PairCounts

if TYPE_CHECKING:
    from behavior.catalog import Catalog

__all__ = ["Modalities", "behaviour", "read_image_vectors", "read_modalities"]

_LEVELS = 32  # of a categorical column, the most frequent first; the others share one column


@dataclass(frozen=True, kw_only=True)
class Modalities:
    """Matrices of `I` items by name. Where an item lacks a modality its row is zero and `known` says so."""

    values: Mapping[str, NDArray[np.float32]]  # (I, F) each
    known: Mapping[str, NDArray[np.bool_]]  # (I,) each

    @property
    def names(self) -> tuple[str, ...]:
        """Names, in order."""
        return tuple(self.values)

    def only(self, names: Sequence[str]) -> Modalities:
        """These modalities alone."""
        return Modalities(values={n: self.values[n] for n in names}, known={n: self.known[n] for n in names})

    def with_behaviour(self, table: NDArray[np.float32], known: NDArray[np.bool_]) -> Modalities:
        """The same with behaviour (I, F) as the last modality, in place of any that is there."""
        values = {n: v for n, v in self.values.items() if n != "behaviour"} | {"behaviour": table}
        return Modalities(
            values=values, known={n: self.known[n] for n in values if n != "behaviour"} | {"behaviour": known}
        )

    def without(self, lost: Mapping[str, NDArray[np.bool_]]) -> Modalities:
        """The same where items `lost` (I,) of the named modalities are not known."""
        known = {n: k & ~lost[n] if n in lost else k for n, k in self.known.items()}
        return Modalities(
            values={n: np.where(known[n][:, None], v, np.float32(0.0)) for n, v in self.values.items()},
            known=known,
        )


def read_modalities(catalog: Catalog, *, images: NDArray[np.float32] | None = None) -> Modalities:
    """Numbers, categories and images of a catalogue; a kind that no item has is left out.

    Numbers are the price's logarithm and the numeric extras, standardised, each with a column that says where it is
    missing. Categories are one-hot, the 32 most frequent levels of each column.

    Args:
        catalog: The catalogue (I items).
        images: Ready-made vectors (I, V), rows of nan where an item has none.

    Raises:
        InputError: Images of another number of items, or infinite.
    """
    frame = catalog.frame
    values: dict[str, NDArray[np.float32]] = {}
    known: dict[str, NDArray[np.bool_]] = {}
    numbers = [np.log1p(np.maximum(frame["price"].to_numpy(np.float64), 0.0))]
    numbers += [frame[name].to_numpy(np.float64) for name in catalog.numeric_columns]
    blocks = []
    for column in numbers:
        there = np.asarray(np.isfinite(column), np.bool_)
        if there.any():
            blocks.append(standardise(column))
            if not there.all():
                blocks.append(np.where(there, 0.0, 1.0))
    if blocks:
        values["numeric"] = np.stack(blocks, axis=1).astype(np.float32)
        known["numeric"] = np.asarray(np.isfinite(np.stack(numbers, axis=1)).any(axis=1), np.bool_)
    hot = [_one_hot(frame[name]) for name in ("category", *catalog.categorical_columns)]
    hot = [block for block in hot if block.shape[1]]
    if hot:
        values["categorical"] = np.concatenate(hot, axis=1)
        known["categorical"] = np.asarray(values["categorical"].any(axis=1), np.bool_)
    if images is not None:
        if images.ndim != 2 or images.shape[0] != catalog.n_items:
            raise InputError(
                f"image vectors of shape {images.shape} for {catalog.n_items} items",
                where="read_modalities(images=...)",
                mend="one row an item, in the order of the catalogue",
            )
        if np.isinf(images).any():
            raise InputError("image vectors that are infinite", where="read_modalities(images=...)")
        has_image = np.asarray(np.isfinite(images).all(axis=1), np.bool_)  # (I,)
        length = np.linalg.norm(np.nan_to_num(images), axis=1, keepdims=True)
        # All lengths about 1 times the root of the width, as standardised numbers have.
        scaled = np.nan_to_num(images) / np.maximum(length, 1e-12) * np.sqrt(images.shape[1])
        values["image"] = np.where(has_image[:, None], scaled, 0.0).astype(np.float32)
        known["image"] = has_image
    return Modalities(values=values, known=known)


def behaviour(pairs: PairCounts, n_items: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Click rate, purchases per click and how often shown (I, 3), standardised; and which items were shown (I,).

    Args:
        pairs: Counts of a log, which must not be the clicks that are to be explained: see `folds_of`.
        n_items: Items `I`.
    """
    shown, exposure, clicks, bought = (
        np.bincount(pairs.item, weights=weights, minlength=n_items).astype(np.float64)
        for weights in (pairs.impressions, pairs.exposure, pairs.clicks, pairs.purchases)
    )
    rate, buys = smoothed_rate(clicks, exposure), smoothed_rate(bought, clicks)
    columns = (np.log(rate / (1.0 - rate)), np.log(buys / (1.0 - buys)), np.log1p(shown))
    known = shown > 0
    table = np.stack([standardise(column) for column in columns], axis=1)
    return np.where(known[:, None], table, 0.0).astype(np.float32), known


def read_image_vectors(path: Path, catalog: Catalog, *, column: str = "image_vector") -> NDArray[np.float32]:
    """Ready-made image vectors (I, V) of a catalogue's items, nan where an item has none.

    Args:
        path: `.npy` with a row an item in the order of the catalogue, or `.parquet` with `item_id` and a column of
            lists of numbers.
        catalog: The catalogue.
        column: That column.

    Raises:
        InputError: No such file, not such a file, lists of different lengths, or no item of the catalogue in it.
    """
    if not path.is_file():
        raise InputError("no such file", where=str(path), mend="a .npy or .parquet file with image vectors")
    if path.suffix == ".npy":
        try:
            vectors = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise InputError(
                f"unreadable: {error}", where=str(path), mend="save it with numpy.save"
            ) from error
        if vectors.ndim != 2 or vectors.shape[0] != catalog.n_items or vectors.dtype.kind not in "fiu":
            raise InputError(
                f"an array of {vectors.dtype} of shape {vectors.shape} for {catalog.n_items} items",
                where=str(path),
                mend="numbers, one row an item, in the order of the catalogue",
            )
        table: NDArray[np.float32] = vectors.astype(np.float32)
        return table
    try:
        frame = pd.read_parquet(path, columns=["item_id", column])
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"unreadable: {error}", where=str(path), mend=f"a table with the columns item_id and {column}"
        ) from error
    frame = frame[frame[column].notna()]
    rows = catalog.rows(frame["item_id"])
    lengths = {len(vector) for vector in frame[column]}
    if len(lengths) != 1 or not (rows >= 0).any():
        raise InputError(
            f"vectors of {len(lengths)} different lengths, of {int((rows >= 0).sum())} items of the catalogue",
            where=str(path),
            mend="lists of one length, for items of this catalogue",
        )
    vectors = np.full((catalog.n_items, lengths.pop()), np.nan, np.float32)
    vectors[rows[rows >= 0]] = np.stack(frame[column].to_list()).astype(np.float32)[rows >= 0]
    return vectors


def _one_hot(column: pd.Series) -> NDArray[np.float32]:
    """Levels of a column (I, L): none where it is empty or says nothing."""
    names = column.fillna("").astype(str)
    counts = names[names != ""].value_counts()
    if len(counts) < 2:
        return np.zeros((len(names), 0), np.float32)
    kept = {level: n for n, level in enumerate(sorted(counts.index[:_LEVELS]))}
    width = len(kept) + (len(counts) > _LEVELS)
    code = np.array([kept.get(name, len(kept)) if name else -1 for name in names])
    table = np.zeros((len(names), width), np.float32)
    table[np.flatnonzero(code >= 0), code[code >= 0]] = 1.0
    return table
