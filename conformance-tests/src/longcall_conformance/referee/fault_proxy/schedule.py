# SPDX-License-Identifier: Apache-2.0
"""Counts frames and says which faults are due; everything by chance comes from the seed."""

from __future__ import annotations

import random
from collections import Counter

from .rules import Direction, JsonObject, Place, Plan, RandomFaults, Rule, Seen, random_rule

_HANDSHAKE = frozenset(("hello", "welcome"))


class _Due:
    """One rule and how often frames have fitted it."""

    def __init__(self, rule: Rule, seed: int) -> None:
        self.rule = rule
        self.fired = 0
        self._fitting = 0
        self._chance = random.Random(f"{seed}/{rule.name}")

    def take(self, seen: Seen) -> bool:
        rule = self.rule
        if not rule.place.fits(seen):
            return False
        self._fitting += 1
        if rule.times is not None and self.fired >= rule.times:
            return False
        match rule.when:
            case "nth":
                is_due = self._fitting == rule.number
            case "from":
                is_due = self._fitting >= rule.number
            case "every":
                is_due = self._fitting % rule.number == 0
            case _:
                is_due = self._chance.random() < rule.number
        self.fired += is_due
        return is_due


class _Lots:
    """Faults by lot: each block of requests brings one with it, drawn from a shuffled stack."""

    def __init__(self, plan: RandomFaults, seed: int) -> None:
        self._plan = plan
        self._chance = random.Random(f"{seed}/random")
        self._stack: list[JsonObject] = []
        self._armed: list[tuple[int, Rule]] = []
        """The number of the request at which each is due, in order."""
        self.requests = 0
        self.drawn: Counter[str] = Counter()

    def take(self, seen: Seen) -> Rule | None:
        if seen.type == "request" and seen.direction is Direction.TO_SERVER:
            if self.requests % self._plan.requests_per_fault == 0:
                self._arm()
            self.requests += 1
        if seen.message is None or seen.type in _HANDSHAKE:
            return None
        for index, (request, rule) in enumerate(self._armed):
            if self.requests >= request and rule.place.fits(seen):
                del self._armed[index]
                self.drawn[rule.fault] += 1
                return rule
        return None

    def _arm(self) -> None:
        if not self._stack:
            self._stack = self._chance.sample(self._plan.kinds, len(self._plan.kinds))
        kind = self._stack.pop()
        request = self.requests + 1 + self._chance.randrange(self._plan.requests_per_fault)
        direction = self._chance.choice(tuple(Direction))
        self._armed.append((request, random_rule(kind, Place(direction))))

    def unmet(self) -> list[str]:
        """What was demanded and has not happened."""
        wanted, drawn = self.requests // self._plan.requests_per_fault, self.drawn.total()
        missing = []
        if not drawn:
            missing.append("random: no fault was made")
        elif drawn < wanted:
            missing.append(f"random: {drawn} faults for {self.requests} requests, not {wanted}")
        if self._plan.every_kind:
            kinds = {kind["fault"] for kind in self._plan.kinds}
            missing += [
                f"random: {kind} was never drawn" for kind in sorted(kinds - set(self.drawn))
            ]
        return missing


class Schedule:
    """What is due at each frame."""

    def __init__(self, plan: Plan, seed: int) -> None:
        self._seed = seed
        self._rules = [_Due(rule, seed) for rule in plan.rules]
        self._lots = _Lots(plan.random, seed) if plan.random is not None else None

    @property
    def rules(self) -> list[Rule]:
        """The rules, in their order."""
        return [due.rule for due in self._rules]

    def add(self, rule: Rule) -> None:
        """One more rule; it counts from the next frame on."""
        if any(due.rule.name == rule.name for due in self._rules):
            raise ValueError(f"there is a rule {rule.name} already")
        self._rules.append(_Due(rule, self._seed))

    def take(self, seen: Seen) -> list[Rule]:
        """The faults that this frame meets, in the order of the rules."""
        found = [due.rule for due in self._rules if due.take(seen)]
        if self._lots is not None and (lot := self._lots.take(seen)) is not None:
            found.append(lot)
        return found

    def fired(self) -> dict[str, int]:
        """How often each rule has made its fault."""
        return {due.rule.name: due.fired for due in self._rules}

    def unmet(self) -> list[str]:
        """What should have happened and has not; an empty list is a pass."""
        unfired = [f"{due.rule.name} never fired" for due in self._rules if not due.fired]
        return unfired + (self._lots.unmet() if self._lots is not None else [])
