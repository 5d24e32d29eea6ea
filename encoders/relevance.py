"""The relevance model: a text encoder with two heads, reduced to dot products.

With `q` and `i` the unit vectors of query and item text, projected by a shared matrix and made unit again,

    click_logit    = (q * w_click) @ i + b_click
    purchase_logit = (q * w_purchase) @ i + b_purchase      (a purchase given a click)

The empty query (a recommendation page) has no text; it gets a learned preference over items instead. A query that the
log knows may have an offset of its own (`KnownQueries`), learned by `encoders.known_queries`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from behavior.files import atomic_folder
from encoders.cache import EmbeddingCache, encode_cached
from encoders.features import RelevanceTables
from encoders.spelling import read_as
from encoders.text import HashEncoder, TextEncoder, catalog_texts

if TYPE_CHECKING:
    from behavior.catalog import Catalog

__all__ = ["Heads", "KnownQueries", "RelevanceModel", "project", "raw_tables", "tables_from_vectors"]


@dataclass(frozen=True, kw_only=True)
class Heads:
    """What is learned on top of the text encoder of width `D`."""

    projection: NDArray[np.float32]  # (D, D) applied to queries and items alike
    click_weight: NDArray[np.float32]  # (D,)
    purchase_weight: NDArray[np.float32]  # (D,)
    bias: NDArray[np.float64]  # (2,) click, purchase
    empty_click: NDArray[np.float32]  # (D+1,) stands for the empty query; the last entry is its own intercept
    empty_purchase: NDArray[np.float32]  # (D+1,)

    @classmethod
    def plain(
        cls, width: int, *, click_scale: float, purchase_scale: float, bias: tuple[float, float]
    ) -> Heads:
        """Heads that only scale the cosine: the zero-shot model."""
        ones = np.ones(width, np.float32)
        return cls(
            projection=np.eye(width, dtype=np.float32),
            click_weight=ones * np.float32(click_scale),
            purchase_weight=ones * np.float32(purchase_scale),
            bias=np.array(bias, np.float64),
            empty_click=np.zeros(width + 1, np.float32),
            empty_purchase=np.zeros(width + 1, np.float32),
        )


@dataclass(frozen=True, kw_only=True)
class KnownQueries:
    """Offsets of `S` queries that the log knows, added to `q * w_click`; the last column is an intercept."""

    texts: tuple[str, ...]  # S
    click: NDArray[np.float32]  # (S, D+1)

    @classmethod
    def none(cls, width: int) -> KnownQueries:
        """No query is known."""
        return cls(texts=(), click=np.zeros((0, width + 1), np.float32))

    def rows(self, queries: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Which of `queries` are known (n,), and their rows here (n,)."""
        place = {text: row for row, text in enumerate(self.texts)}
        found = [(q, place[text]) for q, text in enumerate(queries) if text in place]
        at = np.array(found, np.int64).reshape(-1, 2)
        return at[:, 0], at[:, 1]


def project(vectors: NDArray[np.float32], projection: NDArray[np.float32]) -> NDArray[np.float32]:
    """`vectors @ projection`, unit length; zero vectors stay zero."""
    moved = vectors @ projection
    unit: NDArray[np.float32] = moved / np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), 1e-12)
    return unit


