"""A driver's day on a real browser, with both halves of the reader and without a network.

Once by touch on a paired tablet, once by the keyboard alone on the reader's own screen, once with
halves that die in the middle. Nothing is waited for but what the driver sees.
"""

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Locator, Page, expect

from hw.sim.antenna import Antenna
from hw.sim.mynumber import MyNumberCard
from programmes.texts import say
from tests.edge.reader_kit import lift
from tests.edge.rig import until
from tests.edge.taxi_kit import DISCOUNT, Taxi, driving, make_taxi
from tests.edge.test_page import browser, violations
from wire.entries import Cancel, Ride, Shift

__all__ = ["browser"]
PRESSES_MAX = 4
PIN = "2468"
LANDSCAPE, PORTRAIT = {"width": 1280, "height": 800}, {"width": 800, "height": 1280}
WITHIN_MS = 15_000
CREDENTIAL = re.compile(r"[0-9a-f]{32}")


@pytest.fixture
async def taxi(tmp_path: Path, antenna: Antenna) -> AsyncIterator[Taxi]:
    with driving(make_taxi(tmp_path, antenna)) as taxi:
        yield taxi


def _listens(host: str, port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex((host, port)) == 0


class Cab:
    """What a driver does, and what he sees; counts presses that are no digits."""

    def __init__(self, taxi: Taxi, page: Page) -> None:
        self.taxi, self.page, self.presses = taxi, page, 0
        page.set_default_timeout(WITHIN_MS)
        page.on("pageerror", lambda error: pytest.fail(str(error)))
        page.on("response", lambda answer: self._look(answer.status, answer.url))

    def _look(self, status: int, url: str) -> None:
        assert status < 500, url

    async def open(self, url: str) -> None:
        """Open a page, as soon as the network half listens."""
        host, port = url.removeprefix("http://").partition("/")[0].split(":")
        await until(lambda: _listens(host, int(port)), "the network half listens")
        await self.page.goto(url)

    async def sees(self, stage: str) -> None:
        """Wait for a stage, when it may be pressed; axe finds nothing in it."""
        main = self.page.locator(f"main[data-stage={stage}]:not([inert])")
        await expect(main).to_be_visible(timeout=WITHIN_MS)
        assert await violations(self.page) == []

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=re.compile(f"^{re.escape(name)}"))

    async def tap(self, name: str) -> None:
        self.presses += 1
        await self.button(name).tap()

    async def digits(self, *keys: str) -> None:
        for key in keys:
            await self.page.get_by_role("button", name=key, exact=True).tap()

    async def hold(self, card: MyNumberCard, riders: int) -> None:
        """A rider holds his card until the page has so many."""
        self.taxi.antenna.place(card)
        aboard = self.page.locator("#riders li")
        await expect(aboard).to_have_count(riders, timeout=WITHIN_MS)
        await asyncio.to_thread(lift, self.taxi.antenna)

    async def amounts(self) -> list[str]:
        shown = await self.page.locator(".amounts dd").all_inner_texts()
        return [text.replace("\n", "") for text in shown]

    async def smallest_amount_px(self) -> float:
        size: float = await self.page.evaluate(
            "Math.min(...[...document.querySelectorAll('.amounts dd')]"
            ".map((one) => parseFloat(getComputedStyle(one).fontSize)))"
        )
        return size

    async def fits(self) -> bool:
        """True when nothing lies beside the screen."""
        over: int = await self.page.evaluate(
            "document.documentElement.scrollWidth - window.innerWidth"
        )
        return over <= 0


async def touched(browser: Browser, taxi: Taxi, size: dict[str, int]) -> Cab:
    context = await browser.new_context(viewport=size, has_touch=True)  # type: ignore[arg-type]
    return Cab(taxi, await context.new_page())


async def paired(browser: Browser, taxi: Taxi) -> Cab:
    """Choose the number and pair a tablet, both by touch; every page on the way is looked at."""
    screen = await touched(browser, taxi, LANDSCAPE)
    await screen.open(f"{taxi.url}/")
    assert await violations(screen.page) == []
    await screen.page.get_by_role("link", name=say("tablet.register")).tap()
    await screen.sees("choose")
    await screen.digits(*PIN)
    await screen.page.get_by_label(say("tablet.pin-again")).tap()
    await screen.digits(*PIN)
    await screen.tap(say("tablet.choose"))
    await screen.sees("devices")
    await screen.tap(say("tablet.register"))
    await screen.sees("offer")
    address = await screen.page.locator(".address").inner_text()
    await screen.page.context.close()
    tablet = await touched(browser, taxi, PORTRAIT)
    await tablet.open(f"{taxi.tablet_url}/")
    await tablet.sees("stranger")
    await tablet.page.goto(address)
    await tablet.sees("stranger")
    await tablet.tap(say("tablet.pair"))
    await expect(tablet.page.locator("header")).to_be_visible()
    return tablet


