"""Text to vectors, vectors to relevance, relevance to candidates: everything that is computed before a session.

Heavy libraries (torch, transformers, scikit-learn) load only when a name that needs them is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from encoders.attributions import attribute_words
    from encoders.bert import BertEncoder
    from encoders.build import RelevanceSource, build_features
    from encoders.cache import EmbeddingCache, encode_cached
    from encoders.candidates import CandidateSource, ExactSource, build_candidates
    from encoders.contract import check_text_encoder
    from encoders.distillation import DistilConfig, distil
    from encoders.exporting.export import export_onnx
    from encoders.exporting.onnx_encoder import OnnxEncoder
    from encoders.features import CandidateTable, FeatureTables, RelevanceTables
    from encoders.finetuning import FinetuneConfig, finetune, finetune_cached
    from encoders.fusion.learning import FusionConfig, fit_fusion
    from encoders.measures.comparison import compare_tables
    from encoders.pairs import PairCounts, count_pairs, examination_by_position
    from encoders.privacy.finetuning import finetune_private
    from encoders.privacy.private import PrivacyConfig
    from encoders.relevance import RelevanceModel
    from encoders.report import RelevanceReport
    from encoders.retrieval.ann import AnnConfig, build_index, load_index
    from encoders.retrieval.mixing import CandidateConfig, CandidateFilter, mix_candidates
    from encoders.robustness.measure import measure_robustness
    from encoders.static import StaticEncoder
    from encoders.storage import load_candidates, load_features, save_candidates, save_features
    from encoders.tabular import FeatureEncoder, FeatureRelevance, fit_feature_relevance
    from encoders.text import HashEncoder, TextEncoder, catalog_texts

_HOME = {
    "AnnConfig": "retrieval.ann",
    "BertEncoder": "bert",
    "CandidateConfig": "retrieval.mixing",
    "CandidateFilter": "retrieval.mixing",
    "CandidateSource": "candidates",
    "CandidateTable": "features",
    "DistilConfig": "distillation",
    "EmbeddingCache": "cache",
    "ExactSource": "candidates",
    "FeatureEncoder": "tabular",
    "FeatureRelevance": "tabular",
    "FeatureTables": "features",
    "FinetuneConfig": "finetuning",
    "FusionConfig": "fusion.learning",
    "HashEncoder": "text",
    "OnnxEncoder": "exporting.onnx_encoder",
    "PairCounts": "pairs",
    "PrivacyConfig": "privacy.private",
    "RelevanceModel": "relevance",
    "RelevanceReport": "report",
    "RelevanceSource": "build",
    "RelevanceTables": "features",
    "StaticEncoder": "static",
    "TextEncoder": "text",
    "attribute_words": "attributions",
    "build_candidates": "candidates",
    "build_features": "build",
    "build_index": "retrieval.ann",
    "catalog_texts": "text",
    "check_text_encoder": "contract",
    "compare_tables": "measures.comparison",
    "count_pairs": "pairs",
    "distil": "distillation",
    "encode_cached": "cache",
    "examination_by_position": "pairs",
    "export_onnx": "exporting.export",
    "finetune": "finetuning",
    "finetune_cached": "finetuning",
    "finetune_private": "privacy.finetuning",
    "fit_feature_relevance": "tabular",
    "fit_fusion": "fusion.learning",
    "load_candidates": "storage",
    "load_features": "storage",
    "load_index": "retrieval.ann",
    "measure_robustness": "robustness.measure",
    "mix_candidates": "retrieval.mixing",
    "save_candidates": "storage",
    "save_features": "storage",
}

__all__ = [
    "AnnConfig",
    "BertEncoder",
    "CandidateConfig",
    "CandidateFilter",
    "CandidateSource",
    "CandidateTable",
    "DistilConfig",
    "EmbeddingCache",
    "ExactSource",
    "FeatureEncoder",
    "FeatureRelevance",
    "FeatureTables",
    "FinetuneConfig",
    "FusionConfig",
    "HashEncoder",
    "OnnxEncoder",
    "PairCounts",
    "PrivacyConfig",
    "RelevanceModel",
    "RelevanceReport",
    "RelevanceSource",
    "RelevanceTables",
    "StaticEncoder",
    "TextEncoder",
    "attribute_words",
    "build_candidates",
    "build_features",
    "build_index",
    "catalog_texts",
    "check_text_encoder",
    "compare_tables",
    "count_pairs",
    "distil",
    "encode_cached",
    "examination_by_position",
    "export_onnx",
    "finetune",
    "finetune_cached",
    "finetune_private",
    "fit_feature_relevance",
    "fit_fusion",
    "load_candidates",
    "load_features",
    "load_index",
    "measure_robustness",
    "mix_candidates",
    "save_candidates",
    "save_features",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'encoders' has no attribute {name!r}")
    value = getattr(import_module(f"encoders.{_HOME[name]}"), name)
    globals()[name] = value
    return value
