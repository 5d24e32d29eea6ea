"""Generates what shoppers type: kinds of query, what each is after, how often each is asked."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from store.products import Products
from store.vocabulary import BRANDS, COLORS, INTENTS

__all__ = ["KIND_SHARES", "Want", "generate_queries", "query_frequency"]

KIND_SHARES: dict[str, float] = {
    "type": 0.17,
    "attribute": 0.19,
    "synonym": 0.20,
    "misspelling": 0.12,
    "vague": 0.10,
    "brand": 0.08,
    "slang": 0.14,
}
"""Shares of the kinds of query; what a kind cannot fill goes to attribute queries."""
_HEAD = {
    "type": 0.0,
    "brand": 0.6,
    "slang": 0.7,
    "synonym": 0.8,
    "vague": 1.0,
    "misspelling": 1.4,
    "attribute": 1.2,
}
"""How far from the head of the frequency list a kind starts."""


@dataclass(frozen=True, kw_only=True)
class Want:
    """A query and what it is after. Codes are those of `Products`; empty means "whatever"."""

    text: str
    query_kind: str
    kinds: tuple[int, ...] = ()
    colors: tuple[int, ...] = ()
    materials: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()
    brands: tuple[int, ...] = ()
    price: int = 0
    """-1: cheap, 1: premium."""
    words: dict[str, str] = field(default_factory=dict)
    """Which words of the text stand for what, for reading."""


def generate_queries(products: Products, n_queries: int, rng: np.random.Generator) -> tuple[Want, ...]:
    """`n_queries` distinct queries; row 0 is the empty one."""
    makers = {
        "type": _type_queries,
        "synonym": _synonym_queries,
        "slang": _slang_queries,
        "brand": _brand_queries,
        "vague": _vague_queries,
        "misspelling": _misspellings,
    }
    wants: list[Want] = [Want(text="", query_kind="home")]
    taken = {""}

    def add(candidates: list[Want], n: int) -> None:
        for want in candidates:
            if n <= 0:
                return
            if want.text not in taken:
                taken.add(want.text)
                wants.append(want)
                n -= 1

    for name, maker in makers.items():
        pool = maker(products, rng)
        order = rng.permutation(len(pool))
        add([pool[i] for i in order], max(1, round(KIND_SHARES[name] * n_queries)))
    while len(wants) < n_queries:
        before = len(wants)
        add([_attribute_query(products, rng) for _ in range(n_queries)], n_queries - len(wants))
        if len(wants) == before:  # everything that can be asked of these products is asked
            raise InputError(
                f"{products.kind.shape[0]} products do not give {n_queries} distinct queries, only {before}",
                where="n_queries",
                mend="ask for fewer queries or more products",
            )
    return tuple(wants[:n_queries])


def query_frequency(wants: tuple[Want, ...], rng: np.random.Generator) -> NDArray[np.float64]:
    """Share of each query among new needs (Q,): Zipf over a list led by plain product names; 0 for row 0."""
    depth = np.array([_HEAD.get(want.query_kind, 0.0) for want in wants]) + rng.exponential(0.7, len(wants))
    rank = np.empty(len(wants))
    rank[np.argsort(depth, kind="stable")] = np.arange(len(wants))
    share = 1.0 / (rank + 8.0)
    share[0] = 0.0
    return np.asarray(share / share.sum(), np.float64)


def _plural(name: str) -> str:
    return (
        name if name.endswith(("s", "Jeans")) else name + ("es" if name.endswith(("x", "ch", "sh")) else "s")
    )


def _type_queries(products: Products, rng: np.random.Generator) -> list[Want]:
    return [
        Want(text=text.lower(), query_kind="type", kinds=(t,))
        for t, spec in enumerate(products.kinds)
        for text in (spec.name,)
    ]


def _with_twist(products: Products, t: int, word: str, kind: str, rng: np.random.Generator) -> list[Want]:
    """The word alone, and with a colour, an attribute or a price in front."""
    spec = products.kinds[t]
    c = int(rng.integers(len(products.colors)))
    color_word = str(rng.choice(COLORS[products.colors[c]][1]))
    attribute = str(rng.choice(spec.attributes))
    return [
        Want(text=word, query_kind=kind, kinds=(t,)),
        Want(text=f"{color_word} {word}", query_kind=kind, kinds=(t,), colors=(c,)),
        Want(text=f"{attribute.lower()} {word}", query_kind=kind, kinds=(t,), attributes=(attribute,)),
        Want(text=f"cheap {word}", query_kind=kind, kinds=(t,), price=-1),
    ]


def _synonym_queries(products: Products, rng: np.random.Generator) -> list[Want]:
    return [
        Want(text=word, query_kind="synonym", kinds=(t,))
        for t, spec in enumerate(products.kinds)
        for word in spec.synonyms
    ]


def _slang_queries(products: Products, rng: np.random.Generator) -> list[Want]:
    """Words of this shop's own customers: several queries with each, so that clicks can teach them."""
    return [
        want
        for t, spec in enumerate(products.kinds)
        if spec.slang
        for want in _with_twist(products, t, spec.slang, "slang", rng)[:3]
    ]


