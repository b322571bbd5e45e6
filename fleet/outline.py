"""A town's outline for the eye: a small picture, between which degrees it lies, and its size. Pure.

Rules: north is up, and a kilometre is as long across as it is upwards.
"""

import itertools
import math
from collections.abc import Sequence
from typing import Final, NamedTuple

from programmes.area import Area, read_area

LONGER_SIDE: Final = 100
"""Units of the picture's longer side; `points` has one decimal."""
_KM_A_DEGREE: Final = 111.2
"""Of latitude: 2π × 6,371 km / 360."""


class Picture(NamedTuple):
    """What an SVG polygon needs, and the four sides in degrees, written out."""

    width: int
    height: int
    points: str
    south: str
    north: str
    west: str
    east: str


def picture(corners: Sequence[str]) -> Picture | None:
    """Return the picture of an outline; None without one. Raises ValueError."""
    area = read_area(tuple(corners))
    if not area:
        return None
    norths, easts = zip(*area, strict=True)
    shrink = _shrink(area)
    wide, high = (max(easts) - min(easts)) * shrink, float(max(norths) - min(norths))
    scale = LONGER_SIDE / max(wide, high, 1)
    points = (
        f"{(east - min(easts)) * shrink * scale:.1f},{(max(norths) - north) * scale:.1f}"
        for north, east in area
    )
    sides = (f"{one / 1000:.3f}" for one in (min(norths), max(norths), min(easts), max(easts)))
    return Picture(
        max(1, math.ceil(wide * scale)), max(1, math.ceil(high * scale)), " ".join(points), *sides
    )


def square_km(corners: Sequence[str]) -> float:
    """Return the size of what an outline holds, good to 1 % of a town. Raises ValueError."""
    area = read_area(tuple(corners))
    if not area:
        return 0.0
    twice = sum(
        a_east * b_north - b_east * a_north
        for (a_north, a_east), (b_north, b_east) in itertools.pairwise((*area, area[0]))
    )
    return abs(twice) / 2 * _shrink(area) * (_KM_A_DEGREE / 1000) ** 2


def _shrink(area: Area) -> float:
    """Return how much shorter a degree of longitude is than one of latitude, here."""
    norths = [north for north, _ in area]
    return math.cos(math.radians((min(norths) + max(norths)) / 2000))
