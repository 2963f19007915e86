# SPDX-License-Identifier: Apache-2.0
"""A frame-aware proxy with faults by rules: between any client and any server."""

from .proxy import FaultProxy
from .rules import Direction, Fault, Plan, Rule, RulesRefused, load_plan, parse_plan, parse_rules

__all__ = [
    "Direction",
    "Fault",
    "FaultProxy",
    "Plan",
    "Rule",
    "RulesRefused",
    "load_plan",
    "parse_plan",
    "parse_rules",
]
