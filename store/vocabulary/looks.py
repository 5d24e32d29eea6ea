"""Colours, materials and sizes, with the style directions that users' hidden tastes live in."""

from __future__ import annotations

__all__ = ["COLORS", "MATERIAL_STYLE", "SIZES"]

COLORS: dict[str, tuple[str, tuple[str, ...]]] = {
    # colour: (family, words shoppers use for it)
    "Black": ("dark", ("black",)),
    "Anthracite": ("dark", ("dark grey", "charcoal")),
    "Grey": ("neutral", ("grey", "gray")),
    "White": ("light", ("white",)),
    "Cream": ("light", ("cream", "off-white")),
    "Beige": ("light", ("beige", "sand")),
    "Natural": ("earth", ("natural",)),
    "Brown": ("earth", ("brown", "chocolate")),
    "Navy": ("blue", ("navy", "dark blue")),
    "Sky Blue": ("blue", ("light blue", "blue")),
    "Forest Green": ("green", ("green", "dark green")),
    "Sage": ("green", ("sage", "pale green")),
    "Burgundy": ("warm", ("burgundy", "wine red")),
    "Red": ("warm", ("red", "scarlet")),
    "Mustard": ("warm", ("mustard", "yellow")),
    "Rose": ("pastel", ("pink", "rose")),
}

_WORLDS = {
    "natural": (
        "Oak, Walnut, Pine, Teak, Acacia, Larch, Beech, Maple, Bamboo, Rattan, Jute, Cork, Sisal, Rope"
    ),
    "soft": "Linen, Cotton, Wool, Merino, Cashmere, Fleece, Flannel, Down, Velvet, Corduroy, Plush",
    "refined": "Leather, Suede, Silk, Marble, Brass, Gold, Silver, Pearl, Crystal, Porcelain, Copper",
    "craft": "Ceramic, Stoneware, Terracotta, Concrete, Glass, Canvas, Denim",
}

MATERIAL_STYLE: dict[str, str] = {
    # the last word of a material decides; whatever is not named here is "technical"
    material: world
    for world, materials in _WORLDS.items()
    for material in materials.split(", ")
}

SIZES: dict[str, tuple[str, ...]] = {
    "none": ("",),
    "width": ("60 cm", "90 cm", "120 cm", "160 cm", "200 cm"),
    "height": ("40 cm", "80 cm", "120 cm", "160 cm", "190 cm"),
    "length": ("20 cm", "45 cm", "110 cm", "150 cm", "180 cm"),
    "diameter": ("20 cm", "24 cm", "28 cm", "32 cm"),
    "bed": ("90 x 200 cm", "140 x 200 cm", "160 x 200 cm", "180 x 200 cm"),
    "pieces": ("4 Pieces", "6 Pieces", "12 Pieces", "24 Pieces"),
    "players": ("2-4 Players", "3-6 Players"),
    "volume": ("0.3 L", "0.5 L", "1 L", "1.7 L"),
    "litres": ("20 L", "28 L", "40 L", "65 L"),
    "clothes": ("S", "M", "L", "XL"),
    "shoes": ("38", "40", "42", "44"),
    "head": ("S/M", "L/XL"),
    "weight": ("2 x 5 kg", "2 x 10 kg", "2 x 20 kg"),
    "screen": ("10 inch", "13 inch", "15 inch", "27 inch"),
    "storage": ("128 GB", "256 GB", "512 GB"),
    "capacity": ("10,000 mAh", "20,000 mAh"),
    "volt": ("12 V", "18 V", "20 V"),
}
