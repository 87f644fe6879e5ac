"""The plan: which layers of a model stay in memory and how, and how fast that is, before anything is loaded.

Knows an exported folder and speeds; neither sessions nor the machine that it plans for.
"""

from __future__ import annotations

from edge_runtime.plan.figures import Figures, Rate
from edge_runtime.plan.make import plan_for
from edge_runtime.plan.placement import Placement
from edge_runtime.plan.report import sheet, table
from edge_runtime.plan.result import LayerPlan, MemoryPlan, Plan, State, Verdict, parse_provider_option, provider_option

__all__ = [
    "Figures",
    "LayerPlan",
    "MemoryPlan",
    "Placement",
    "Plan",
    "Rate",
    "State",
    "Verdict",
    "parse_provider_option",
    "plan_for",
    "sheet",
    "provider_option",
    "table",
]
