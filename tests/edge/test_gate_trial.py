"""A school's gate on a real browser, with both halves of the reader and without a network.

Once by touch, once by the keyboard alone, once without a script, once with halves that die.
"""

import asyncio
import datetime
import socket
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Locator, Page, expect

from hw.sim.antenna import Antenna
from hw.sim.mynumber import MyNumberCard
from programmes.calendar import local_day, start_of_day_ms
from programmes.texts import say
from tests.edge.gate_kit import TEACHERS, Gate, SchoolClock, make_whole_gate, said
from tests.edge.reader_kit import ATTENDANCE, lift, running
from tests.edge.rig import until
from tests.edge.taxi_kit import Taxi, driving
from tests.edge.test_page import browser, violations
from wire.clock import SystemClock
from wire.credential import Scheme
from wire.entries import Answer, Redirect

__all__ = ["browser"]
SCREEN = {"width": 1280, "height": 800}
WITHIN_MS = 15_000
SMALLEST_PX = 56
"""WCAG 2.2, 2.5.5 (AAA) asks for 44."""
FORGETFUL, TIDY = TEACHERS


@pytest.fixture
async def school(tmp_path: Path, antenna: Antenna) -> AsyncIterator[Taxi]:
    """A gate at which one teacher came at noon of the day before, and never left."""
    made = make_whole_gate(tmp_path, antenna)
    day = local_day(SystemClock().now_ms(), 4) - datetime.timedelta(days=1)
    with running(made.kit, SchoolClock(start_of_day_ms(day, 12))) as link:
        await asyncio.to_thread(lambda: Gate(link, antenna).hold(FORGETFUL))
    with driving(made):
        yield made


class Screen:
    """What a teacher sees and does."""

    def __init__(self, school: Taxi, page: Page) -> None:
        self.school, self.page = school, page
        page.set_default_timeout(WITHIN_MS)
        page.on("pageerror", lambda error: pytest.fail(str(error)))

    async def open(self) -> None:
        port = self.school.kit.config.page_port
        await until(lambda: listens(port), "the network half listens")
        await self.page.goto(f"{self.school.url}/")
        await self.reads("#ja", say("idle.school"))

    async def hold(self, card: MyNumberCard, says: str) -> None:
        """Hold a card until the page says so, and take it away."""
        self.school.antenna.place(card)
        await self.reads("#ja", says)
        await asyncio.to_thread(lift, self.school.antenna)

    async def reads(self, place: str, text: str) -> None:
        await expect(self.page.locator(place)).to_contain_text(text, timeout=WITHIN_MS)

    def direction(self, name: str) -> Locator:
        return self.page.locator(f"#to-{name}")

    async def stands(self, name: str) -> None:
        await expect(self.direction(name)).to_have_attribute("aria-pressed", "true")

    async def is_good(self) -> None:
        """Nothing lies beside or below the screen, all is large, and axe finds nothing."""
        assert await violations(self.page) == []
        over: int = await self.page.evaluate(
            "Math.max(document.documentElement.scrollWidth - innerWidth,"
            " document.documentElement.scrollHeight - innerHeight)"
        )
        assert over <= 0
        for button in await self.page.locator("button:visible, summary:visible").all():
            box = await button.bounding_box()
            assert box, await button.inner_text()
            assert min(box["width"], box["height"]) >= SMALLEST_PX, await button.inner_text()


