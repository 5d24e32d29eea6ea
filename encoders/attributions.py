"""Why an item scores as it does for a query: what each word adds to the logit of a click.

Shapley values (Shapley 1953; Lundberg and Lee, "A unified approach to interpreting model predictions", NeurIPS 2017) of
a game whose players are the words of one text: the value of a set of words is the logit with only these words left in
the text, in their order. They are estimated by permutations (Castro, Gomez, Tejada 2009) by the library captum: along a
permutation the words come in one by one and each gets what it adds, so the values add up to the logit of the whole text
less that of the text without words, exactly, however few permutations are drawn. Any encoder can be explained: only its
scores are asked for.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from encoders.cache import encode_cached
from encoders.relevance import project, tables_from_vectors

if TYPE_CHECKING:
    from encoders.relevance import RelevanceModel

__all__ = ["HAS_CAPTUM", "TextAttribution", "WordShare", "attribute_words", "shapley_values"]

HAS_CAPTUM = importlib.util.find_spec("captum") is not None


@dataclass(frozen=True, kw_only=True)
class WordShare:
    """A word and what it adds to the logit."""

    word: str
    value: float


@dataclass(frozen=True, kw_only=True)
class TextAttribution:
    """The score of an item for a query, told by words; `base` and the values of one text add up to `logit`."""

    query: str
    item: str
    logit: float
    """Of a click, once the item is looked at."""
    probability: float
    """The same as a probability."""
    item_base: float
    """Logit of an item without words."""
    item_words: tuple[WordShare, ...]
    """What the item's words add, the query whole."""
    query_base: float
    """Logit of a query without words."""
    query_words: tuple[WordShare, ...]
    """What the query's words add, the item whole."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TextAttribution:
        """The reverse of `as_dict`."""
        words = {
            name: tuple(WordShare(**entry) for entry in values[name])
            for name in ("item_words", "query_words")
        }
        return cls(**{**values, **words})


def attribute_words(
    model: RelevanceModel,
    query: str,
    item: str,
    *,
    permutations: int = 10,
    most_words: int = 40,
    seed: int = 0,
    known_as: str | None = None,
) -> TextAttribution:
    """Explain the click logit of the item text `item` for `query`.

    Args:
        model: The relevance model.
        query: Its text as the model reads it (`RelevanceModel.read`), not empty.
        item: The item's text (`catalog_texts`).
        permutations: Orders in which the words of a text come in; more make the values steadier.
        most_words: Words beyond these are one player, the text's rest.
        seed: Of the permutations.
        known_as: The query as it was written, by which the log may know it; `query` by default.

    Raises:
        InputError: A query without words, or captum is not installed.
    """
    if not query.split():
        raise InputError("a query without words has nothing to explain", where="attribute_words(query=...)")
    sides: dict[str, tuple[list[str], float, NDArray[np.float64]]] = {}
    logit = 0.0
    for side in ("item", "query"):
        words = _words(item if side == "item" else query, most_words)
        score = _game(
            model,
            query,
            item,
            words,
            "item" if side == "item" else "query",
            query if known_as is None else known_as,
        )
        whole, none = score(np.stack([np.ones(len(words)), np.zeros(len(words))]))
        values = shapley_values(score, len(words), permutations=permutations, seed=seed)
        sides[side], logit = (words, float(none), values), float(whole)

    def shares(side: str) -> tuple[WordShare, ...]:
        words, _, values = sides[side]
        return tuple(WordShare(word=w, value=float(v)) for w, v in zip(words, values, strict=True))

    return TextAttribution(
        query=query,
        item=item,
        logit=logit,
        probability=float(1.0 / (1.0 + np.exp(-logit))),
        item_base=sides["item"][1],
        item_words=shares("item"),
        query_base=sides["query"][1],
        query_words=shares("query"),
    )


def shapley_values(
    score: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    n_players: int,
    *,
    permutations: int,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Shapley values (n,) by sampled permutations; their sum is `score(all) - score(none)`.

    Args:
        score: Values (m,) of the sets of players given as rows of 0 and 1 (m, n).
        n_players: `n`.
        permutations: Permutations drawn.
        seed: Of the permutations.

    Raises:
        InputError: The library captum is not installed.
    """
    if not HAS_CAPTUM:
        raise InputError(
            "attributions need the library captum",
            where="encoders.attributions",
            mend="pip install -e '.[relevance]'",
        )
    if n_players == 0:
        return np.zeros(0)
    import torch
    from captum.attr import ShapleyValueSampling

    def forward(sets: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(np.asarray(score(sets.numpy().astype(np.float64)), np.float64))

    # Captum draws from torch's global generator: it is put back afterwards.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        found = ShapleyValueSampling(forward).attribute(
            torch.ones((1, n_players), dtype=torch.float64),
            baselines=torch.zeros((1, n_players), dtype=torch.float64),
            n_samples=permutations,
            perturbations_per_eval=n_players,
        )
    return np.asarray(found.numpy()[0], np.float64)


def _words(text: str, most: int) -> list[str]:
    words = text.split()
    return words if len(words) <= most else [*words[: most - 1], " ".join(words[most - 1 :])]


def _game(
    model: RelevanceModel,
    query: str,
    item: str,
    words: Sequence[str],
    side: Literal["item", "query"],
    known_as: str,
) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """Sets of words (m, n) to logits (m,)."""

    def vectors(texts: list[str]) -> NDArray[np.float32]:
        # Without the cache: fragments of texts are not worth keeping.
        return project(encode_cached(model.encoder, texts, None, progress=False), model.heads.projection)

    other = vectors([query if side == "item" else item])

    def score(sets: NDArray[np.float64]) -> NDArray[np.float64]:
        texts = [" ".join(w for w, kept in zip(words, row, strict=True) if kept > 0.5) for row in sets]
        own = vectors(texts)
        items, queries = (own, other) if side == "item" else (other, own)
        # The whole query decides whether the log knows it: its offset does not come and go with a word.
        tables = tables_from_vectors(items, queries, model.heads, model.known, [known_as] * len(queries))
        logits = (tables.click_query @ tables.item.T).ravel() + np.float32(tables.click_bias)
        return logits.astype(np.float64)

    return score
