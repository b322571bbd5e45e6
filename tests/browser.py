"""The browser in which pages are tried and pictures are taken: Chromium without its windows.

The headless shell is the same engine as the browser that people use, and opens a page in a third of
the work: it draws no window around it.
"""

from typing import Any, Final

SHELL: Final = "/usr/bin/chromium-headless-shell"


def chromium(*flags: str) -> dict[str, Any]:
    """Return what playwright's `launch` takes, with these flags beside ours."""
    return {"executable_path": SHELL, "args": ["--no-sandbox", "--disable-gpu", *flags]}
