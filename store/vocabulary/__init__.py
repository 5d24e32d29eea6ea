"""The words the demo shop is made of: product types, brands, colours, intents."""

from store.vocabulary.brands import BRANDS, BrandWord
from store.vocabulary.intents import INTENTS, IntentWord
from store.vocabulary.looks import COLORS, MATERIAL_STYLE, SIZES
from store.vocabulary.product_types import COMPLEMENTS, DEPARTMENTS, PRODUCT_TYPES, ProductType

__all__ = [
    "BRANDS",
    "COLORS",
    "COMPLEMENTS",
    "DEPARTMENTS",
    "INTENTS",
    "MATERIAL_STYLE",
    "PRODUCT_TYPES",
    "SIZES",
    "BrandWord",
    "IntentWord",
    "ProductType",
]
