"""A clerk waits for a card: what stands on the reader's own page, and how to decline."""

import aiohttp
import pytest
from playwright.async_api import Browser, expect

from edge.panel import DeskAnswered, DeskAsked, DeskCancelled
from programmes.texts import say
from tests.edge.rig import until
from tests.edge.test_page import Site, browser, opened, serving
from wire.clock import SystemClock
from wire.codes import Code, Outcome
from wire.desk import DeskRequest, DeskSaid

__all__ = ["browser"]
PASS = "senior-pass"
ID = "ab" * 16


def ask(site: Site, purpose: str = "enrol", for_ms: int = 60_000) -> None:
    """A clerk waits, and the card half asks."""
    now_ms = SystemClock().now_ms()
    assert site.requests.hear(DeskRequest(1, ID, PASS, purpose, now_ms, now_ms + for_ms))
    answer(site, DeskSaid.ASKING)


def answer(site: Site, said: DeskSaid) -> None:
    site.requests.heard(DeskAnswered(ID, PASS, SystemClock().now_ms(), said, []))


async def test_the_page_asks_for_the_card_and_goes_back_when_nobody_waits(
    browser: Browser,
) -> None:
    async with serving("desk") as site:
        page = await opened(browser, f"{site.url}/")
        await until(lambda: site.board._pages, "the page listens")
        await expect(page.locator("#decline")).to_be_hidden()
        ask(site)
        await expect(page.locator("#ja")).to_have_text(say("desk.ask.enrol"))
        await expect(page.locator("#en")).to_have_text(say("desk.ask.enrol", "en"))
        await expect(page.locator("#shape")).to_have_text("▼")
        site.show("desk.read", Outcome.REPEAT, Code.DESK)
        answer(site, DeskSaid.CARD_NOT_USABLE)
        await expect(page.locator("#ja")).to_have_text(say("desk.read"))
        await expect(page.locator("#decline")).to_be_hidden()
        await expect(page.locator("#ja")).to_have_text(say("idle.bus"), timeout=10_000)


async def test_who_declines_tells_the_clerk(
    browser: Browser,
) -> None:
    async with serving("desk") as site:
        ask(site, "a-purpose-of-later")
        page = await opened(browser, f"{site.url}/")
        await expect(page.locator("#ja")).to_have_text(say("desk.ask"))
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await until(lambda: DeskCancelled(ID) in site.heard, "the card half hears of it")
        answer(site, DeskSaid.CANCELLED)
        await expect(page.locator("#decline")).to_be_hidden()
        await expect(page.locator("#ja")).to_have_text(say("idle.bus"))


@pytest.mark.parametrize(("kind", "status"), [("desk", 303), ("bus", 404)])
async def test_declining_works_without_a_script_and_only_at_a_desk(kind: str, status: int) -> None:
    async with serving(kind) as site, aiohttp.ClientSession() as http:
        sent = await http.post(f"{site.url}/desk/{ID}/cancel", allow_redirects=False)
        assert sent.status in (status, 403)
        headers = {"Origin": site.url}
        sent = await http.post(
            f"{site.url}/desk/{ID}/cancel", headers=headers, allow_redirects=False
        )
        assert sent.status == status
        assert (DeskCancelled(ID) in site.heard) is (kind == "desk")
        assert not any(isinstance(one, DeskAsked) for one in site.heard)
