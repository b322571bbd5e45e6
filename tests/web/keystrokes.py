"""A clerk at a keyboard: what a daily task takes in screens, key presses and typed characters.

Everything is pressed in a real browser and counted as it is pressed; nothing is clicked. Beside the
counts stands an estimate by the Keystroke-Level Model (Card, Moran & Newell, «The keystroke-level
model for user performance time with interactive systems», CACM 23, 1980). It is an estimate for a
practised person: reading, talking with a resident and holding a card are not in it.
"""

import dataclasses
import time
from dataclasses import dataclass
from typing import Final, NamedTuple

from playwright.sync_api import Locator, Page

PRESS_S: Final = 0.28
"""K of an average non-secretary typist (the paper's table 1)."""
THINK_S: Final = 1.35
"""M, once for each thing that is done on purpose: a field, a choice, a button."""
HOME_S: Final = 0.4
"""H, once a task: the hands come to the keyboard."""
CONVERTED: Final = 2
"""Kana typed into a Japanese input method take two keys of romaji, and a conversion of one key in
three; counted for characters that no key of a keyboard has."""
TABS_MAX: Final = 60
"""Further away nobody finds a field by the keyboard."""


@dataclass
class Counted:
    """What was done so far."""

    screens: int = 0
    """Pages that were loaded, the first one too."""
    presses: int = 0
    """Keys that move, choose or send: Tab, Enter, arrows, Space."""
    typed: int = 0
    """Characters that were written."""
    keys_for_typed: int = 0
    """Keys that these take, with an input method for Japanese."""
    decisions: int = 0
    response_s: float = 0.0
    """Waited for pages, as measured here."""

    @property
    def estimate_s(self) -> float:
        """Return the model's estimate."""
        keys = self.presses + self.keys_for_typed
        return HOME_S + PRESS_S * keys + THINK_S * self.decisions + self.response_s


class Task(NamedTuple):
    """A daily task and what it took."""

    name: str
    counted: Counted


class Clerk:
    """Does a task on one page by the keyboard alone. Raises AssertionError when it cannot be."""

    def __init__(self, page: Page, address: str) -> None:
        """The page that the task begins on is loaded, and counts."""
        self.page = page
        self.counted = Counted(screens=1)
        page.goto(address)

    def go_to(self, target: Locator) -> None:
        """Move the focus to something: it is there, or some tabs away, past the navigation."""
        self.counted.decisions += 1
        if self._is_at(target):
            return
        if self._is_at(self.page.locator("body")):
            self._skip()
        for _ in range(TABS_MAX):
            self.page.keyboard.press("Tab")
            self.counted.presses += 1
            if self._is_at(target):
                return
        raise AssertionError(f"{target} cannot be reached by {TABS_MAX} tabs")

    def write(self, target: Locator, text: str) -> None:
        """Go to a field and write into it; what stands there is replaced, as after a Tab."""
        self.go_to(target)
        self.page.keyboard.press("Control+a")
        self.page.keyboard.insert_text(text)
        self.counted.typed += len(text)
        self.counted.keys_for_typed += sum(1 if one.isascii() else CONVERTED for one in text)

    def tick(self, target: Locator) -> None:
        """Go to a box and change it."""
        self.go_to(target)
        self._press("Space")

    def choose(self, target: Locator, downs: int) -> None:
        """Go to a list and take the entry so many below."""
        self.go_to(target)
        for _ in range(downs):
            self._press("ArrowDown")

    def open(self, target: Locator) -> None:
        """Go to a link or a button and follow it to the next page."""
        self.go_to(target)
        self.send()

    def send(self) -> None:
        """Press Enter where the focus is, and wait for the page that follows."""
        began_s = time.monotonic()
        with self.page.expect_navigation(wait_until="load"):
            self._press("Enter")
        self.counted.response_s += time.monotonic() - began_s
        self.counted.screens += 1

    def save(self, target: Locator) -> None:
        """Go to a link or a button whose answer is a file."""
        self.go_to(target)
        began_s = time.monotonic()
        with self.page.expect_download():
            self._press("Enter")
        self.counted.response_s += time.monotonic() - began_s

    def unfold(self, target: Locator) -> None:
        """Open a fold of the page."""
        self.go_to(target)
        self._press("Enter")

    def done(self, name: str) -> Task:
        """Return what it took."""
        return Task(name, dataclasses.replace(self.counted))

    def _skip(self) -> None:
        """Leave the navigation behind, by the first link of the page."""
        self._press("Tab")
        self._press("Enter")

    def _press(self, key: str) -> None:
        self.page.keyboard.press(key)
        self.counted.presses += 1

    @staticmethod
    def _is_at(target: Locator) -> bool:
        return bool(target.evaluate("one => one === document.activeElement"))
