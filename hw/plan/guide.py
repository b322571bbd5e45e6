"""The build guide: one page of two languages, its tables reckoned from the data.

`words` has the sentences; whatever is a figure comes from `hw/data`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2

from hw.plan.build import HEAD, Build, build
from hw.plan.drop import drop_v
from hw.plan.face import FIRMWARE, pictures
from hw.plan.power import budget
from hw.plan.read import Plan
from hw.plan.rows import Part

WORDS = Path(__file__).parent / "words"
BATCHES = (10, 100, 1000)
COLOURS = {
    "RD": ("赤", "red"),
    "BK": ("黒", "black"),
    "YE": ("黄", "yellow"),
    "GN": ("緑", "green"),
    "WH": ("白", "white"),
    "BU": ("青", "blue"),
    "OG": ("橙", "orange"),
    "GY": ("灰", "grey"),
}
"""IEC 60757's letters, as far as our wires use them."""


def guide(plan: Plan) -> str:
    """Return the guide as HTML; its pictures are files beside it."""
    builds = {name: build(plan, name) for name in plan.sites}
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(WORDS),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("page.html").render(
        plan=plan,
        builds=builds,
        budgets={name: budget(plan, site) for name, site in builds.items()},
        drops={name: drop_v(site) for name, site in builds.items()},
        bought=_bought(plan),
        costs={name: costs(plan, site) for name, site in builds.items()},
        metres={name: metres(site) for name, site in builds.items()},
        soldered=_soldered(builds["bus"]),
        on_carrier=[place for place in plan.head.places if place.on == "carrier"],
        divided={name: _divided(plan, site) for name, site in builds.items()},
        chip_at=plan.boards.chip.at,
        pictures=pictures(),
        firmware_files=" ".join(f"firmware/{name}" for name in _in_a_slot()),
        colours=COLOURS,
        batches=BATCHES,
        head=HEAD,
    )
    return page.rstrip() + "\n"


def pdf(page: str, folder: Path) -> bytes:
    """Return the page as PDF; its pictures are taken from a folder, nothing from a network."""
    from weasyprint import HTML  # noqa: PLC0415  a second and 40 MB, only for those who print
    from weasyprint.urls import URLFetcher  # noqa: PLC0415

    made: bytes = HTML(
        string=page,
        base_url=f"{folder.resolve().as_uri()}/",
        url_fetcher=URLFetcher(allowed_protocols=("file",)),
    ).write_pdf()
    return made


def metres(site: Build) -> dict[str, float]:
    """Return how much of each kind of wire a site takes, without waste."""
    found: dict[str, float] = {}
    for wire in site.wires:
        found[wire.type] = found.get(wire.type, 0.0) + wire.length_m
    return found


def costs(plan: Plan, site: Build) -> tuple[int, ...]:
    """Return yen for one reader, net of tax, at each of BATCHES: parts and wire, no work."""
    wire = sum(site.kinds[kind].yen_per_m * length for kind, length in metres(site).items())
    return tuple(
        round(wire) + sum(part.yen_each[at] * part.quantity[site.name] for part in plan.parts.parts)
        for at in range(len(BATCHES))
    )


def _bought(plan: Plan) -> list[tuple[Part, list[str]]]:
    """Return each part with the places where it stands, over all sites."""
    places: dict[str, dict[str, None]] = {}
    for name in plan.sites:
        for ref, place in build(plan, name).places.items():
            places.setdefault(place.part, {})[ref] = None
    return [(part, list(places.get(part.id, {}))) for part in plan.parts.parts]


def _soldered(site: Build) -> list[dict[str, Any]]:
    """Return the carrier's nets, each pin with where it stands on its part."""
    rows = []
    for net, pins in site.soldered.items():
        at = [site.pins[pin].at for pin in pins]
        shown = [f"{pin} ({n})" if n else pin for pin, n in zip(pins, at, strict=True)]
        rows.append({"net": site.nets[net], "pins": shown})
    return rows


def _in_a_slot() -> list[str]:
    """Return the firmware's files that lie in a slot: all but the one that chooses it."""
    return sorted(path.name for path in FIRMWARE.glob("*.py") if path.name != "main.py")


def _divided(plan: Plan, site: Build) -> tuple[float, float]:
    """Return what stands at SUPPLY, in V, at the lowest and highest supply."""
    net = site.nets["VIN"].domain
    low, high = site.site.supply_v if net == "vehicle" else plan.boards.domains[net]
    share = 3.3 / (plan.pins.supply_mv_full / 1000)
    return low * share, high * share
