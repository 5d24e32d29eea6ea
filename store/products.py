"""Generates the products: what the shop shows of them, and what only the true user finds out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from store.kernels.layout import STYLE
from store.vocabulary import (
    BRANDS,
    COLORS,
    DEPARTMENTS,
    MATERIAL_STYLE,
    PRODUCT_TYPES,
    SIZES,
    BrandWord,
    ProductType,
)

__all__ = ["Products", "generate_products"]

_SERIES = (
    "Alba",
    "Arvo",
    "Bela",
    "Brisa",
    "Calla",
    "Dara",
    "Elin",
    "Enzo",
    "Faro",
    "Finn",
    "Gala",
    "Hedda",
    "Ilmo",
    "Ines",
    "Juno",
    "Kaia",
    "Kelo",
    "Lana",
    "Lido",
    "Luma",
    "Mara",
    "Milo",
    "Nika",
    "Nova",
    "Olin",
    "Oro",
    "Pila",
    "Quin",
    "Rana",
    "Rilo",
    "Saga",
    "Sora",
    "Tami",
    "Taro",
    "Ulla",
    "Vela",
    "Vigo",
    "Willa",
    "Yara",
    "Zeno",
)
_PROMOTIONS = ("Hot Deal", "As Seen on TV", "Limited Edition", "Bestseller", "Must-Have")
_TITLES = (
    "{brand} {series} {attribute} {material} {type}, {size}, {color}",
    "{brand} {type} {series}, {attribute}, {color} {material}, {size}",
    "{brand} {series} {type} in {color}, {material}, {attribute}, {size}",
    "{series} {attribute} {type} by {brand}, {material}, {size}, {color}",
)
_OPENINGS = (
    "The {series} by {brand} is made of {material} and finished in {color}.",
    "{attribute_lower} and carefully built, this model comes in {color} {material}.",
    "{brand} makes the {series} from selected {material}; this one is {color}.",
    "A {attribute_lower} design in {material}, here in {color}.",
    "Made of {material} in {color}, with the {attribute_lower} construction that {brand} is known for.",
)
_CLOSINGS = (
    "Measures {size} and ships within two days.",
    "Comes with a two-year guarantee from the maker.",
    "Easy to clean and made to last for years.",
    "Delivered in recycled packaging, with free returns.",
    "Size {size}; care instructions are enclosed.",
    "A favourite of our regular customers.",
    "Tested by our own team before it went on sale.",
)


@dataclass(frozen=True, kw_only=True)
class Products:
    """`I` products as arrays. `kind` is a row of `kinds`, `brand` one of `BRANDS`, `color` one of `colors`."""

    kinds: tuple[ProductType, ...]
    colors: tuple[str, ...]
    kind: NDArray[np.int32]  # (I,)
    department: NDArray[np.int32]  # (I,) row of `DEPARTMENTS`
    brand: NDArray[np.int32]  # (I,)
    color: NDArray[np.int32]  # (I,)
    material: NDArray[np.str_]  # (I,)
    attribute: NDArray[np.str_]  # (I,)
    price: NDArray[np.float64]  # (I,)
    price_relative: NDArray[np.float32]  # (I,) log price over the kind's median
    quality: NDArray[np.float32]  # (I,) hidden
    hype: NDArray[np.float32]  # (I,) hidden
    style: NDArray[np.float32]  # (I, STYLE) hidden
    demand: NDArray[np.float32]  # (I,) standardised log of past sales
    frame: pd.DataFrame  # the public catalogue


def generate_products(n_products: int, rng: np.random.Generator) -> Products:
    """A shop's products: kinds spread over all departments, about equally many of each."""
    n_kinds = int(np.clip(n_products // 12, len(DEPARTMENTS), len(PRODUCT_TYPES)))
    kinds = tuple(PRODUCT_TYPES[i] for i in np.linspace(0, len(PRODUCT_TYPES) - 1, n_kinds).astype(int))
    colors = tuple(COLORS)
    weights = rng.gamma(6.0, size=n_kinds)
    kind = np.sort(
        np.concatenate(
            [
                np.repeat(np.arange(n_kinds), min(4, n_products // n_kinds)),
                rng.choice(
                    n_kinds, n_products - n_kinds * min(4, n_products // n_kinds), p=weights / weights.sum()
                ),
            ]
        )
    ).astype(np.int32)
    department = np.array([DEPARTMENTS.index(kinds[t].department) for t in kind], np.int32)
    brand, color = np.empty(n_products, np.int32), np.empty(n_products, np.int32)
    material, attribute, size = [], [], []
    by_department = [
        [b for b, word in enumerate(BRANDS) if d in word.departments] for d in range(len(DEPARTMENTS))
    ]
    for i, t in enumerate(kind):
        spec = kinds[t]
        brand[i] = rng.choice(by_department[department[i]])
        color[i] = rng.integers(len(colors))
        material.append(str(rng.choice(spec.materials)))
        attribute.append(str(rng.choice(spec.attributes)))
        size.append(str(rng.choice(SIZES[spec.size])))
    tier = np.array([BRANDS[b].tier for b in brand])
    # Hidden: better brands make better things; hype has little to do with either.
    quality = (0.45 * (tier - 1) + rng.normal(0.0, 0.9, n_products)).astype(np.float32)
    hype = np.where(rng.random(n_products) < 0.3, rng.gamma(6.0, 0.2, n_products), 0.0).astype(np.float32)
    price = _prices(kinds, kind, tier, quality, rng)
    median = np.array([np.median(price[kind == t]) for t in range(n_kinds)])
    price_relative = np.log(price / median[kind]).astype(np.float32)
    demand = 0.55 * quality + 0.6 * hype - 0.5 * price_relative + rng.normal(0.0, 0.8, n_products)
    demand = ((demand - demand.mean()) / demand.std()).astype(np.float32)
    rating_count = np.maximum(1, rng.poisson(np.exp(3.4 + 0.9 * demand)))
    # Public: the average of few votes is a noisy view of quality, and hype sweetens it.
    rating = 3.9 + 0.38 * quality + 0.1 * hype + rng.normal(0.0, 0.7, n_products) / np.sqrt(rating_count)
    rating = np.round(np.clip(rating, 1.0, 5.0), 1)
    # What disappoints is sent back: the public, noisy trace of hype.
    returned = 0.08 + 0.055 * hype - 0.02 * quality + rng.normal(0.0, 0.025, n_products)
    titles, texts = _texts(kinds, kind, brand, color, material, attribute, size, hype, rng)
    frame = pd.DataFrame(
        {
            "item_id": [f"P{i:05d}" for i in range(n_products)],
            "title": titles,
            "text": texts,
            "category": [kinds[t].category for t in kind],
            "price": price,
            "rating": rating,
            "rating_count": rating_count.astype(np.int64),
            "return_rate": np.round(np.clip(returned, 0.0, 1.0), 3),
            "brand": [BRANDS[b].name for b in brand],
            "color": [colors[c] for c in color],
            "material": material,
        }
    )
    return Products(
        kinds=kinds,
        colors=colors,
        kind=kind,
        department=department,
        brand=brand,
        color=color,
        material=np.array(material),
        attribute=np.array(attribute),
        price=price,
        price_relative=price_relative,
        quality=quality,
        hype=hype,
        style=_styles(colors, color, material, brand, rng),
        demand=demand,
        frame=frame,
    )


def _prices(
    kinds: tuple[ProductType, ...],
    kind: NDArray[np.int32],
    tier: NDArray[np.int64],
    quality: NDArray[np.float32],
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Log-normal about the kind's price, by tier and a little by quality, ending as prices do."""
    base = np.array([kinds[t].price for t in kind])
    price = base * np.exp(0.42 * (tier - 1) + 0.05 * quality + rng.normal(0.0, 0.28, kind.shape[0]))
    coarse = np.where(price >= 200, 10.0, np.where(price >= 40, 5.0, 1.0))
    return np.asarray(np.maximum(np.round(price / coarse), 1.0) * coarse - 0.05, np.float64).round(2)


def _styles(
    colors: tuple[str, ...],
    color: NDArray[np.int32],
    material: list[str],
    brand: NDArray[np.int32],
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Style from colour family, material world and brand, with some of its own; match with a taste has sd 1."""
    families = {name: rng.normal(size=STYLE) for name in sorted({COLORS[c][0] for c in colors})}
    worlds = {name: rng.normal(size=STYLE) for name in sorted({*MATERIAL_STYLE.values(), "technical"})}
    houses = rng.normal(size=(len(BRANDS), STYLE))
    style = np.stack(
        [
            0.55 * families[COLORS[colors[c]][0]]
            + 0.5 * worlds[MATERIAL_STYLE.get(m.split()[-1], "technical")]
            + 0.5 * houses[b]
            for c, m, b in zip(color, material, brand, strict=True)
        ]
    )
    style += 0.45 * rng.normal(size=style.shape)
    return np.asarray(style / np.sqrt((style**2).sum(axis=1).mean()), np.float32)


def _texts(
    kinds: tuple[ProductType, ...],
    kind: NDArray[np.int32],
    brand: NDArray[np.int32],
    color: NDArray[np.int32],
    material: list[str],
    attribute: list[str],
    size: list[str],
    hype: NDArray[np.float32],
    rng: np.random.Generator,
) -> tuple[list[str], list[str]]:
    """Titles and two-sentence descriptions; loud words stand more often on hyped goods."""
    colors = tuple(COLORS)
    titles: list[str] = []
    texts: list[str] = []
    taken: set[str] = set()
    for i, t in enumerate(kind):
        house: BrandWord = BRANDS[brand[i]]
        words = {
            "brand": house.name,
            "type": kinds[t].name,
            "material": material[i],
            "attribute": attribute[i],
            "attribute_lower": attribute[i].lower(),
            "color": colors[color[i]],
            "size": size[i],
        }
        series = list(rng.permutation(_SERIES))
        template = _TITLES[rng.integers(len(_TITLES))]
        title = ""
        for name in series:  # a title names one product
            words["series"] = str(name)
            title = template.format(**words).replace(", ,", ",").strip().strip(",").replace("  ", " ")
            if title not in taken:
                break
        taken.add(title)
        if rng.random() < (0.5 if hype[i] > 0 else 0.06):
            title = f"{title} - {_PROMOTIONS[rng.integers(len(_PROMOTIONS))]}"
        closings = [c for c in _CLOSINGS if size[i] or "{size}" not in c]
        opening = _OPENINGS[rng.integers(len(_OPENINGS))].format(**words)
        closing = closings[rng.integers(len(closings))].format(**words)
        titles.append(title)
        texts.append(f"{title}. {opening[0].upper()}{opening[1:]} {closing}")
    return titles, texts
