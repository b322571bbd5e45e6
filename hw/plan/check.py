"""All that is wrong with the hardware's data, one sentence each."""

from __future__ import annotations

from hw.plan import faults_joins, faults_nets, faults_parts, faults_pins, faults_power, faults_wires
from hw.plan.build import build
from hw.plan.read import Plan


def faults(plan: Plan) -> list[str]:
    """Return each fault once, with its place and what to do; none: it can be built."""
    found = [*faults_pins.faults(plan.pins, plan.boards.chip), *faults_parts.faults_of_plan(plan)]
    for name in plan.sites:
        site = build(plan, name)
        found += faults_parts.faults(plan, site)
        found += faults_joins.faults(site)
        found += faults_nets.faults(site)
        found += faults_wires.faults(site, plan.wires.fuse)
        found += faults_power.faults(plan, site)
    return list(dict.fromkeys(found))
