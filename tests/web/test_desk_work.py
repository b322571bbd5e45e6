"""Each daily task is done by the keyboard alone, and in no more keys than a clerk can bear."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page

from tests.web import desk_work
from tests.web.conftest import Sites
from tests.web.keystrokes import Task

PRESSES_MAX: dict[Callable[[Sites, Page], Task], int] = {
    desk_work.enrol: 12,
    desk_work.replace: 25,
    desk_work.rides_left: 2,
    desk_work.change_rule: 45,
    desk_work.close_month: 22,
}
"""A little more than they take; a page that grows by a row of links in the way is noticed."""
SCREENS_MAX = 5


@pytest.mark.parametrize("task", desk_work.TASKS, ids=lambda task: task.__name__)
def test_a_daily_task_takes_few_keys_and_screens(
    sites: Sites, office: Page, task: Callable[[Sites, Page], Task]
) -> None:
    desk_work.prepare(sites)
    counted = task(sites, office).counted
    assert counted.presses <= PRESSES_MAX[task]
    assert counted.screens <= SCREENS_MAX
