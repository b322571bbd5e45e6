"""Wiring drawings: what WireViz is told, and its pictures.

One shows what hangs on the carrier, one how 5 V are branched, and each site's its own parts. The
text for WireViz is a function of the data; pictures differ with Graphviz's version and with fonts,
so what a drawing was made of is kept beside it, and that tells whether it is stale.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from hw.plan.build import Build, build
from hw.plan.read import Plan
from hw.plan.rows import Wire

FONT = "Noto Sans CJK JP"
COMMON = ("head", "rail")
"""Drawings of what is the same everywhere: the head, and its 5 V."""

RANKS_INCH = 0.6
"""Between a part and its wires: a third of WireViz's own, so that a drawing fits a page's width."""


def drawings(plan: Plan) -> dict[str, str]:
    """Return the text for WireViz of each drawing, by its name."""
    first = build(plan, next(iter(plan.sites)))
    texts = {}
    for name in COMMON:
        wires = tuple(wire for wire in plan.head.wires if wire.drawing == name)
        texts[name] = _text(wires, first, plan.head.en)
    for name, site in plan.sites.items():
        texts[name] = _text(site.wires, build(plan, name), site.en)
    return texts


def picture(text: str, folder: Path, name: str) -> None:
    """Write `name`.svg and .png to a folder. Raises CalledProcessError with what was said."""
    source = folder / f"{name}.yml"
    source.write_text(text, encoding="utf-8")
    program = Path(sys.executable).parent / "wireviz"
    subprocess.run(
        [program, "-f", "ps", "-o", folder, "-O", name, source],
        check=True,
        capture_output=True,
        env={**os.environ, "PYTHONUTF8": "1"},
    )
    source.unlink()


def _text(wires: tuple[Wire, ...], site: Build, title: str) -> str:
    """WireViz draws connectors (our places) and cables (our wires, bundled between two places)."""
    used: dict[str, list[str]] = {}
    bundles: dict[tuple[str, str, str], list[Wire]] = {}
    for wire in wires:
        for end in (wire.start, wire.end):
            pins = used.setdefault(_place(end), [])
            if _pin(end) not in pins:
                pins.append(_pin(end))
        bundles.setdefault((_place(wire.start), _place(wire.end), wire.type), []).append(wire)
    cables = {f"W{at}": group for at, group in enumerate(bundles.values(), 1)}
    numbers = {ref: _numbers(site, ref, pins) for ref, pins in used.items()}
    drawn = {
        "metadata": {"title": title},
        "options": {"fontname": FONT, "color_mode": "SHORT", "bgcolor": "WH"},
        "tweak": {"append": f"ranksep={RANKS_INCH}"},
        "connectors": {ref: _connector(site, ref, numbers[ref]) for ref in used},
        "cables": {name: _cable(site, group) for name, group in cables.items()},
        "connections": [_connection(name, group, numbers) for name, group in cables.items()],
    }
    return json.dumps(drawn, ensure_ascii=False, indent=1)  # which is YAML, too


def _numbers(site: Build, ref: str, pins: list[str]) -> dict[str, int | str]:
    """Return what stands beside each pin on its board; where that is not one number each, count."""
    pins = sorted(pins) if all(pin.isdigit() for pin in pins) else pins
    stand = [pin if pin.isdigit() else site.pins[f"{ref}.{pin}"].at for pin in pins]
    if len(set(stand)) < len(pins) or "" in stand:
        stand = [str(at) for at in range(1, len(pins) + 1)]
    return {pin: int(at) if at.isdigit() else at for pin, at in zip(pins, stand, strict=True)}


def _connector(site: Build, ref: str, numbers: dict[str, int | str]) -> dict[str, Any]:
    nets, place, part = site.nets_of, site.places[ref], site.parts.get(ref)
    shown = {
        "type": place.ja,
        "notes": place.en,
        "pinlabels": [nets[f"{ref}.{pin}"][0] if pin.isdigit() else pin for pin in numbers],
        "pins": list(numbers.values()),
    }
    return shown | ({"mpn": part.number} if part else {})


def _cable(site: Build, group: list[Wire]) -> dict[str, Any]:
    kind = site.kinds[group[0].type]
    return {
        "category": "bundle",
        "type": f"AWG {kind.awg}",
        "gauge": f"{kind.mm2:g} mm2",
        "length": group[0].length_m,
        "colors": [wire.colour for wire in group],
    }


def _connection(
    name: str, group: list[Wire], numbers: dict[str, dict[str, int | str]]
) -> list[dict[str, Any]]:
    start, end = _place(group[0].start), _place(group[0].end)
    return [
        {start: [numbers[start][_pin(wire.start)] for wire in group]},
        {name: [at for at, _ in enumerate(group, 1)]},
        {end: [numbers[end][_pin(wire.end)] for wire in group]},
    ]


def _place(end: str) -> str:
    return end.partition(".")[0]


def _pin(end: str) -> str:
    return end.partition(".")[2]