class RelevanceModel:
    """Scores of items for queries from their texts.

    Args:
        encoder: The text encoder, fine-tuned or not.
        heads: The layers on top of it.
        item_columns: Catalogue columns whose texts stand for an item.
        cache: Where embeddings are kept; None keeps none.
        known: Offsets of queries that the log knows; None for none.
        spelling: Read misspelt words of queries as the catalogue's words (`encoders.spelling`).
    """

    def __init__(
        self,
        encoder: TextEncoder,
        heads: Heads,
        *,
        item_columns: Sequence[str] = ("title", "category"),
        cache: EmbeddingCache | None = None,
        known: KnownQueries | None = None,
        spelling: bool = False,
    ) -> None:
        self.encoder = encoder
        self.heads = heads
        self.item_columns = tuple(item_columns)
        self.cache = cache
        self.spelling = spelling
        self.known = known if known is not None else KnownQueries.none(encoder.width)

    @property
    def fingerprint(self) -> str:
        """Digest of all that decides a score."""
        digest = hashlib.sha256(f"{self.encoder.fingerprint}\0{self.item_columns}".encode())
        digest.update(b"spelling" if self.spelling else b"")
        for field in fields(Heads):
            digest.update(np.ascontiguousarray(getattr(self.heads, field.name)).tobytes())
        if self.known.texts:
            digest.update("\0".join(self.known.texts).encode("utf-8", "surrogatepass"))
            digest.update(self.known.click.tobytes())
        return f"relevance-{digest.hexdigest()[:24]}"

    def of_words(self) -> RelevanceModel:
        """The model without what it learned of single queries; itself where it learned nothing of them."""
        if not self.known.texts:
            return self
        return RelevanceModel(
            self.encoder,
            self.heads,
            item_columns=self.item_columns,
            cache=self.cache,
            spelling=self.spelling,
        )

    def read(self, catalog: Catalog, queries: Sequence[str]) -> list[str]:
        """`queries` as the model reads them: their misspelt words put right, if it is to."""
        return read_as(self.encoder, catalog, self.item_columns, queries) if self.spelling else list(queries)

    def embed(
        self, catalog: Catalog, queries: Sequence[str], *, progress: bool = True
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Projected unit vectors of items (I, D) and queries (Q, D); zeros for an empty query."""
        texts = catalog_texts(catalog, self.item_columns)
        item = encode_cached(self.encoder, texts, self.cache, progress=progress)
        query = encode_cached(self.encoder, self.read(catalog, queries), self.cache, progress=progress)
        query[[not text.strip() for text in queries]] = 0.0
        return project(item, self.heads.projection), project(query, self.heads.projection)

    def tables(self, catalog: Catalog, queries: Sequence[str], *, progress: bool = True) -> RelevanceTables:
        """The model as dot products for the items of `catalog` and `queries`."""
        item, query = self.embed(catalog, queries, progress=progress)
        return tables_from_vectors(item, query, self.heads, self.known, queries)

    def save(self, folder: Path | str) -> None:
        """Write the model to `folder`; it appears whole or not at all."""
        from safetensors.numpy import save_file

        with atomic_folder(Path(folder)) as target:
            description: dict[str, object] = {
                "format": 1,
                "item_columns": list(self.item_columns),
                "spelling": self.spelling,
                "encoder": self._save_encoder(target),
            }
            arrays = {f.name: np.ascontiguousarray(getattr(self.heads, f.name)) for f in fields(Heads)}
            save_file(arrays, target / "heads.safetensors")
            if self.known.texts:
                description["known_queries"] = list(self.known.texts)
                save_file({"click": np.ascontiguousarray(self.known.click)}, target / "known.safetensors")
            (target / "relevance.json").write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")

    def _save_encoder(self, target: Path) -> dict[str, object]:
        if isinstance(self.encoder, HashEncoder):
            return {"kind": "hash", "width": self.encoder.width}
        from encoders.bert import BertEncoder

        if isinstance(self.encoder, BertEncoder):
            self.encoder.save(target / "encoder")
            return {"kind": "bert", "max_length": self.encoder.max_length}
        from encoders.exporting.onnx_encoder import OnnxEncoder

        if isinstance(self.encoder, OnnxEncoder):
            self.encoder.save(target / "encoder")
            return {"kind": "onnx"}
        from encoders.static import StaticEncoder

        if isinstance(self.encoder, StaticEncoder):
            self.encoder.save(target / "encoder")
            return {"kind": "static"}
        raise InputError(
            f"cannot save an encoder of class {type(self.encoder).__name__}",
            where="RelevanceModel.save",
            mend="save its embeddings instead: encoders.build_features, encoders.save_features",
        )

    @classmethod
    def load(
        cls, folder: Path | str, *, device: str = "auto", cache: EmbeddingCache | None = None
    ) -> RelevanceModel:
        """Read what `save` wrote.

        Raises:
            InputError: The folder is missing, damaged, or of an unknown format.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        folder = Path(folder)
        if (folder / "cross.json").is_file():
            raise InputError(
                "the folder holds a cross-encoder, which has no vectors of items and queries",
                where=str(folder),
                mend="give a model that `python -m encoders finetune` wrote without --kind cross",
            )
        try:
            description = json.loads((folder / "relevance.json").read_text(encoding="utf-8"))
            if description["format"] != 1:
                raise InputError(
                    f"relevance model of format {description['format']}, expected 1", where=str(folder)
                )
            heads = Heads(**load_file(folder / "heads.safetensors"))
            kind, columns = description["encoder"]["kind"], description["item_columns"]
            known = None
            if "known_queries" in description:
                click = load_file(folder / "known.safetensors")["click"]
                known = KnownQueries(texts=tuple(description["known_queries"]), click=click)
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise InputError(
                f"no readable relevance model: {type(error).__name__}: {error}",
                where=str(folder),
                mend="give the folder that `python -m encoders finetune` wrote, or fine-tune again",
            ) from error
        encoder: TextEncoder
        if kind == "hash":
            encoder = HashEncoder(int(description["encoder"]["width"]))
        elif kind == "onnx":
            from encoders.exporting.onnx_encoder import OnnxEncoder

            encoder = OnnxEncoder(folder / "encoder")
        elif kind == "static":
            from encoders.static import StaticEncoder

            encoder = StaticEncoder.load(folder / "encoder")
        else:
            from encoders.bert import BertEncoder

            max_length = int(description["encoder"]["max_length"])
            encoder = BertEncoder(folder / "encoder", device=device, max_length=max_length)
        spelling = bool(description.get("spelling", False))
        return cls(encoder, heads, item_columns=columns, cache=cache, known=known, spelling=spelling)


def tables_from_vectors(
    item: NDArray[np.float32],
    query: NDArray[np.float32],
    heads: Heads,
    known: KnownQueries | None = None,
    queries: Sequence[str] = (),
) -> RelevanceTables:
    """Dot-product tables of projected vectors; a column of ones carries intercepts.

    Args:
        item: (I, D).
        query: (Q, D), zeros for the empty query.
        heads: The layers on top.
        known: Offsets of queries that the log knows.
        queries: The texts (Q), to find those.
    """
    empty = ~query.any(axis=1)  # (Q,)
    rows, known_rows = (known or KnownQueries.none(item.shape[1])).rows(queries)

    def side(weight: NDArray[np.float32], preference: NDArray[np.float32]) -> NDArray[np.float32]:
        table = np.concatenate([query * weight, np.zeros((query.shape[0], 1), np.float32)], axis=1)
        table[empty] = preference
        return table

    click_query = side(heads.click_weight, heads.empty_click)
    if known is not None:
        click_query[rows] += known.click[known_rows]
    return RelevanceTables(
        item=np.concatenate([item, np.ones((item.shape[0], 1), np.float32)], axis=1),
        click_query=click_query,
        purchase_query=side(heads.purchase_weight, heads.empty_purchase),
        click_bias=float(heads.bias[0]),
        purchase_bias=float(heads.bias[1]),
    )


def raw_tables(
    item: NDArray[np.float32],
    query: NDArray[np.float32],
    heads: Heads,
    known: KnownQueries | None = None,
    queries: Sequence[str] = (),
) -> RelevanceTables:
    """`tables_from_vectors` of the text encoder's own vectors (I, D) and (Q, D), before the projection."""
    projected = project(item, heads.projection), project(query, heads.projection)
    return tables_from_vectors(*projected, heads, known, queries)
