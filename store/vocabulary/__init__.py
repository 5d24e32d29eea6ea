"""The words the demo shop is made of: product types, brands, colours, intents."""

from store.vocabulary.brands import BRANDS, BrandWord
from store.vocabulary.intents import INTENTS, IntentWord
from store.vocabulary.looks import COLORS, MATERIAL_STYLE, SIZES
from store.vocabulary.product_types import COMPLEMENTS, DEPARTMENTS, PRODUCT_TYPES, ProductType
from store.vocabulary.synonyms import synonyms_of_titles

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
    "synonyms_of_titles",
]
