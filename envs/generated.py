"""Generated shops: catalogue, queries, candidates and built-in shoppers, of any size, from one seed.

An item has a topic, which queries ask for, and a style, which users have a taste for; the candidates of a query
share its topic and differ in style. Users grow bored with styles. What else there is to an item (price, lure, quality,
worth) is drawn as `ShopSpec` says.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import overload

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from behavior.numeric import check_integer, check_real
from encoders.features import CandidateTable, FeatureTables, RelevanceTables
from envs.world import World
from simulators.shopper import ItemTraits, Shopper, ShopperSimulator
from simulators.shopper_checks import check_shopper

__all__ = ["ShopSpec", "Titles", "generate_world", "style_name"]

_STYLES = ("Red", "Blue", "Oak", "Steel", "Soft", "Small", "Large", "Light", "Classic", "Travel")
_TOPICS = ("chair", "lamp", "kettle", "jacket", "mug", "shelf", "boots", "blanket", "clock", "bag")
_POOL = 2000
"""Items among which the candidates of a query are sought, in a catalogue that is larger."""
_CHUNK = 1 << 16
"""Items generated at a time: bounds the memory in double precision."""
_SIZES = {
    "n_items": (1, 1 << 24),
    "n_queries": (1, 1 << 24),
    "n_candidates": (1, 1 << 24),
    "width": (2, 1 << 16),
    "n_topics": (1, 1 << 24),
    "n_styles": (1, 1 << 16),
    "n_brands": (0, 1 << 24),
    "seed": (0, (1 << 64) - 1),
}
_RANGES = {
    "style_share": (0.0, 1.0),
    "noise": (0.0, 1e6),
    "lure_quality": (-1.0, 1.0),
    "rating_noise": (0.0, 1e6),
    "style_worth": (0.0, 1e6),
    "price_spread": (0.0, 10.0),  # prices beyond would not be finite in single precision
    "sponsored_share": (0.0, 1.0),
}


@dataclass(frozen=True, kw_only=True)
class ShopSpec:
    """What a generated shop is like."""

    n_items: int = 1000
    """Catalogue items I."""
    n_queries: int = 50
    """Queries Q."""
    n_candidates: int = 50
    """Candidates N per query, the most relevant first."""
    width: int = 16
    """Vector width D, even: one half topic, one half style."""
    n_topics: int = 10
    """Topics; a catalogue beyond 2,000 items has as many as it takes to find candidates fast."""
    n_styles: int = 10
    """Styles, which are also the categories, the personas and what users grow bored with."""
    style_share: float = 0.5
    """Share of an item's unit length (squared) that is style."""
    noise: float = 0.5
    """Length of an item's own part of topic and of style, against 1 of the common part."""
    lure_quality: float = 0.0
    """Correlation of lure and quality, -1 to 1."""
    rating_noise: float = 0.5
    """Standard deviation of the public rating about the quality, whose own is 1."""
    style_worth: float = 0.0
    """Standard deviation of a style's mean worth; items scatter around it by a quarter of that."""
    price_spread: float = 0.6
    """Standard deviation of log prices."""
    margin: tuple[float, float] = (0.1, 0.5)
    """Smallest and largest share of the price that the shop keeps."""
    fresh_items: bool = False
    """Whether items arrive week by week: a week's candidates are then what has come, newest unknown to the model."""
    n_brands: int = 0
    """Brands, spread over all items; 0: none."""
    sponsored_share: float = 0.0
    """Share of items that somebody pays for to be shown."""
    shopper: Shopper = field(default_factory=Shopper)
    """The users."""
    seed: int = 0
    """Of the shop, not of its users."""


class Titles(Sequence[str]):
    """Product titles made when they are asked for: a million of them need no memory.

    Args:
        topic: (I,) topic codes.
        style: (I,) style codes.
    """

    def __init__(self, topic: NDArray[np.int32], style: NDArray[np.int32]) -> None:
        self._topic, self._style = topic, style

    def __len__(self) -> int:
        return int(self._topic.shape[0])

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...

    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        row = range(len(self))[index]  # IndexError beyond the end
        topic = _TOPICS[self._topic[row] % len(_TOPICS)]
        return f"{style_name(int(self._style[row]))} {topic} {row}"

    def __iter__(self) -> Iterator[str]:
        return (self[row] for row in range(len(self)))


