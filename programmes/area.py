"""A town's outline, and whether a place lies in it: pure, with whole thousandths of a degree.

Corners and places are `latitude,longitude` as wire.entries.Spot has them. A place on the outline
counts as inside: nobody is refused for half a street.
"""

import functools
import itertools
import re
from typing import Final

_SPOT: Final = re.compile(r"(-?\d{1,2})\.(\d{3}),(-?\d{1,3})\.(\d{3})", re.ASCII)
CORNERS_MIN: Final = 3

Corner = tuple[int, int]
"""Latitude and longitude in thousandths of a degree."""
Area = tuple[Corner, ...]


def read_corner(text: str) -> Corner:
    """Return a corner as numbers. Raises ValueError."""
    found = _SPOT.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no place: write latitude,longitude as 36.389,139.060")
    south, east = (
        (-1 if whole.startswith("-") else 1) * (abs(int(whole)) * 1000 + int(part))
        for whole, part in (found.group(1, 2), found.group(3, 4))
    )
    if abs(south) > 90_000 or abs(east) > 180_000:
        raise ValueError(f"{text!r} is nowhere on the earth")
    return south, east


@functools.lru_cache(64)
def read_area(corners: tuple[str, ...]) -> Area:
    """Return an outline; empty for none. Raises ValueError for less than three corners."""
    if 0 < len(corners) < CORNERS_MIN:
        raise ValueError(f"an outline has at least {CORNERS_MIN} corners")
    return tuple(read_corner(one) for one in corners)


def holds(area: Area, spot: str) -> bool:
    """True when a place lies in an area or on its outline. Raises ValueError for no place."""
    north, east = read_corner(spot)
    inside = False
    for (a_north, a_east), (b_north, b_east) in itertools.pairwise((*area, area[0])):
        turn = (b_east - a_east) * (north - a_north) - (b_north - a_north) * (east - a_east)
        between_north = min(a_north, b_north) <= north <= max(a_north, b_north)
        between_east = min(a_east, b_east) <= east <= max(a_east, b_east)
        if turn == 0 and between_north and between_east:
            return True
        if (a_north > north) != (b_north > north) and (turn > 0) == (b_north > a_north):
            inside = not inside
    return inside