def listens(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


async def opened(browser: Browser, school: Taxi, **more: Any) -> Screen:
    context = await browser.new_context(viewport=SCREEN, reduced_motion="reduce", **more)  # type: ignore[arg-type]
    screen = Screen(school, await context.new_page())
    await screen.open()
    return screen


def answers(school: Taxi) -> Sequence[Answer]:
    return [one for one in said(school.kit) if isinstance(one, Answer)]


async def test_by_touch(school: Taxi, browser: Browser) -> None:
    screen = await opened(browser, school, has_touch=True)
    page = screen.page
    await screen.is_good()
    guessed = page.locator("[data-guess]")
    await expect(guessed).to_have_count(1)
    await expect(guessed).to_contain_text(say("gate.guess"))
    # Before the tap.
    await screen.direction("away").tap()
    await screen.stands("away")
    await screen.reads("#answer", say("gate.chosen-away"))
    await screen.hold(TIDY, "外出")
    await screen.stands("away")
    await screen.is_good()
    # Just after it.
    await screen.direction("back").tap()
    await screen.reads("#ja", "戻りに直しました")
    await screen.stands("back")
    (word,) = said(school.kit)
    assert isinstance(word, Redirect)
    assert word.declared == "back"
    # The next person is asked, and need not answer.
    await screen.hold(FORGETFUL, "出勤")
    await screen.reads("#answer", "の退勤は何時でしたか")
    await screen.is_good()
    await page.locator("#other").tap()
    await expect(page.locator(".minutes")).to_be_visible()
    await screen.is_good()
    await page.locator("#other").tap()
    await page.locator(".times button", has_text="17:30").tap()
    await screen.reads("#ja", say("attendance.answered"))
    await expect(page.locator(".question")).to_have_count(0)
    (answer,) = answers(school)
    assert answer.claimed_at_ms == start_of_day_ms(answer.day, 17) + 30 * 60_000


async def test_by_the_keyboard_alone(school: Taxi, browser: Browser) -> None:
    screen = await opened(browser, school)
    keys, page = screen.page.keyboard, screen.page

    async def walk_to(name: str) -> None:
        for _ in range(60):
            if await page.evaluate("document.activeElement.id") == name:
                return
            await keys.press("Tab")
        pytest.fail(f"{name} is not reached")

    await walk_to("to-out")
    await keys.press("Enter")
    await screen.stands("out")
    await screen.hold(FORGETFUL, "退勤")
    await screen.reads("#answer", "の退勤は何時でしたか")
    assert await page.evaluate("document.activeElement.id") == "to-out", "the focus stays"
    await page.evaluate("document.activeElement.blur()")
    await walk_to("other")
    await keys.press("Enter")
    await keys.press("Tab")
    await keys.press("ArrowRight")
    await keys.press("Tab")
    await keys.press("Tab")
    await keys.press("Enter")
    await screen.reads("#ja", say("attendance.answered"))
    (answer,) = answers(school)
    assert answer.claimed_at_ms == start_of_day_ms(answer.day, 13) + 10 * 60_000
    assert await violations(page) == []


async def test_a_name_is_on_the_screen_only_until_the_next_person_wants_it(
    school: Taxi, browser: Browser
) -> None:
    kit = school.kit
    tidy = kit.credential(ATTENDANCE, Scheme.COMMON_AP, TIDY)
    kit.give_names(ATTENDANCE, {tidy: "長曽我部 ジャクリーン・マリア・デ・ラ・クルス・ゴンサレス"})
    school.kill("tap")
    school.start("tap")
    screen = await opened(browser, school)
    who = screen.page.locator(".who")
    await expect(who).to_have_count(0)
    await screen.hold(TIDY, "出勤")
    await expect(who).to_contain_text("長曽我部 ジャクリーン")
    await expect(who).to_contain_text("さん")
    await screen.is_good()
    await screen.page.locator("#next").click()
    await expect(who).to_have_count(0)
    school.antenna.place(FORGETFUL)
    await expect(screen.page.locator(".question")).to_be_visible(timeout=WITHIN_MS)
    await expect(who).to_have_count(0)


async def test_a_question_is_put_off_and_not_known(school: Taxi, browser: Browser) -> None:
    screen = await opened(browser, school)
    await screen.hold(FORGETFUL, "出勤")
    await screen.page.locator("#later").click()
    await expect(screen.page.locator(".question")).to_have_count(0)
    assert answers(school) == []
    await screen.hold(FORGETFUL, say("attendance.repeat"))
    await screen.page.locator("#unknown").click()
    await screen.reads("#ja", say("attendance.answered"))
    (answer,) = answers(school)
    assert answer.claimed_at_ms is None


async def test_without_a_script_every_press_works(school: Taxi, browser: Browser) -> None:
    screen = await opened(browser, school, java_script_enabled=False)
    page = screen.page
    school.antenna.place(FORGETFUL)
    await until(lambda: len(school.kit.taps()) == 2, "the tap is kept")
    await page.reload()
    await screen.reads("#answer", "の退勤は何時でしたか")
    await page.locator("#other").click()
    await page.locator(".hours label").nth(1).click()
    await page.locator(".minutes button", has_text="20").click()
    await until(lambda: bool(answers(school)), "the answer is kept")
    assert await page.title() == say("page.title")
    await page.locator("#to-away").click()
    await until(lambda: len(said(school.kit)) == 2, "the direction is put right")


async def test_halves_that_die_take_the_person_off_the_screen_and_lose_no_word(
    school: Taxi, browser: Browser
) -> None:
    screen = await opened(browser, school)
    await screen.hold(FORGETFUL, "出勤")
    await screen.direction("away").click()
    await screen.reads("#ja", "外出に直しました")
    school.kill("tap")
    await screen.reads("#ja", say("idle.not-ready"))
    await expect(screen.page.locator(".question")).to_have_count(0)
    school.start("tap")
    await screen.reads("#ja", say("idle.school"))
    await screen.hold(FORGETFUL, say("attendance.repeat"))
    await screen.stands("away")
    await screen.reads("#answer", "の退勤は何時でしたか")
    school.kill("link")
    school.start("link")
    await screen.stands("away")
    assert len(said(school.kit)) == 1
