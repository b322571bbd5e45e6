"""The browser in which pages are tried and pictures are taken: Chromium without its windows.

The headless shell is the same engine as the browser that people use, and opens a page in a third of
the work: it draws no window around it.
"""

from typing import Any, Final

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page

SHELL: Final = "/usr/bin/chromium-headless-shell"


def chromium(*flags: str) -> dict[str, Any]:
    """Return what playwright's `launch` takes, with these flags beside ours."""
    return {"executable_path": SHELL, "args": ["--no-sandbox", "--disable-gpu", *flags]}


LOOK_WITH_AXE: Final = f"""{AXE_SCRIPT}
;axe.run({{ resultTypes: ["violations"] }}).then(({{ violations }}) =>
  violations.map(({{ id, nodes }}) => `${{id}}: ${{nodes[0].html.slice(0, 160)}}`))"""
"""Evaluated in a page: what axe objects to. All else that it says is not brought over."""


def violations(page: Page) -> list[str]:
    """Return what axe objects to on a page: rule and element."""
    found: list[str] = page.evaluate(LOOK_WITH_AXE)
    return found