def style_name(style: int) -> str:
    """The word that stands for a style in titles."""
    return _STYLES[style % len(_STYLES)]


def generate_world(spec: ShopSpec) -> World:
    """The shop that `spec` describes.

    Raises:
        InputError: Sizes that do not fit each other.
    """
    _check(spec)
    rng = np.random.default_rng(spec.seed)
    n_items, Q, half = spec.n_items, spec.n_queries, spec.width // 2
    weeks = spec.shopper.n_weeks
    n_topics = max(spec.n_topics, -(-n_items // _POOL)) if n_items > _POOL else spec.n_topics
    topics, styles = _unit(rng.normal(size=(n_topics, half))), _unit(rng.normal(size=(spec.n_styles, half)))
    topic = rng.permutation(np.arange(n_items, dtype=np.int32) % n_topics).astype(np.int32)
    style = rng.integers(0, spec.n_styles, n_items).astype(np.int32)
    items = np.empty((n_items, spec.width), np.float32)
    for start in range(0, n_items, _CHUNK):
        rows = slice(start, min(n_items, start + _CHUNK))
        items[rows] = _joined(topics[topic[rows]], styles[style[rows]], spec, rng)

    asked = np.tile(np.arange(-(-Q // weeks)) % n_topics, weeks)[:Q]  # each week asks for every topic
    towards = _unit(topics[asked] + 0.4 * rng.normal(size=(Q, half)) / np.sqrt(half))
    query = np.concatenate([towards, np.zeros((Q, half))], axis=1).astype(np.float32)  # (Q, D) topic alone
    personas = np.concatenate([np.zeros((spec.n_styles, half)), styles], axis=1).astype(np.float32)

    log_price = rng.normal(3.0, spec.price_spread, n_items)
    price = np.round(np.exp(log_price), 2).astype(np.float32)
    price_z = ((log_price - 3.0) / max(spec.price_spread, 1e-9)).astype(np.float32)
    lure = rng.normal(size=n_items)
    own = np.sqrt(1.0 - spec.lure_quality**2)
    quality = spec.lure_quality * lure + own * rng.normal(size=n_items)
    rating = quality + spec.rating_noise * rng.normal(size=n_items)
    by_style = spec.style_worth * rng.normal(size=spec.n_styles)
    worth = by_style[style] + 0.25 * spec.style_worth * rng.normal(size=n_items)
    margin = rng.uniform(*spec.margin, n_items).astype(np.float32)
    arrival = (
        rng.integers(-weeks, weeks, n_items) if spec.fresh_items else np.full(n_items, -1)
    )  # < 0: from the start

    user = spec.shopper
    relevance = RelevanceTables(
        item=items,
        click_query=(user.query_fit * query).astype(np.float32),
        purchase_query=np.zeros_like(query),
        click_bias=user.click_bias,
        purchase_bias=user.purchase_bias,
    )
    week = np.arange(Q) // max(Q // weeks, 1)
    candidates = _candidates(spec, items, query, topic, asked, arrival, week)
    scores = np.concatenate(
        [
            relevance.click_probability(
                np.arange(s, min(Q, s + 1024), dtype=np.int32), candidates[s : s + 1024]
            )
            for s in range(0, Q, 1024)
        ]
    )
    # The public click rate of an item: what an average user, neither keen nor bored, does.
    rate = 1.0 / (1.0 + np.exp(-(user.click_bias + user.lure_fit * lure + 0.3 * rng.normal(size=n_items))))
    popularity = np.where(arrival >= 0, rate.mean(), rate).astype(np.float32)  # nothing is known of newcomers
    numeric = [price_z, _standard(popularity), _standard(np.where(arrival >= 0, 0.0, rating))]
    names = ["log_price", "popularity", "rating"]
    if spec.fresh_items:
        numeric.append(((arrival - weeks / 2) / weeks).astype(np.float32))
        names.append("arrival")
    return World(
        simulator=ShopperSimulator(
            item_vectors=items,
            query_vectors=query,
            personas=personas,
            traits=ItemTraits(
                price=price_z,
                group=style,
                lure=lure.astype(np.float32),
                quality=quality.astype(np.float32),
                worth=worth.astype(np.float32),
            ),
            shopper=user,
        ),
        candidates=CandidateTable(items=candidates, scores=scores),
        features=FeatureTables(
            item_vectors=items,
            query_vectors=query,
            item_numeric=np.stack(numeric, axis=1).astype(np.float32),
            numeric_names=tuple(names),
            item_category=style,
            n_categories=spec.n_styles,
            price=price,
            popularity=popularity,
            relevance=relevance,
            margin=margin,
        ),
        titles=Titles(topic, style),
        brand=rng.integers(0, spec.n_brands, n_items).astype(np.int32) if spec.n_brands else None,
        sponsored=rng.random(n_items) < spec.sponsored_share if spec.sponsored_share > 0.0 else None,
        queries=tuple(f"{_TOPICS[t % len(_TOPICS)]} #{q}" for q, t in enumerate(asked.tolist())),
    )


def _check(spec: ShopSpec) -> None:
    for name, (fewest, greatest) in _SIZES.items():
        check_integer(getattr(spec, name), where=f"ShopSpec.{name}", least=fewest, most=greatest)
    for name, (least, most) in _RANGES.items():
        check_real(getattr(spec, name), where=f"ShopSpec.{name}", least=least, most=most)
    if spec.n_candidates > spec.n_items:
        raise InputError(
            f"n_candidates is {spec.n_candidates}, but must lie between 1 and n_items = {spec.n_items}",
            where="ShopSpec.n_candidates",
            mend="ask for fewer candidates or more items",
        )
    if spec.width % 2:
        raise InputError(
            f"width is {spec.width}",
            where="ShopSpec.width",
            mend="choose an even width: half topic, half style",
        )
    if not isinstance(spec.shopper, Shopper):
        raise InputError(
            f"shopper is {spec.shopper!r}", where="ShopSpec.shopper", mend="give a simulators.Shopper"
        )
    check_shopper(spec.shopper, spec.n_queries)
    shares = spec.margin if isinstance(spec.margin, tuple | list) else ()
    for share in shares:
        check_real(share, where="ShopSpec.margin", least=0.0, most=1.0)
    if len(shares) != 2 or shares[0] > shares[1]:
        raise InputError(
            f"margin is {spec.margin}",
            where="ShopSpec.margin",
            mend="choose the smallest and the largest share, between 0 and 1",
        )


def _candidates(
    spec: ShopSpec,
    items: NDArray[np.float32],
    query: NDArray[np.float32],
    topic: NDArray[np.int32],
    asked: NDArray[np.int64],
    arrival: NDArray[np.int64],
    week: NDArray[np.int64],
) -> NDArray[np.int32]:
    """The N items (Q, N) nearest to each query, of those that have arrived, best first; ties by row."""
    N = spec.n_candidates
    out = np.empty((query.shape[0], N), np.int32)
    everything = np.arange(spec.n_items)
    by_topic = np.argsort(topic, kind="stable")
    start = np.searchsorted(topic[by_topic], np.arange(topic.max() + 2))
    for q, vector in enumerate(query):
        pool = everything if spec.n_items <= _POOL else by_topic[start[asked[q]] : start[asked[q] + 1]]
        if spec.fresh_items:
            pool = pool[arrival[pool] <= week[q]]
        if pool.size < N:
            raise InputError(
                f"query {q} finds {pool.size} items in its pool, but {N} candidates are asked for",
                where="ShopSpec.n_candidates",
                mend="ask for fewer candidates, or for more items",
            )
        fit = items[pool] @ vector
        nearest = np.argpartition(-fit, N - 1)[:N] if pool.size > N else np.arange(N)
        out[q] = pool[nearest[np.lexsort((pool[nearest], -fit[nearest]))]]
    return out


def _joined(
    topic: NDArray[np.float64], style: NDArray[np.float64], spec: ShopSpec, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Unit vectors (M, D): topic and style halves, each with the item's own part."""
    half = topic.shape[1]
    own = spec.noise / np.sqrt(half)
    first = _unit(topic + own * rng.standard_normal(topic.shape, np.float32))
    second = _unit(style + own * rng.standard_normal(style.shape, np.float32))
    share = np.sqrt(spec.style_share)
    return np.concatenate([np.sqrt(1.0 - spec.style_share) * first, share * second], axis=1).astype(
        np.float32
    )


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    unit: NDArray[np.float64] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def _standard(values: NDArray[np.floating]) -> NDArray[np.float32]:
    centred = np.asarray(values, np.float64) - values.mean()
    standard: NDArray[np.float32] = (centred / (centred.std() + 1e-9)).astype(np.float32)
    return standard
