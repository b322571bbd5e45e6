"""What a clerk's daily tasks take by the keyboard, and an estimate of how long that is."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from tests.bench.figures import Table
from tests.browser import chromium
from tests.web import desk_work
from tests.web.conftest import Sites, open_sites, sign_in
from tests.web.keystrokes import Task
from tests.web.town import build_town, town_in


def bench() -> Table:
    """Do each task in a town of its own."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="kz-") as folder, sync_playwright() as playwright:
        build_town(Path(folder) / "town")
        browser = playwright.chromium.launch(**chromium())
        for n, task in enumerate(desk_work.TASKS):
            state = Path(folder) / str(n)
            shutil.copytree(Path(folder) / "town", state)
            rows.append(_row(_done(task, state, browser)))
        browser.close()
    return Table(
        "A clerk's daily tasks",
        "From the office's first page (rules, figures: from theirs) by the keyboard alone, in a "
        "real browser, "
        "every press counted. Estimate: by the Keystroke-Level Model of Card, Moran and Newell "
        "(1980) for a practised person; reading, talking and holding a card are not in it. It is "
        "an estimate, not a measurement of people.",
        ["task", "screens", "key presses", "characters typed", "decisions", "estimate, s"],
        rows,
    )


def _done(task: Callable[[Sites, Page], Task], state: Path, browser: Browser) -> Task:
    context = browser.new_context(viewport={"width": 1280, "height": 800}, locale="ja-JP")
    with open_sites(town_in(state)) as sites:
        page = context.new_page()
        sign_in(page, sites.office, "hana")
        desk_work.prepare(sites)
        found = task(sites, page)
        context.close()
    return found


def _row(task: Task) -> list[str]:
    counted = task.counted
    figures = (counted.screens, counted.presses, counted.typed, counted.decisions)
    return [task.name, *map(str, figures), f"{counted.estimate_s:.0f}"]
