"""The reader's own page: what people see and hear of it, and whom it refuses."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import msgspec
import pytest
from playwright.async_api import Browser, ConsoleMessage, Page, async_playwright, expect

from edge.board import CLIENTS_MAX, EVENTS_MAX, Board
from edge.clock import ReaderClock, Stamp
from edge.config import Config
from edge.journal import FOLDER
from edge.journal_writer import Journal
from edge.looks import AGAIN, look
from edge.panel import Condition, Declared, FromLink, Pressed, Shown, Vehicle
from edge.requests import Requests
from edge.today import RESULTS_MAX, Today
from edge.voice import clips
from edge.web import app
from edge.web.app import serve
from programmes.calendar import local_day, start_of_day_ms
from programmes.texts import LANGUAGES, say
from tests.browser import LOOK_WITH_AXE, chromium
from tests.edge.rig import free_port, until
from wire.clock import ClockState, SystemClock
from wire.codes import Code, Outcome
from wire.entries import Press, Tap

READY = Condition(
    ready=True, trouble=None, front_end="udp", clock=ClockState.SYNCHRONISED, rosters={}
)
JOURNAL = "a" * 32
INDIVIDUAL_NUMBER = "123456789018"


@dataclass
class Site:
    """A page that is served, with a card half that answers presses."""

    config: Config
    tap_there: bool = True
    heard: list[FromLink] = field(default_factory=list)
    n: int = 0

    def __post_init__(self) -> None:
        self.requests = Requests(
            ReaderClock(SystemClock(), 0), self._say, self._changed, at_a_desk=True
        )
        self.board = Board(SystemClock().now_ms, self._say, self.requests)
        self.board.condition, self.board.online = READY, True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.config.page_port}"

    def _changed(self) -> None:
        self.board.changed()

    def _say(self, message: FromLink) -> bool:
        if self.tap_there:
            self.heard.append(message)
            if isinstance(message, Pressed):
                loop = asyncio.get_running_loop()
                loop.call_soon(self.show, f"press.{message.button}")
        return self.tap_there

    def show(
        self,
        message: str,
        outcome: Outcome = Outcome.ACCEPTED,
        code: Code = Code.OK,
        **arguments: str,
    ) -> None:
        self.n += 1
        self.board.shown(
            Shown(
                journal=JOURNAL,
                n=self.n,
                at_ms=SystemClock().now_ms(),
                outcome=outcome,
                code=code,
                message=message,
                arguments=arguments,
                stages_us={} if message.startswith("press.") else {"total": 90_000},
            )
        )

    def refuse(self, code: Code) -> None:
        self.show(f"refused.{code}", Outcome.REFUSED, code)


def config(kind: str = "bus") -> Config:
    return msgspec.convert(
        {
            "reader": "kazasu-shi/bus-1",
            "place": "bus-1",
            "place_kind": kind,
            "programmes": ["senior-pass"],
            "front_end": "udp:127.0.0.1:1",
            "technologies": ["106B"],
            "broker_host": "localhost",
            "broker_port": 1,
            "devices_url": "https://localhost",
            "page_port": free_port(),
        },
        Config,
    )


@contextlib.asynccontextmanager
async def serving(kind: str = "bus") -> AsyncIterator[Site]:
    site = Site(config(kind))
    task = asyncio.create_task(serve(site.board, site.config))
    try:
        async with aiohttp.ClientSession() as http:
            while True:
                with contextlib.suppress(aiohttp.ClientConnectionError):
                    await (await http.get(f"{site.url}/healthz")).read()
                    break
                assert not task.done()
                await asyncio.sleep(0.01)
        yield site
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.fixture
async def bus() -> AsyncIterator[Site]:
    async with serving("bus") as site:
        yield site


@pytest.fixture
async def school() -> AsyncIterator[Site]:
    async with serving("school") as site:
        yield site


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(**chromium())
        yield browser
        await browser.close()


def _no_error(message: ConsoleMessage) -> None:
    """A refusal (HTTP 429, 503) is logged by the browser, and is no fault of the page."""
    refusal = message.text.startswith("Failed to load resource")
    assert message.type != "error" or refusal, message.text


async def opened(browser: Browser, url: str) -> Page:
    page = await browser.new_page(viewport={"width": 1280, "height": 800})
    await page.emulate_media(reduced_motion="reduce")  # colours change at once
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on("pageerror", lambda error: pytest.fail(str(error)))
    page.on("console", _no_error)
    async with page.expect_request("**/events"):
        await page.goto(url)
    assert all(request.startswith(url.rsplit("/", 1)[0]) for request in requests)
    return page


# --- what is seen --------------------------------------------------------------------------------


async def pixels(page: Page, element: str) -> float:
    size: float = await page.evaluate(
        "id => parseFloat(getComputedStyle(document.getElementById(id)).fontSize)", element
    )
    return size


async def test_each_result_has_its_shape_word_and_colour_and_ends_by_itself(
    bus: Site, browser: Browser
) -> None:
    page = await opened(browser, f"{bus.url}/")
    await until(lambda: bus.board._pages, "the page listens")
    assert await pixels(page, "ja") >= 48
    assert await pixels(page, "en") >= 24
    await expect(page.locator("#ja")).to_have_text(say("idle.bus"))
    colours = set()
    steps: tuple[tuple[Callable[[], None], str, str], ...] = (
        (lambda: bus.show("senior-pass.accepted", yen="50"), "○", "ありがとうございます。50円です"),
        (lambda: bus.show("senior-pass.repeat", Outcome.REPEAT, Code.REPEAT), "・", "受付済みです"),
        (lambda: bus.refuse(Code.UNKNOWN), "×", "登録がありません。市役所の窓口へ"),
        (lambda: bus.refuse(Code.HOLD_AGAIN), "↻", "もう一度かざしてください"),
    )
    for show, shape, ja in steps:
        show()
        await expect(page.locator("#ja")).to_have_text(ja)
        await expect(page.locator("#shape")).to_have_text(shape)
        colours.add(await page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert len(colours) == 4
    await expect(page.locator("#ja")).to_have_text(say("idle.bus"), timeout=7000)


async def test_a_reader_that_is_not_ready_or_not_connected_says_so(
    bus: Site, browser: Browser
) -> None:
    page = await opened(browser, f"{bus.url}/")
    await expect(page.locator("#offline")).to_be_hidden()
    await until(lambda: bus.board._pages, "the page listens")
    bus.board.condition, bus.board.online = None, False
    bus.board.changed()
    await expect(page.locator("#ja")).to_have_text(say("idle.not-ready"))
    await expect(page.locator("#offline")).to_be_visible()
    bus.board.condition = READY
    bus.board.changed()
    await expect(page.locator("#ja")).to_have_text(say("idle.bus"))


async def test_a_dead_network_half_closes_the_screen(browser: Browser) -> None:
    async with serving() as site:
        page = await browser.new_page()
        async with page.expect_request("**/events"):
            await page.goto(f"{site.url}/")
        await until(lambda: site.board._pages, "the page listens")
    await expect(page.locator("#ja")).to_have_text(say("idle.not-ready"), timeout=8000)


async def test_a_teacher_chooses_a_direction_and_the_next_tap_takes_it(
    school: Site, browser: Browser
) -> None:
    page = await opened(browser, f"{school.url}/")
    await until(lambda: school.board._pages, "the page listens")
    out = page.locator("#to-out")
    await out.click()
    await expect(out).to_have_attribute("aria-pressed", "true")
    assert school.heard == [Declared(direction="out")]
    school.show("attendance.out", time="17:05")
    await expect(page.locator("#ja")).to_have_text("お疲れさまでした 17:05 退勤")
    await expect(out).to_have_attribute("aria-pressed", "false")


async def test_the_driver_counts_persons_and_sees_the_last_results(
    bus: Site, browser: Browser
) -> None:
    page = await opened(browser, f"{bus.url}/driver")
    await until(lambda: bus.board._pages, "the page listens")
    button = page.get_by_role("button", name="提示のみ")
    box = await button.bounding_box()
    assert box
    assert box["height"] >= 64
    await button.dblclick()
    await expect(page.locator("#answer")).to_contain_text("○ 提示のみで1名を数えました")
    await expect(page.locator("[data-button=present-only]")).to_have_text("1")
    assert bus.heard == [Pressed(button="present-only")]
    for number in range(12):
        bus.refuse(Code.EXPIRED) if number % 2 else bus.show("senior-pass.accepted-free")
    await expect(page.locator("#results tr")).to_have_count(RESULTS_MAX)
    bus.board.waiting = 12
    bus.board.changed()
    await expect(page.locator("#waiting")).to_have_text("12")
    bus.tap_there = False
    await page.get_by_role("button", name="機器故障").click()
    await expect(page.locator("#answer")).to_contain_text(say("page.no-answer"))


async def test_without_a_script_the_pages_are_complete_and_the_buttons_work(
    bus: Site, browser: Browser
) -> None:
    context = await browser.new_context(java_script_enabled=False)
    page = await context.new_page()
    bus.refuse(Code.EXPIRED)
    await page.goto(f"{bus.url}/driver")
    await page.get_by_role("button", name="提示のみ").click()
    await expect(page).to_have_url(f"{bus.url}/driver")
    await expect(page.locator("[data-button=present-only]")).to_have_text("1")
    await expect(page.locator("#results")).to_contain_text("期限が切れています")
    await page.goto(f"{bus.url}/")
    await expect(page.locator("h1")).to_contain_text(say("idle.bus"))


@pytest.mark.parametrize("width", [320, 1280])
async def test_axe_finds_nothing_in_any_state(browser: Browser, width: int) -> None:
    pages = [("bus", "/driver"), ("school", "/")] + [("bus", "/")] * (width > 320)
    for kind, path in pages:
        async with serving(kind) as site:
            page = await browser.new_page(viewport={"width": width, "height": 720})
            await page.emulate_media(reduced_motion="reduce")
            await page.goto(f"{site.url}{path}")
            await until(lambda site=site: site.board._pages, "the page listens")  # type: ignore[misc]
            site.board.online = False
            found = [await violations(page)]
            site.show("senior-pass.accepted-free")
            for code in (Code.UNKNOWN, Code.HOLD_AGAIN, Code.REPEAT):
                repeat = code is Code.REPEAT
                name = "senior-pass.repeat" if repeat else f"refused.{code}"
                site.show(name, Outcome.REPEAT if repeat else Outcome.REFUSED, code)
                await expect(page.locator("#ja")).to_have_text(say(name))
                found.append(await violations(page))
            site.board.condition = None
            site.board.changed()
            await expect(page.locator("#ja")).to_have_text(say("idle.not-ready"))
            found.append(await violations(page))
            assert found == [[]] * 5
            side = "Height" if path == "/" and width > 320 else "Width"  # one message, one screen
            overflow = f"document.documentElement.scroll{side} - window.inner{side}"
            assert await page.evaluate(overflow) <= 0
            await page.close()


async def violations(page: Page) -> list[str]:
    found: list[str] = await page.evaluate(LOOK_WITH_AXE)
    return found


# --- whom it refuses -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "status"), [("127.0.0.1", 200), ("localhost", 200), ("evil.example", 421)]
)
async def test_it_answers_under_its_own_name_alone(
    bus: Site, http: aiohttp.ClientSession, host: str, status: int
) -> None:
    headers = {"Host": f"{host}:{bus.config.page_port}"}
    for path in ("/", "/events", "/static/page.js"):
        async with http.get(f"{bus.url}{path}", headers=headers) as response:
            assert response.status == status
            assert "default-src 'none'" in response.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("bus", "/press/present-only"),
        ("school", "/declare/in"),
        ("school", f"/gate/{JOURNAL}/1/out"),
        ("school", f"/gate/{JOURNAL}/1/answer"),
        ("school", f"/gate/{JOURNAL}/1/stay"),
        ("school", "/gate/left"),
        ("bus", "/vehicle"),
    ],
)
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
)
async def test_foreign_pages_change_nothing(
    http: aiohttp.ClientSession, kind: str, path: str, headers: dict[str, str]
) -> None:
    async with serving(kind) as site:
        async with http.post(f"{site.url}{path}", headers=headers, data=b"{}") as response:
            assert response.status == 403
        assert not site.heard


@pytest.mark.parametrize("kind", ["bus", "taxi", "school", "desk", "kiosk"])
async def test_each_kind_of_place_has_its_own_buttons_and_no_others(
    http: aiohttp.ClientSession, kind: str
) -> None:
    async with serving(kind) as site:
        headers = {"Origin": site.url}
        pressing, declaring = (404, 404)
        if kind in ("bus", "taxi"):
            pressing = 200
        elif kind == "school":
            declaring = 200
        async with http.get(f"{site.url}/driver") as response:
            assert response.status == pressing
        for path, status in (
            ("/press/present-only", pressing),
            ("/press/device-fault", pressing),
            ("/declare/in", declaring),
            ("/declare/back", declaring),
            ("/gate/left", declaring),
            ("/declare/up", 404),
        ):
            async with http.post(f"{site.url}{path}", headers=headers) as response:
                assert response.status == status, path
        assert bool(site.heard) == (200 in (pressing, declaring))
        async with http.get(f"{site.url}/") as response:
            html = await response.text()
        assert ("/declare/" in html) == (declaring == 200)
        assert "/press/" not in html
        assert "/driver" not in html


async def test_buttons_need_an_origin_and_the_vehicles_equipment_does_not(
    bus: Site, http: aiohttp.ClientSession
) -> None:
    async with http.post(f"{bus.url}/press/present-only") as response:
        assert response.status == 403
    said = {"duty": "A12", "stop": "駅前", "line": "3"}
    async with http.post(f"{bus.url}/vehicle", json=said) as response:
        assert response.status == 204
    assert bus.heard == [Vehicle(duty="A12", stop="駅前", line="3")]


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"{", "malformed"),
        (b'{"driver": "x"}', "malformed"),
        (b'{"duty": "' + b"x" * 41 + b'"}', "malformed"),
        (b'{"duty": "' + INDIVIDUAL_NUMBER.encode() + b'"}', "individual-number"),
    ],
)
async def test_the_vehicle_is_not_believed_everything(
    bus: Site, http: aiohttp.ClientSession, body: bytes, error: str
) -> None:
    async with http.post(f"{bus.url}/vehicle", data=body) as response:
        assert response.status == 422
        answer = await response.json()
    assert answer["error"] == error
    assert INDIVIDUAL_NUMBER not in answer["hint"]
    assert not bus.heard


async def test_a_large_request_is_refused(bus: Site, http: aiohttp.ClientSession) -> None:
    async with http.post(f"{bus.url}/vehicle", data=b"x" * 5000) as response:
        assert response.status == 413


async def test_a_press_is_confirmed_when_it_is_kept_and_a_trembling_finger_counts_once(
    bus: Site, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = {"Origin": bus.url, "Accept": "application/json"}
    press = f"{bus.url}/press/device-fault"
    async with http.post(press, headers=headers) as response:
        assert (response.status, (await response.json())["message"]) == (200, "press.device-fault")
    async with http.post(press, headers=headers) as response:
        assert (response.status, (await response.json())["error"]) == (429, "pressed-too-soon")
    monkeypatch.setattr(app, "PRESS_PAUSE_S", 0.0)
    monkeypatch.setattr(app, "CONFIRM_S", 0.1)
    monkeypatch.setattr(bus, "show", lambda message: None)  # tap hangs
    async with http.post(press, headers=headers) as response:
        assert (response.status, (await response.json())["error"]) == (503, "no-answer")
    assert bus.board.today.pressed == {"device-fault": 1}


async def test_a_press_counts_when_every_page_is_taken(
    bus: Site, http: aiohttp.ClientSession
) -> None:
    streams = [await http.get(f"{bus.url}/events") for _ in range(CLIENTS_MAX)]
    async with http.get(f"{bus.url}/events") as response:
        assert response.status == 503
    headers = {"Origin": bus.url, "Accept": "application/json"}
    for button in ("present-only", "device-fault"):
        async with http.post(f"{bus.url}/press/{button}", headers=headers) as response:
            assert response.status == 200
            assert (await response.json())["message"] == f"press.{button}"
    assert bus.board.today.pressed == {"present-only": 1, "device-fault": 1}
    assert not bus.board._presses
    for stream in streams:
        stream.close()


async def test_two_buttons_at_once_each_get_their_own_answer(
    bus: Site, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(bus, "show", asked.append)
    headers = {"Origin": bus.url, "Accept": "application/json"}

    async def press(button: str) -> str:
        async with http.post(f"{bus.url}/press/{button}", headers=headers) as response:
            message: str = (await response.json())["message"]
            return message

    presses = [asyncio.create_task(press(button)) for button in ("present-only", "device-fault")]
    await until(lambda: len(asked) == 2, "both are with tap")
    for message in ("press.device-fault", "press.present-only"):
        Site.show(bus, message)
    assert await asyncio.gather(*presses) == ["press.present-only", "press.device-fault"]


async def test_a_press_that_cannot_be_kept_says_why_and_a_tap_is_no_answer(
    bus: Site, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_said: FromLink) -> bool:
        bus.refuse(Code.UNKNOWN)  # somebody's card
        refusal = Shown(
            journal=JOURNAL,
            n=0,
            at_ms=SystemClock().now_ms(),
            outcome=Outcome.REFUSED,
            code=Code.JOURNAL_FULL,
            message="refused.journal-full",
            arguments={},
            stages_us={},
        )
        bus.board.shown(refusal)
        return True

    monkeypatch.setattr(bus.board, "say", full)
    headers = {"Origin": bus.url, "Accept": "application/json"}
    async with http.post(f"{bus.url}/press/present-only", headers=headers) as response:
        assert response.status == 503
        answer = await response.json()
    assert answer["error"] == "journal-full"
    assert answer["hint"] == say("refused.journal-full")


async def test_the_stream_carries_each_result_and_at_most_so_many_pages(
    bus: Site, http: aiohttp.ClientSession
) -> None:
    streams = [await http.get(f"{bus.url}/events") for _ in range(CLIENTS_MAX)]
    async with http.get(f"{bus.url}/events") as response:
        assert response.status == 503
    first = streams[0].content
    assert await first.readline() == b"event: condition\n"
    await first.readuntil(b"\n\n")
    bus.show("senior-pass.accepted", yen="50")
    assert await first.readline() == b"event: shown\n"
    event = msgspec.json.decode((await first.readline()).removeprefix(b"data: "))
    assert event.pop("at_ms")
    assert event == {
        "journal": JOURNAL,
        "n": 1,
        "outcome": "accepted",
        "code": "ok",
        "look": "accepted",
        "message": "senior-pass.accepted",
        "ja": "ありがとうございます。50円です",
        "en": "Thank you. 50 yen, please",
        "clips": clips("senior-pass.accepted", {"yen": "50"}),
        "stages_us": {"total": 90000},
    }
    for stream in streams:
        stream.close()
    for _ in range(3):
        bus.board.changed()  # what is closed is noticed at the next word
        await asyncio.sleep(0)
    await until(lambda: not bus.board._pages, "closed pages are forgotten")


async def test_a_page_that_does_not_read_is_dropped_and_holds_nobody_up(bus: Site) -> None:
    page = bus.board.subscribe()
    for _ in range(EVENTS_MAX + 5):
        bus.board.changed()
    assert page not in bus.board._pages
    assert [page.get_nowait() for _ in range(page.qsize())][-1] is None


async def test_health_is_bad_without_the_card_half(bus: Site, http: aiohttp.ClientSession) -> None:
    async with http.get(f"{bus.url}/healthz") as response:
        assert response.status == 200
        assert await response.json() == {"tap": True, "ready": True, "online": True, "waiting": 0}
    bus.board.condition = None
    async with http.get(f"{bus.url}/healthz") as response:
        assert response.status == 503


# --- what is counted -----------------------------------------------------------------------------


@pytest.mark.parametrize("code", Code)
def test_every_code_has_a_look_and_every_refusal_a_sentence(code: Code) -> None:
    assert look(Outcome.REFUSED, code) == ("again" if code in AGAIN else "refused")
    for language in LANGUAGES:
        assert say(f"page.{look(Outcome.REFUSED, code)}", language)
        if code not in (Code.OK, Code.REPEAT, Code.DESK):
            assert say(f"refused.{code}", language)


def test_todays_counts_are_read_again_from_the_journal_and_end_with_the_day(
    tmp_path: Path,
) -> None:
    now_ms = start_of_day_ms(local_day(SystemClock().now_ms())) + 3_600_000
    at_ms = [now_ms - 7_200_000]
    journal = Journal(
        tmp_path / FOLDER,
        "kazasu-shi/bus-1",
        "boot",
        "test",
        lambda: Stamp(at_ms[0], 0, ClockState.SYNCHRONISED),
    )

    def press() -> None:
        common = {"v": 1, "n": 1, "mono_ms": 0, "clock": ClockState.SYNCHRONISED, "at_ms": at_ms[0]}
        journal.append(Press(programme="senior-pass", button="present-only", **common))  # type: ignore[arg-type]
        journal.append(
            Tap(
                programme="senior-pass",
                outcome=Outcome.ACCEPTED,
                code=Code.OK,
                shown="x",
                **common,  # type: ignore[arg-type]
            )
        )

    press()  # yesterday
    at_ms[0] = now_ms
    press()
    press()
    today = Today()
    assert today.read(tmp_path / FOLDER, "kazasu-shi/bus-1", now_ms) == 0
    assert (today.pressed, len(today.results)) == ({"present-only": 2}, 2)
    shown = Shown(
        journal=journal.id,
        n=journal.n - 1,
        at_ms=now_ms,
        outcome=Outcome.ACCEPTED,
        code=Code.OK,
        message="press.present-only",
        arguments={},
        stages_us={},
    )
    today.take(shown)  # told of again: it was read already
    assert today.pressed["present-only"] == 2
    today.take(msgspec.structs.replace(shown, n=journal.n + 1))
    assert today.pressed["present-only"] == 3
    tomorrow_ms = now_ms + 24 * 3_600_000
    today.take(msgspec.structs.replace(shown, n=journal.n + 2, at_ms=tomorrow_ms))
    assert (today.pressed, len(today.results)) == ({"present-only": 1}, 0)
    journal.close()
