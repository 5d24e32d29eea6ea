"""How far a fitted simulator can be trusted: held-out sessions beside simulated ones, and a verdict in plain words.

`measure_trust(simulator, train, held_out)` gives a `TrustReport`; docs/trust.md says what each measure means.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simulators.agreement_summary import AgreementSummary
    from simulators.trust.config import TrustConfig
    from simulators.trust.measure import measure_trust
    from simulators.trust.report import TrustReport
    from simulators.trust.verdict import TrustVerdict, judge_trust

__all__ = [
    "AgreementSummary",
    "TrustConfig",
    "TrustReport",
    "TrustVerdict",
    "judge_trust",
    "measure_trust",
]

_HOMES = {
    "AgreementSummary": "simulators.agreement_summary",
    "TrustConfig": "simulators.trust.config",
    "TrustReport": "simulators.trust.report",
    "TrustVerdict": "simulators.trust.verdict",
    "judge_trust": "simulators.trust.verdict",
    "measure_trust": "simulators.trust.measure",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