async def test_a_day_by_touch_on_a_paired_tablet(taxi: Taxi, browser: Browser) -> None:
    cab = await paired(browser, taxi)
    await cab.sees("shift")
    await cab.digits("4", "2")
    await cab.tap(say("tablet.begin"))
    await cab.sees("waiting")
    await expect(cab.page.locator("h1")).to_contain_text(say("idle.bus"))
    await expect(cab.page.locator("#offline")).to_be_visible()
    await _shared(cab)
    await _discounted(cab)
    await _taken_back(cab)
    await _ended(cab)
    entries = [kept.entry for kept in taxi.kit.entries()]
    rides = [one for one in entries if isinstance(one, Ride)]
    assert [(one.fare_yen, one.subsidy_yen, one.driver) for one in rides] == [
        (1500, 1000, "42"), (2000, 900, "42"),
    ]  # fmt: skip
    whys = [one.why for one in entries if isinstance(one, Cancel)]
    assert whys == ["removed", "wrong-fare"]
    assert [one.began for one in entries if isinstance(one, Shift)] == [True, False]


async def _shared(cab: Cab) -> None:
    """Two riders, who board one after the other, and a third who does not ride after all."""
    taxi = cab.taxi
    cab.presses = 0
    taxi.antenna.place(taxi.cards[0])
    await cab.sees("ride")
    await asyncio.to_thread(lift, taxi.antenna)
    await cab.digits("1", "5")
    await cab.hold(taxi.cards[1], riders=2)
    await expect(cab.page.locator("#fare")).to_have_value("15")  # who boards takes no digit away
    await cab.digits("00")
    await cab.tap(say("tablet.reckon"))
    await cab.sees("quote")
    assert await cab.amounts() == ["1,000円", "500円"]
    assert await cab.smallest_amount_px() >= 64
    assert await cab.fits()
    await cab.tap(say("tablet.done"))
    await cab.sees("result")
    assert cab.presses <= PRESSES_MAX
    assert await cab.amounts() == ["1,000円", "500円"]
    await expect(cab.page.locator(".left li").first).to_contain_text(
        say("tablet.left-year", left="119")
    )
    async with cab.page.expect_response("**/static/voice/*.opus") as recording:
        await cab.tap(say("tablet.hear"))
    assert (await recording.value).ok
    taxi.antenna.place(taxi.cards[2])  # the next tap ends what stood there
    await cab.sees("ride")
    await asyncio.to_thread(lift, taxi.antenna)
    await cab.tap(say("tablet.take-off", n=1))
    await cab.sees("waiting")


async def _discounted(cab: Cab) -> None:
    """A ride with another discount; the driver goes back once and corrects the fare."""
    cab.presses = 0
    cab.taxi.antenna.place(cab.taxi.cards[2])
    await cab.sees("ride")
    await asyncio.to_thread(lift, cab.taxi.antenna)
    await cab.digits("9", "0")
    await cab.tap(say("tablet.reckon"))
    await cab.sees("quote")
    await cab.page.get_by_role("link", name=say("tablet.back")).tap()
    await cab.sees("ride")
    await expect(cab.page.locator("#fare")).to_have_value("90")
    cab.presses = 0
    await cab.digits("消す Clear")
    await cab.digits("2", "00", "0")
    await cab.page.get_by_label(DISCOUNT).tap()
    cab.presses += 1
    await cab.tap(say("tablet.reckon"))
    await cab.sees("quote")
    assert await cab.amounts() == ["900円", "900円"]
    await cab.tap(say("tablet.done"))
    await cab.sees("result")
    assert cab.presses <= PRESSES_MAX
    await cab.tap(say("tablet.next"))
    await cab.sees("waiting")


async def _taken_back(cab: Cab) -> None:
    await cab.page.get_by_role("link", name=re.compile("^きょうの")).tap()
    await cab.sees("pin")
    await cab.digits(*PIN)
    await cab.tap(say("tablet.open"))
    await cab.sees("list")
    assert await cab.amounts() == ["2", "1,900円", "1,400円"]
    text = await cab.page.locator("main").inner_text()
    assert not CREDENTIAL.search(text)
    await cab.page.get_by_role("link", name=re.compile("を取り消す")).first.tap()
    await cab.sees("cancel")
    await cab.tap(say("tablet.why-wrong-fare"))
    await cab.sees("list")
    assert await cab.amounts() == ["1", "1,000円", "500円"]
    await expect(cab.page.locator("tr.back")).to_have_count(1)
    await cab.tap(say("tablet.lock"))
    await cab.sees("waiting")


