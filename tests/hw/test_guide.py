"""The build guide: whole, in two languages, readable on paper, and true to data and firmware."""

from __future__ import annotations

import re
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from hw.plan import guide, make
from hw.plan.build import build
from hw.plan.face import pictures
from hw.plan.read import Plan, load
from wire.headlink import MEANINGS

ROOT = Path(__file__).parents[2]
PAGES_MAX = 40


@pytest.fixture(scope="module")
def plan() -> Plan:
    return load()


@pytest.fixture(scope="module")
def paper(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("guide") / "guide.pdf"
    path.write_bytes(guide.pdf(guide.guide(plan), ROOT / make.GUIDE))
    return path


def said_by(*command: str | Path) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


class Page(HTMLParser):
    """What the page refers to, and its sentences by language."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.images: list[tuple[str, str]] = []
        self.spoken = {"ja": 0, "en": 0}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = {name: value or "" for name, value in attrs}
        self.ids.add(named.get("id", ""))
        if tag == "a":
            self.links.append(named["href"])
        if tag == "img":
            self.images.append((named["src"], named["alt"]))
        if tag != "html" and named.get("lang") in self.spoken:
            self.spoken[named["lang"]] += 1


def test_the_page_shows_every_drawing_and_each_link_leads_somewhere() -> None:
    page = Page()
    folder = ROOT / make.GUIDE
    page.feed((folder / "index.html").read_text("utf-8"))
    assert [source for source, _ in page.images] == [
        f"{name}.svg" for name in ("head", "rail", "bus", "taxi", "school")
    ]
    assert all(alt for _, alt in page.images)
    for link in page.links:
        assert link[1:] in page.ids if link.startswith("#") else (folder / link).exists(), link
    assert page.spoken["ja"] == page.spoken["en"] > 100


def test_the_paper_has_its_drawings_and_its_fonts_with_it(paper: Path) -> None:
    pages = re.search(r"^Pages: +(\d+)$", said_by("pdfinfo", paper), re.MULTILINE)
    assert pages is not None
    assert int(pages[1]) <= PAGES_MAX
    fonts = said_by("pdffonts", paper).splitlines()[2:]
    assert any("Noto-Sans-CJK-JP" in font for font in fonts)
    # name, type, encoding, then: embedded, subset, unicode
    assert all(re.search(r" yes (yes|no) yes +\d+ +\d+$", font) for font in fonts), fonts

    text = said_by("pdftotext", "-layout", paper, "-")
    assert "最初のタップ" in text
    assert "The technician's checks" in text
    for drawn in ("J8:1:PI_POWER", "X3:1:V5_PI", "K1:1:VIN+", "K2:1:VCC"):
        assert drawn in text, drawn


def test_each_drawing_lies_within_its_page(paper: Path) -> None:
    text = said_by("pdftotext", "-bbox", paper, "-")
    for page in re.findall(r"<page width=.*?</page>", text, re.DOTALL):
        width, height = (float(n) for n in re.findall(r'(?:width|height)="([\d.]+)"', page)[:2])
        for x, y in re.findall(r'xMax="([\d.]+)" yMax="([\d.]+)"', page):
            assert float(x) <= width
            assert float(y) <= height


def test_the_table_of_patterns_is_the_firmwares(plan: Plan) -> None:
    drawn = pictures()
    assert [meaning.name for meaning in plan.lamp.meanings] == list(MEANINGS)
    assert set(drawn) == set(MEANINGS)
    # 16 lamps in each picture, and no two meanings look alike.
    assert {frame.count("<circle") for frames in drawn.values() for frame in frames} == {16}
    without_colour = [re.sub("#[0-9a-f]{6}", "", "".join(frames)) for frames in drawn.values()]
    assert len(set(without_colour)) == len(MEANINGS)


def test_the_cost_is_the_sum_of_what_is_bought(plan: Plan) -> None:
    site = build(plan, "school")
    wire = sum(site.kinds[kind].yen_per_m * length for kind, length in guide.metres(site).items())
    dear, _, cheap = guide.costs(plan, site)
    parts = sum(part.yen_each[0] * part.quantity["school"] for part in plan.parts.parts)
    assert dear == parts + round(wire)
    assert cheap < dear


def test_every_file_that_the_flashing_copies_is_there(plan: Plan) -> None:
    page = (ROOT / make.GUIDE / "index.html").read_text("utf-8")
    copied = re.findall(r"(?:firmware|wire)/\w+\.py", page)
    assert {"firmware/main.py", "firmware/pins.py", "wire/headlink.py"} <= set(copied)
    assert all((ROOT / path).exists() for path in copied)
    assert {f"firmware/{path.name}" for path in (ROOT / "firmware").glob("*.py")} <= set(copied)


def test_the_commands_that_the_technician_types_exist() -> None:
    page = (ROOT / make.GUIDE / "index.html").read_text("utf-8")
    known = said_by(ROOT / ".venv" / "bin" / "kazasu-edge", "head", "-h")
    typed = set(re.findall(r"kazasu-edge head (\w+)", page))
    assert typed == {"state", "show", "pulse"}
    assert all(re.search(rf"^ +{command} ", known, re.MULTILINE) for command in typed)
    for unit in re.findall(r"systemctl stop ([\w-]+)", page):
        assert (ROOT / "edge" / "systemd" / f"{unit}.service").exists(), unit
