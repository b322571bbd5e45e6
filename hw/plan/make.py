"""`scripts/hw`: checks the hardware's data and writes what is made of it, or tells what is stale.

Text is compared byte for byte. A picture differs with Graphviz's version and with fonts, so
`made-from` keeps the hash of what WireViz was told and of each picture: a drawing is stale when its
wires have changed, and when somebody has changed the picture.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

from hw.plan.check import faults
from hw.plan.constants import constants
from hw.plan.draw import drawings, picture
from hw.plan.guide import guide, pdf
from hw.plan.overlay import overlays
from hw.plan.read import DataRefused, Plan, load

ROOT = Path(__file__).parents[2]
GUIDE = Path("docs", "build-guide")
OVERLAYS = Path("hw", "overlays")
MADE_FROM = GUIDE / "made-from"
PICTURES = (".svg", ".png")


def texts(plan: Plan) -> dict[Path, str]:
    """Return what is made as text, by its path in the checkout."""
    return {
        Path("firmware", "pins.py"): constants(plan.pins),
        **{OVERLAYS / f"{name}.dts": text for name, text in overlays(plan.overlay).items()},
        GUIDE / "index.html": guide(plan),
    }


def stale(plan: Plan, root: Path = ROOT) -> list[str]:
    """Return a sentence for each file of a checkout that is not what the data makes."""
    found = [
        f"{path} is older than hw/data: run scripts/hw"
        for path, text in texts(plan).items()
        if _read(root / path) != text.encode()
    ]
    told = _read(root / MADE_FROM).decode().splitlines()
    return found + [
        f"{GUIDE / name}.svg or .png is not what hw/data draws: run scripts/hw"
        for name, text in drawings(plan).items()
        if _line(root, name, text) not in told
    ]


def make(plan: Plan, root: Path = ROOT) -> list[Path]:
    """Write what is stale, and return its paths in the checkout."""
    written = []
    for path, text in texts(plan).items():
        if _read(root / path) != text.encode():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text, encoding="utf-8")
            written.append(path)
    told = _read(root / MADE_FROM).decode().splitlines()
    drawn = drawings(plan)
    for name, text in drawn.items():
        if _line(root, name, text) not in told:
            picture(text, root / GUIDE, name)
            written.append(GUIDE / f"{name}.svg")
    lines = [_line(root, name, text) for name, text in drawn.items()]
    (root / MADE_FROM).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return written


def _line(root: Path, name: str, text: str) -> str:
    """Return what `made-from` says of a drawing: what it was made of, its pictures, its name."""
    hashes = [text.encode(), *(_read(root / GUIDE / f"{name}{kind}") for kind in PICTURES)]
    return " ".join([*(hashlib.sha256(part).hexdigest()[:32] for part in hashes), name])


def _read(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 1: something is at fault, or stale."""
    parser = argparse.ArgumentParser("scripts/hw", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing, tell what is stale")
    parser.add_argument("--pdf", type=Path, metavar="FILE", help="write the guide as PDF, too")
    asked = parser.parse_args(arguments)
    try:
        plan = load()
    except DataRefused as refused:
        print(refused, file=sys.stderr)
        return 1
    wrong = faults(plan) or (stale(plan) if asked.check else [])
    for sentence in wrong:
        print(sentence, file=sys.stderr)
    if wrong:
        return 1
    if not asked.check:
        for path in make(plan):
            print(f"hw: {path}")
    if asked.pdf:
        asked.pdf.write_bytes(pdf(guide(plan), ROOT / GUIDE))
    return 0


if __name__ == "__main__":
    sys.exit(main())
