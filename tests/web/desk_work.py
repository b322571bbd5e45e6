"""The clerk's daily tasks, done by the keyboard alone in a real browser, from the first page on."""

import re
from collections.abc import Callable
from typing import Final

from playwright.sync_api import Page

from fleet import desk_wait
from fleet.schema import desk_wait as waits
from fleet.schema import reader_state
from tests.web.conftest import Sites
from tests.web.keystrokes import Clerk, Task
from tests.web.riders import BUS, add_riders
from tests.web.town import NOW_MS
from wire.credential import Scheme
from wire.desk import DeskAnswer, DeskCard, DeskSaid


def prepare(sites: Sites) -> None:
    """Two riders with a rule and a consent, and a desk whose reader hears requests."""
    add_riders(sites)
    hears = reader_state.update().where(reader_state.c.reader.endswith("desk-1"))
    sites.town.change(hears.values(agent="kazasu-edge 0.3.0"))


def hold(sites: Sites, credential: str) -> None:
    """A card is held at the desk's reader."""
    opened = sites.town.persons()
    with opened.write() as connection:
        (wait,) = connection.execute(waits.select().where(waits.c.state == "waiting"))
        cards = [DeskCard(Scheme.COMMON_AP, 1, credential)]
        told = DeskAnswer(1, wait.id, wait.programme, NOW_MS, DeskSaid.READ, cards)
        assert desk_wait.hear(connection, wait.reader, told, NOW_MS)
    opened.close()


def enrol(sites: Sites, page: Page) -> Task:
    """Somebody new: person, conditions, consent, card; the slip is one key away."""
    clerk = Clerk(page, f"{sites.office}/")
    clerk.open(page.get_by_role("link", name="新しく登録する"))
    clerk.write(page.locator("#name"), "渡邉　舞")
    clerk.write(page.locator("#kana"), "わたなべ　まい")
    clerk.write(page.locator("#birth_date"), "S15.4.1")
    clerk.tick(page.locator("#resident"))
    clerk.tick(page.locator("#consent"))
    clerk.send()
    page.locator("#desk-wait .answer").wait_for()
    hold(sites, "ab" * 16)
    page.wait_for_url(re.compile(r"/enrol/done/\d+$"))
    clerk.counted.screens += 1
    return clerk.done("enrol somebody, card included")


def replace(sites: Sites, page: Page) -> Task:
    """A card is lost: the member is found, the old card is stopped, the new one is read."""
    clerk = Clerk(page, f"{sites.office}/")
    _find(clerk, page, "S-001")
    clerk.open(page.get_by_role("link", name="新しいカードを渡す"))
    clerk.write(page.locator("#why"), "紛失")
    clerk.unfold(page.locator("button[name=desk][value=begin]"))
    page.locator("#desk-wait .answer").wait_for()
    hold(sites, "cd" * 16)
    page.wait_for_url(re.compile(r"/members/\d+$"))
    clerk.counted.screens += 1
    return clerk.done("replace a lost card")


def _find(clerk: Clerk, page: Page, search: str) -> None:
    clerk.write(page.locator("#search"), search)
    clerk.send()
    if not re.search(r"/members/\d+$", page.url):
        clerk.open(page.locator("tbody tr a").first)


def rides_left(sites: Sites, page: Page) -> Task:
    """«How many rides have I left?», by birth date."""
    clerk = Clerk(page, f"{sites.office}/")
    clerk.write(page.locator("#search"), "S15.4.1")
    clerk.send()
    assert "718" in page.locator("main").inner_text()
    return clerk.done("answer «how many rides have I left?»")


def change_rule(sites: Sites, page: Page) -> Task:
    """Next year's rule: written, looked through, put before an approver."""
    clerk = Clerk(page, f"{sites.office}/rules?programme={BUS}")
    clerk.open(page.get_by_role("link", name="新しい表"))
    clerk.write(page.locator("#rider_pays_yen"), "100")
    clerk.write(page.locator("#why"), "運賃の改定")
    clerk.open(page.get_by_role("button", name="確かめる"))
    clerk.open(page.get_by_role("button", name="承認を求める"))
    return clerk.done("change next year's rule, up to the second person")


def close_month(sites: Sites, page: Page) -> Task:
    """Last month's figures: looked at, with what is not in yet, and saved for the file."""
    clerk = Clerk(page, f"{sites.office}/reports?programme={BUS}")
    clerk.choose(page.locator("#month"), 2)
    clerk.open(page.get_by_role("button", name="表示"))
    clerk.save(page.get_by_role("link", name="Excel").last)
    return clerk.done("close a month: look at its figures, save them")


TASKS: Final[tuple[Callable[[Sites, Page], Task], ...]] = (
    enrol,
    replace,
    rides_left,
    change_rule,
    close_month,
)
