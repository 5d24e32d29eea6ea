"""Texts to vectors in batches of like length, so that little is spent on padding; smaller ones where memory ends."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from behavior.errors import InputError

__all__ = ["encode_in_batches", "pad_tokens", "padding_share", "readable"]

_MEMORY_SIGNS = ("can't allocate memory", "out of memory", "Failed to allocate memory", "bad_alloc")
"""How torch (CPU, CUDA) and onnxruntime say that memory ended."""


def readable(texts: Sequence[str], max_length: int) -> list[str]:
    """`texts` as tokenisers take them: no lone surrogates, and no megabytes of which all but the start is cut.

    Args:
        texts: The texts.
        max_length: Word pieces that are kept of each; a thousand characters a piece are plenty.
    """
    cut = 1_000 * max_length
    return [text[:cut].encode("utf-8", "replace").decode("utf-8") for text in texts]


def encode_in_batches(
    tokens: Sequence[Sequence[int]],
    encode: Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.float32]],
    *,
    width: int,
    batch_size: int,
    pad: int = 0,
    progress: bool = True,
) -> NDArray[np.float32]:
    """Vectors (n, D) of tokenised texts, in the order given; the batches go by rising length.

    Where memory ends, the batch is halved and tried again, and a warning says in the end which size did.

    Args:
        tokens: Token numbers of each text.
        encode: Token numbers and attention mask, each (b, L), to vectors (b, D).
        width: `D`.
        batch_size: Texts per batch at most.
        pad: Token number of padding.
        progress: Show a bar, on a terminal.

    Raises:
        InputError: Memory does not suffice for a single text.
    """
    out = np.zeros((len(tokens), width), np.float32)
    order = np.argsort([len(row) for row in tokens], kind="stable").tolist()
    bar = tqdm(total=len(order), desc="encode", unit="text", leave=False, disable=None if progress else True)
    size, start = batch_size, 0
    with bar:
        while start < len(order):
            rows = order[start : start + size]
            try:
                vectors = encode(*pad_tokens([tokens[row] for row in rows], pad))
            except Exception as error:
                if not _is_out_of_memory(error):
                    raise
                if len(rows) == 1:
                    raise InputError(
                        f"memory does not suffice to encode one text of {len(tokens[rows[0]])} word pieces",
                        where="encode",
                        mend="a smaller max_length, a smaller model, or device 'cpu'",
                    ) from error
                size = len(rows) // 2
                continue
            out[rows] = vectors
            start += len(rows)
            bar.update(len(rows))
    if size < batch_size:
        warnings.warn(
            f"memory did not suffice for batch_size={batch_size}; went on with {size}, and nothing is lost: "
            f"give batch_size={size} to be spared the attempts",
            UserWarning,
            stacklevel=3,
        )
    return out


def pad_tokens(tokens: Sequence[Sequence[int]], pad: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Token numbers and attention mask, each (b, L) with `L` the longest."""
    longest = max(len(row) for row in tokens)
    ids = np.full((len(tokens), longest), pad, np.int64)
    mask = np.zeros_like(ids)
    for place, row in enumerate(tokens):
        ids[place, : len(row)] = row
        mask[place, : len(row)] = 1
    return ids, mask


def padding_share(lengths: Sequence[int], batch_size: int) -> float:
    """Share of the tokens that `encode_in_batches` computes which are padding."""
    ordered = np.sort(np.asarray(lengths, np.int64))
    computed = sum(
        len(ordered[a : a + batch_size]) * int(ordered[a : a + batch_size][-1])
        for a in range(0, len(ordered), batch_size)
    )
    return 1.0 - float(ordered.sum()) / max(computed, 1)


def _is_out_of_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or any(sign in str(error) for sign in _MEMORY_SIGNS)
