from __future__ import annotations

import numpy as np
import pytest

from encoders import HashEncoder
from encoders.finetuning import FinetuneConfig, finetune
from encoders.heads import HeadConfig
from encoders.robustness import AdversaryConfig, against


def test_finetune_meets_its_adversary(shop) -> None:
    def projection(kind: str) -> np.ndarray:
        config = FinetuneConfig(heads=HeadConfig(steps=5), adversary=AdversaryConfig(kind=kind, epsilon=0.3))
        return finetune(HashEncoder(), shop.catalog, shop.steps, None, config, progress=False)[
            0
        ].heads.projection

    plain, fgm = projection("none"), projection("fgm")
    assert np.abs(plain - fgm).max() > 1e-4
    np.testing.assert_allclose(plain, projection("none"), atol=1e-6)


@pytest.mark.parametrize("kind", ["none", "pgd"])
def test_the_loss_is_wrapped_only_against_someone(kind: str) -> None:
    assert (against(AdversaryConfig(kind=kind)) is None) == (kind == "none")