def _brand_queries(products: Products, rng: np.random.Generator) -> list[Want]:
    wants = []
    for b in np.unique(products.brand):
        own = np.unique(products.kind[products.brand == b])
        word = BRANDS[b].name.lower()
        wants.append(Want(text=word, query_kind="brand", brands=(int(b),)))
        t = int(rng.choice(own))
        noun = products.kinds[t].name.lower()
        wants.append(Want(text=f"{word} {noun}", query_kind="brand", brands=(int(b),), kinds=(t,)))
        if BRANDS[b].nickname:
            wants.append(Want(text=BRANDS[b].nickname, query_kind="slang", brands=(int(b),)))
            t = int(rng.choice(own))
            noun = products.kinds[t].name.lower()
            wants.append(
                Want(text=f"{BRANDS[b].nickname} {noun}", query_kind="slang", brands=(int(b),), kinds=(t,))
            )
    return wants


def _vague_queries(products: Products, rng: np.random.Generator) -> list[Want]:
    wants = []
    for intent in INTENTS:
        kinds = tuple(t for t, spec in enumerate(products.kinds) if intent.tag in spec.tags)
        if kinds:
            wants += [Want(text=phrase, query_kind="vague", kinds=kinds) for phrase in intent.phrases]
    return wants


def _misspellings(products: Products, rng: np.random.Generator) -> list[Want]:
    wants = []
    for t, spec in enumerate(products.kinds):
        for noun in (spec.name.lower(), _plural(spec.name).lower()):
            text = " ".join(_misspell(word, rng) if len(word) > 3 else word for word in noun.split())
            if text != noun:
                wants.append(Want(text=text, query_kind="misspelling", kinds=(t,)))
    return wants


def _misspell(word: str, rng: np.random.Generator) -> str:
    """One slip of the finger inside the word: a swap, a drop, a double or a neighbour."""
    at = int(rng.integers(1, len(word) - 1))
    slip = int(rng.integers(4))
    if slip == 0:
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    if slip == 1:
        return word[:at] + word[at + 1 :]
    if slip == 2:
        return word[:at] + word[at] + word[at:]
    near = {"a": "e", "e": "a", "i": "y", "o": "u", "u": "o", "c": "k", "k": "c", "s": "z", "t": "d"}
    return word[:at] + near.get(word[at], "e") + word[at + 1 :]


def _attribute_query(products: Products, rng: np.random.Generator) -> Want:
    """One or two wishes before a product name, taken from a product that exists."""
    i = int(rng.integers(products.kind.shape[0]))
    t = int(products.kind[i])
    noun = products.kinds[t].name.lower()
    color, material, attribute = int(products.color[i]), str(products.material[i]), str(products.attribute[i])
    color_word = str(rng.choice(COLORS[products.colors[color]][1]))
    form = int(rng.integers(6))
    if form == 0:
        return Want(
            text=f"{color_word} {material.lower()} {noun}",
            query_kind="attribute",
            kinds=(t,),
            colors=(color,),
            materials=(material,),
        )
    if form == 1:
        return Want(text=f"{color_word} {noun}", query_kind="attribute", kinds=(t,), colors=(color,))
    if form == 2:
        return Want(
            text=f"{attribute.lower()} {noun}", query_kind="attribute", kinds=(t,), attributes=(attribute,)
        )
    if form == 3:
        return Want(
            text=f"{material.lower()} {noun}", query_kind="attribute", kinds=(t,), materials=(material,)
        )
    if form == 4:
        word, level = ("cheap", -1) if rng.random() < 0.6 else ("luxury", 1)
        return Want(text=f"{word} {noun}", query_kind="attribute", kinds=(t,), price=level)
    return Want(
        text=f"{attribute.lower()} {noun} {color_word}",
        query_kind="attribute",
        kinds=(t,),
        attributes=(attribute,),
        colors=(color,),
    )
