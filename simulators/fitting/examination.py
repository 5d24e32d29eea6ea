"""The fitted parameters of a click model as the part that draws from it."""

from __future__ import annotations

import numpy as np

from simulators.click_models import sigmoid
from simulators.fitting.likelihood import Parameters
from simulators.parts.contract import Examination
from simulators.parts.examination import (
    CascadeExamination,
    ClickChainExamination,
    DynamicBayesianExamination,
    MultinomialExamination,
    PositionExamination,
    SkimmingExamination,
)

__all__ = ["examination_of"]


def examination_of(name: str, p: Parameters, *, typical_click: float, stops_at_click: bool) -> Examination:
    """The examination part of the family `name`.

    Args:
        name: One of `simulators.fitting.checks.FAMILIES`.
        p: What was fitted.
        typical_click: Mean chance of a click on an item looked at.
        stops_at_click: "cascade" only: the strict model.
    """
    if name == "pbm":
        return PositionExamination(gamma=np.exp(p.first))
    if name == "mnl":
        attention = np.exp(np.concatenate([[0.0], p.first]))  # that of the first position is 1
        return MultinomialExamination(attention=attention)
    if name == "ccm":
        return ClickChainExamination(tau=sigmoid(p.first), typical_click=typical_click)
    if name in ("dbn", "sdbn"):
        return DynamicBayesianExamination(
            perseverance=float(sigmoid(p.first[:1])[0]) if name == "dbn" else 1.0,
            satisfaction_bias=float(p.first[-2]),
            satisfaction_slope=float(p.first[-1]),
            typical_click=typical_click,
        )
    if name == "skimming":
        return SkimmingExamination(
            after_click=sigmoid(p.first[:-1]),
            after_skip=sigmoid(p.second),
            skip=float(sigmoid(p.first[-1:])[0]),
            typical_click=typical_click,
        )
    after_click = np.zeros_like(p.first) if name == "cascade" and stops_at_click else sigmoid(p.first)
    after_skip = np.ones_like(p.first) if name == "dcm" else sigmoid(p.second)
    return CascadeExamination(after_click=after_click, after_skip=after_skip, typical_click=typical_click)
