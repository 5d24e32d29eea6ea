"""Feature tables in a minute: a relevance model on word hashes, for commands that were given no run."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from behavior.catalog import Catalog
    from behavior.steps import LoggedSteps
    from encoders.features import FeatureTables

__all__ = ["quick_tables"]


def quick_tables(
    catalog: Catalog, train: LoggedSteps, valid: LoggedSteps, *, progress: bool = True
) -> FeatureTables:
    """Tables learned from word hashes, or from the catalogue's columns where the log has no query texts."""
    from encoders import FinetuneConfig, HashEncoder, build_features, finetune, fit_feature_relevance

    if any(text.strip() for text in train.queries):
        model, _ = finetune(
            HashEncoder(), catalog, train, valid, FinetuneConfig(mode="heads"), progress=progress
        )
        return build_features(catalog, train.queries, train, model, progress=progress)
    return build_features(
        catalog, train.queries, train, fit_feature_relevance(catalog, train), progress=progress
    )
