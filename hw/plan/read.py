"""The files of `hw/data`, typed: an unknown key, a missing one or another type is refused."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Final

import msgspec

from hw.plan.rows import (
    Boards,
    Head,
    Lamp,
    Nets,
    Overlays,
    Part,
    Parts,
    Pins,
    Power,
    Row,
    Site,
    Wires,
)

DATA: Final = Path(__file__).parents[1] / "data"
SITES: Final = ("bus", "taxi", "school")


class DataRefused(ValueError):
    """A file of `hw/data` is not what `rows` knows; it says where, and what was expected."""


class Plan(Row, frozen=True):
    """All of `hw/data`."""

    boards: Boards
    pins: Pins
    parts: Parts
    head: Head
    nets: Nets
    wires: Wires
    power: Power
    overlay: Overlays
    lamp: Lamp
    sites: dict[str, Site]

    def part(self, name: str) -> Part:
        """Return a part of the bill of material. Raises KeyError."""
        return {part.id: part for part in self.parts.parts}[name]


def load(folder: Path = DATA) -> Plan:
    """Return what the files say. Raises DataRefused."""
    return plan_of(tables(folder))


def tables(folder: Path = DATA) -> dict[str, Any]:
    """Return the files as plain tables, for who wants to change a copy of them."""
    read = {name: _table(folder, name) for name in Plan.__struct_fields__ if name != "sites"}
    return {**read, "sites": {name: _table(folder, name) for name in SITES}}


def plan_of(read: dict[str, Any]) -> Plan:
    """Return the plan that plain tables make. Raises DataRefused."""
    try:
        return msgspec.convert(read, Plan)
    except msgspec.ValidationError as error:
        raise DataRefused(f"hw/data: {error}; the path names file and key") from error


def _table(folder: Path, name: str) -> dict[str, Any]:
    try:
        return tomllib.loads((folder / f"{name}.toml").read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise DataRefused(f"hw/data/{name}.toml is no TOML: {error}") from error
