"""The five parts of a simulated user: contracts and built-in inhabitants."""

from __future__ import annotations

from simulators.parts.attractiveness import LinearAttractiveness, LinearConversion
from simulators.parts.contract import (
    Attractiveness,
    Conversion,
    Dwell,
    Dynamics,
    Examination,
    Part,
    Population,
    Returns,
)
from simulators.parts.dwell import LinearDwell
from simulators.parts.dynamics import FittedDynamics, OnePage
from simulators.parts.examination import (
    CascadeExamination,
    ClickChainExamination,
    DynamicBayesianExamination,
    MultinomialExamination,
    PositionExamination,
    SkimmingExamination,
)
from simulators.parts.layout import Layout
from simulators.parts.memory import SessionMemory, Tables
from simulators.parts.population import EmpiricalPopulation
from simulators.parts.returns import HazardReturns

__all__ = [
    "Attractiveness",
    "CascadeExamination",
    "ClickChainExamination",
    "Conversion",
    "Dwell",
    "DynamicBayesianExamination",
    "Dynamics",
    "EmpiricalPopulation",
    "Examination",
    "FittedDynamics",
    "HazardReturns",
    "Layout",
    "LinearAttractiveness",
    "LinearConversion",
    "LinearDwell",
    "MultinomialExamination",
    "OnePage",
    "Part",
    "Population",
    "PositionExamination",
    "Returns",
    "SessionMemory",
    "SkimmingExamination",
    "Tables",
]
