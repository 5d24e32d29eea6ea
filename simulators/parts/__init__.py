"""The five parts of a simulated user: contracts and built-in inhabitants."""

from __future__ import annotations

from simulators.parts.attractiveness import LinearAttractiveness, LinearConversion
from simulators.parts.contract import Attractiveness, Conversion, Dynamics, Examination, Part, Population
from simulators.parts.dynamics import FittedDynamics, OnePage
from simulators.parts.examination import (
    CascadeExamination,
    ClickChainExamination,
    DynamicBayesianExamination,
    MultinomialExamination,
    PositionExamination,
)
from simulators.parts.layout import Layout
from simulators.parts.memory import SessionMemory, Tables
from simulators.parts.population import EmpiricalPopulation

__all__ = [
    "Attractiveness",
    "CascadeExamination",
    "ClickChainExamination",
    "Conversion",
    "DynamicBayesianExamination",
    "Dynamics",
    "EmpiricalPopulation",
    "Examination",
    "FittedDynamics",
    "Layout",
    "LinearAttractiveness",
    "LinearConversion",
    "MultinomialExamination",
    "OnePage",
    "Part",
    "Population",
    "PositionExamination",
    "SessionMemory",
    "Tables",
]
