"""What turns texts into vectors, and the small deterministic encoder that needs no model."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError

if TYPE_CHECKING:
    from behavior.catalog import Catalog

__all__ = ["HashEncoder", "TextEncoder", "catalog_texts"]


@runtime_checkable
class TextEncoder(Protocol):
    """Texts to unit vectors. `encoders.contract.check_text_encoder` tests one."""

    @property
    def width(self) -> int:
        """Length `D` of a vector."""
        ...

    @property
    def fingerprint(self) -> str:
        """Changes whenever the vectors would: the caches are keyed by it."""
        ...

    def encode(self, texts: Sequence[str], *, progress: bool = True) -> NDArray[np.float32]:
        """One unit vector per text, shape (n, D); a text's vector does not depend on its neighbours."""
        ...


class HashEncoder:
    """Hashed character trigrams: a lexical encoder for tests and smoke runs, no model, no training.

    Each trigram of the padded, lower-cased words adds a fixed random direction (a sign per coordinate, drawn from
    its SHA-256), so texts that share spelling lie close together.

    Args:
        width: Length `D` of a vector, at most 256.
    """

    def __init__(self, width: int = 64) -> None:
        if not 1 <= width <= 256:
            raise InputError(f"width must lie in 1..256, found {width}", where="HashEncoder(width=...)")
        self._width = width
        self._signs: dict[str, NDArray[np.float32]] = {}

    @property
    def width(self) -> int:
        """Length `D` of a vector."""
        return self._width

    @property
    def fingerprint(self) -> str:
        """Name, version and width: nothing else decides the vectors."""
        return f"hash-trigram-1-{self._width}"

    def _direction(self, gram: str) -> NDArray[np.float32]:
        sign = self._signs.get(gram)
        if sign is None:
            digest = hashlib.sha256(gram.encode("utf-8", "surrogatepass")).digest()
            bits = np.unpackbits(np.frombuffer(digest, np.uint8))[: self._width]
            sign = self._signs[gram] = bits.astype(np.float32) * 2.0 - 1.0
        return sign

    def encode(self, texts: Sequence[str], *, progress: bool = True) -> NDArray[np.float32]:
        """Unit vectors of `texts`, shape (n, D)."""
        out = np.zeros((len(texts), self._width), np.float32)
        for row, text in enumerate(texts):
            for word in text.lower().split() or [""]:
                padded = f"^{word}$"
                for start in range(max(1, len(padded) - 2)):
                    out[row] += self._direction(padded[start : start + 3])
            norm = float(np.sqrt(np.dot(out[row], out[row])))
            if norm == 0.0:  # grams that cancel to the last coordinate
                out[row, 0] = norm = 1.0
            out[row] /= norm
        return out


def catalog_texts(catalog: Catalog, columns: Sequence[str] = ("title", "category")) -> list[str]:
    """The text that stands for each item: its `columns`, without repeats, joined by a full stop.

    Args:
        catalog: The catalogue.
        columns: Columns of `catalog.frame` to join, in order.
    """
    missing = [name for name in columns if name not in catalog.frame.columns]
    if missing:
        raise InputError(
            f"the catalogue has no column {missing[0]!r} to take item texts from",
            where=f"item text columns {tuple(columns)}",
            mend=f"choose among {', '.join(map(str, catalog.frame.columns))}",
        )
    parts = [catalog.frame[name].fillna("").astype(str).tolist() for name in columns]
    return [". ".join(dict.fromkeys(piece for piece in row if piece)) for row in zip(*parts, strict=True)]
