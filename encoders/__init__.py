"""Text to vectors, vectors to relevance, relevance to candidates: everything that is computed before a session.

Heavy libraries (torch, transformers, scikit-learn) load only when a name that needs them is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from encoders.bert import BertEncoder
    from encoders.build import RelevanceSource, build_features
    from encoders.cache import EmbeddingCache, encode_cached
    from encoders.candidates import CandidateSource, ExactSource, build_candidates
    from encoders.contract import check_text_encoder
    from encoders.features import CandidateTable, FeatureTables, RelevanceTables
    from encoders.finetuning import FinetuneConfig, finetune, finetune_cached
    from encoders.pairs import PairCounts, count_pairs, examination_by_position
    from encoders.relevance import RelevanceModel
    from encoders.report import RelevanceReport
    from encoders.storage import load_candidates, load_features, save_candidates, save_features
    from encoders.tabular import FeatureEncoder, FeatureRelevance, fit_feature_relevance
    from encoders.text import HashEncoder, TextEncoder, catalog_texts

_HOME = {
    "BertEncoder": "bert",
    "CandidateSource": "candidates",
    "CandidateTable": "features",
    "EmbeddingCache": "cache",
    "ExactSource": "candidates",
    "FeatureEncoder": "tabular",
    "FeatureRelevance": "tabular",
    "FeatureTables": "features",
    "FinetuneConfig": "finetuning",
    "HashEncoder": "text",
    "PairCounts": "pairs",
    "RelevanceModel": "relevance",
    "RelevanceReport": "report",
    "RelevanceSource": "build",
    "RelevanceTables": "features",
    "TextEncoder": "text",
    "build_candidates": "candidates",
    "build_features": "build",
    "catalog_texts": "text",
    "check_text_encoder": "contract",
    "count_pairs": "pairs",
    "encode_cached": "cache",
    "examination_by_position": "pairs",
    "finetune": "finetuning",
    "finetune_cached": "finetuning",
    "fit_feature_relevance": "tabular",
    "load_candidates": "storage",
    "load_features": "storage",
    "save_candidates": "storage",
    "save_features": "storage",
}

__all__ = [
    "BertEncoder",
    "CandidateSource",
    "CandidateTable",
    "EmbeddingCache",
    "ExactSource",
    "FeatureEncoder",
    "FeatureRelevance",
    "FeatureTables",
    "FinetuneConfig",
    "HashEncoder",
    "PairCounts",
    "RelevanceModel",
    "RelevanceReport",
    "RelevanceSource",
    "RelevanceTables",
    "TextEncoder",
    "build_candidates",
    "build_features",
    "catalog_texts",
    "check_text_encoder",
    "count_pairs",
    "encode_cached",
    "examination_by_position",
    "finetune",
    "finetune_cached",
    "fit_feature_relevance",
    "load_candidates",
    "load_features",
    "save_candidates",
    "save_features",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'encoders' has no attribute {name!r}")
    value = getattr(import_module(f"encoders.{_HOME[name]}"), name)
    globals()[name] = value
    return value
