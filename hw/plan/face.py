"""Pictures of what the head shows, drawn from the firmware's own tables (`LOOKS` of face.py)."""

from __future__ import annotations

import importlib.util
import math
import sys
from pathlib import Path
from types import ModuleType

from wire import headlink

FIRMWARE = Path(__file__).parents[2] / "firmware"
FRAMES_MAX = 3
"""Of a movement: begin, middle, end."""
SIZE, RING, LIT, DARK = 64, 25, 4.6, 3.2
"""Of a picture and its ring's and lamps' radius, in px."""


def pictures() -> dict[str, list[str]]:
    """Return by meaning the frames of its picture as SVG elements, at most FRAMES_MAX each."""
    face = _face()
    lamps: int = face.LAMPS
    drawn = {}
    for meaning, (colour, steps, _) in face.LOOKS.items():
        masks = [mask for mask, _ in steps]
        chosen = sorted({round(at * (len(masks) - 1) / 2) for at in range(FRAMES_MAX)})
        drawn[meaning] = [_ring(masks[at], colour, lamps) for at in chosen]
    return drawn


def _face() -> ModuleType:
    """Load face.py as the head does: flat, with `headlink` beside it."""
    spec = importlib.util.spec_from_file_location("_head_face", FIRMWARE / "face.py")
    if spec is None or spec.loader is None:
        raise ImportError("firmware/face.py cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    before = sys.modules.get("headlink")
    sys.modules["headlink"] = headlink
    try:
        spec.loader.exec_module(module)
    finally:
        if before is None:
            del sys.modules["headlink"]
        else:
            sys.modules["headlink"] = before
    return module


def _ring(mask: int, colour: tuple[int, int, int], lamps: int) -> str:
    brightest = max(*colour, 1)
    full = "#" + "".join(f"{round(channel * 255 / brightest):02x}" for channel in colour)
    dots = []
    for lamp in range(lamps):
        angle = 2 * math.pi * lamp / lamps
        x, y = SIZE / 2 + RING * math.sin(angle), SIZE / 2 - RING * math.cos(angle)
        lit = mask >> lamp & 1
        dots.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{LIT if lit else DARK}" '
            f'fill="{full if lit else "none"}" stroke="{"#000" if lit else "#999"}" '
            f'stroke-width="{1.6 if lit else 0.6}"/>'
        )
    shape = f'viewBox="0 0 {SIZE} {SIZE}" width="{SIZE}" height="{SIZE}" aria-hidden="true"'
    return f"<svg {shape}>{''.join(dots)}</svg>"