async def _ended(cab: Cab) -> None:
    await cab.page.get_by_role("link", name=say("tablet.end")).tap()
    await cab.sees("end")
    await cab.tap(say("tablet.end-now"))
    await cab.sees("shift")


async def test_a_ride_by_the_keyboard_alone_on_the_readers_own_screen(
    taxi: Taxi, browser: Browser
) -> None:
    page = await browser.new_page(viewport=LANDSCAPE)  # type: ignore[arg-type]
    cab, keys = Cab(taxi, page), page.keyboard
    await cab.open(f"{taxi.url}/tablet")
    await cab.sees("shift")
    await keys.type("7")
    await keys.press("Enter")
    await cab.sees("waiting")
    taxi.antenna.place(taxi.cards[0])
    await cab.sees("ride")
    await asyncio.to_thread(lift, taxi.antenna)
    await keys.type("15")
    await cab.hold(taxi.cards[1], riders=2)
    await keys.type("00")
    await keys.press("Enter")
    await cab.sees("quote")
    assert await cab.fits()
    await keys.press("Shift+Tab")  # «もどる» lies before «完了»
    await keys.press("Enter")
    await cab.sees("ride")
    await expect(page.locator("#fare")).to_have_value("1500")
    await keys.press("Enter")
    await cab.sees("quote")
    await cab.hold(taxi.cards[2], riders=3)  # somebody boards who is not in these amounts
    await cab.sees("ride")
    await expect(page.get_by_role("alert")).to_contain_text(say("tablet.changed"))
    await expect(page.locator("#fare")).to_have_value("1500")
    await keys.press("Enter")
    await cab.sees("quote")
    await keys.press("Enter")
    await cab.sees("result")
    assert await cab.amounts() == ["1,500円", "0円"]
    await keys.press("Enter")
    await cab.sees("waiting")
    (ride,) = [one.entry for one in taxi.kit.entries() if isinstance(one.entry, Ride)]
    assert (ride.fare_yen, len(ride.riders)) == (1500, 3)


async def test_halves_that_die_in_the_middle_of_a_ride_cost_neither_rider_nor_fare(
    taxi: Taxi, browser: Browser
) -> None:
    cab = Cab(taxi, await browser.new_page(viewport=LANDSCAPE))  # type: ignore[arg-type]
    await cab.open(f"{taxi.url}/tablet")
    await cab.sees("shift")
    await cab.page.keyboard.type("7")
    await cab.page.keyboard.press("Enter")
    await cab.sees("waiting")
    taxi.antenna.place(taxi.cards[0])
    await cab.sees("ride")
    taxi.kill("tap")
    taxi.antenna.remove()
    await cab.sees("closed")
    taxi.start("tap")
    await cab.sees("ride")
    await expect(cab.page.locator("#riders li")).to_have_count(1)
    taxi.kill("link")
    taxi.start("link")
    await cab.hold(taxi.cards[1], riders=2)
    await cab.page.locator("#fare").fill("3000")
    await cab.page.keyboard.press("Enter")
    await cab.sees("quote")
    await cab.page.keyboard.press("Enter")
    await cab.sees("result")
    assert await cab.amounts() == ["1,000円", "2,000円"]


async def test_without_a_script_the_page_is_complete(taxi: Taxi, browser: Browser) -> None:
    context = await browser.new_context(java_script_enabled=False)
    cab = Cab(taxi, await context.new_page())
    await cab.open(f"{taxi.url}/tablet")
    page = cab.page
    while await page.locator("main[data-stage=shift]").count() == 0:
        await page.reload()  # the card half is still starting
    await page.get_by_role("textbox").fill("7")
    await cab.button(say("tablet.begin")).click()
    taxi.antenna.place(taxi.cards[0])
    while await page.locator("main[data-stage=ride]").count() == 0:
        await page.reload()
    for key in ("8", "00"):
        await page.get_by_role("button", name=key, exact=True).click()
    await cab.button(say("tablet.reckon")).click()
    await cab.button(say("tablet.done")).click()
    await expect(page.locator("main")).to_have_attribute("data-stage", "result")
    assert await cab.amounts() == ["400円", "400円"]
