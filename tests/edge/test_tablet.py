"""Which tablets are the driver's, what keeps others out, and what the staff's number opens."""

import asyncio
import contextlib
import json
import re
import stat
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import msgspec
import pytest

from edge import pin as pin_module
from edge.board import Board
from edge.clock import ReaderClock
from edge.config import Config, ConfigRefused, read_config
from edge.journal import FOLDER
from edge.panel import (
    Aboard,
    AboardRider,
    CancelRide,
    Fare,
    FareAnswer,
    FromLink,
    RideActed,
    TakeOff,
    TurnShift,
)
from edge.pin import FAILURES_MAX, PAUSE_S, Pin, Tried
from edge.requests import Requests
from edge.rides_today import Sum, rides_today
from edge.tablets import OFFER_S, TABLETS_MAX, NotPaired, Tablets
from edge.web.app import make_app
from edge.web.cab import Cab
from edge.web.pairing import COOKIE
from edge.web.tablet_door import make_tablet_app
from programmes.texts import say
from tests.edge.journal_kit import begin, now
from tests.edge.rig import free_port, until
from tests.edge.test_page import READY, config
from wire import door
from wire.clock import SystemClock
from wire.codes import Code, Outcome
from wire.credential import Scheme
from wire.entries import Cancel, Ride, Rider

JOURNAL = "ab" * 16
CREDENTIAL = "c0ffee" * 5 + "c0"
PIN = "2468"


class Time:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def time() -> Time:
    return Time()


def make_tablets(state: Path, time: Time) -> Tablets:
    return Tablets(state, time, SystemClock().now_ms)


# --- pairing, by itself ---------------------------------------------------------------------------


def test_a_code_pairs_one_tablet_and_its_token_is_kept_as_a_hash_for_the_reader_alone(
    tmp_path: Path, time: Time
) -> None:
    tablets = make_tablets(tmp_path, time)
    code = tablets.offer()
    token = tablets.pair(code)
    with pytest.raises(NotPaired, match="code"):
        tablets.pair(code)
    kept = tmp_path / "tablets.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert token not in kept.read_text("utf-8")
    assert len(token) >= 43, "256 bits"
    known = make_tablets(tmp_path, time).known(token)
    assert known is not None, "a restart forgets no tablet"
    tablets.revoke(known.number)
    assert make_tablets(tmp_path, time).known(token) is None


def test_a_code_is_over_after_two_minutes_and_when_another_is_shown(
    tmp_path: Path, time: Time
) -> None:
    tablets = make_tablets(tmp_path, time)
    first = tablets.offer()
    second = tablets.offer()
    assert not tablets.offers(first)
    time.now_s += OFFER_S - 1
    assert tablets.offers(second)
    time.now_s += 1
    with pytest.raises(NotPaired, match="code"):
        tablets.pair(second)
    assert not tablets.offers(""), "nothing on offer is not the empty code"


def test_four_tablets_are_enough(tmp_path: Path, time: Time) -> None:
    tablets = make_tablets(tmp_path, time)
    for _ in range(TABLETS_MAX):
        tablets.pair(tablets.offer())
    with pytest.raises(NotPaired, match="full"):
        tablets.offer()
    tablets.revoke(2)
    tablets.pair(tablets.offer())
    assert [one.number for one in tablets.paired] == [1, 2, 3, 4]


def test_a_damaged_file_pairs_nobody(tmp_path: Path, time: Time) -> None:
    (tmp_path / "tablets.json").write_bytes(b'{"tablets": [{"number": 1')
    assert make_tablets(tmp_path, time).paired == []


# --- the staff's number, by itself ----------------------------------------------------------------


def test_five_wrong_numbers_close_it_for_five_minutes_whoever_switches_it_off(
    tmp_path: Path, time: Time
) -> None:
    pin = Pin(tmp_path, time)
    assert not pin.is_set
    pin.choose(PIN)
    assert stat.S_IMODE((tmp_path / "pin.json").stat().st_mode) == 0o600
    assert PIN not in (tmp_path / "pin.json").read_text("utf-8")
    for _ in range(FAILURES_MAX):
        assert pin.try_open("0000", 1) is Tried.WRONG
    assert pin.try_open(PIN, 1) is Tried.PAUSED
    again = Pin(tmp_path, time)
    assert again.try_open(PIN, 1) is Tried.PAUSED
    time.now_s += PAUSE_S
    assert pin.try_open(PIN, 1) is Tried.OPEN
    assert pin.is_open(1)
    assert not pin.is_open(2), "it opens for one screen"
    time.now_s += pin_module.OPEN_S
    assert not pin.is_open(1)


def test_a_right_number_forgives_the_wrong_ones_before_it(tmp_path: Path, time: Time) -> None:
    pin = Pin(tmp_path, time)
    pin.choose(PIN)
    for _ in range(2):
        for _ in range(FAILURES_MAX - 1):
            assert pin.try_open("0000", 0) is Tried.WRONG
        assert pin.try_open(PIN, 0) is Tried.OPEN
    pin.choose("13579")
    assert not pin.is_open(0), "a new number closes what was open"
    assert pin.try_open(PIN, 0) is Tried.WRONG


# --- the day's list, by itself --------------------------------------------------------------------


def ride(fare: int, subsidy: int, driver: str = "7") -> Ride:
    stamp = now()
    rider = Rider(Scheme.COMMON_AP, 1, CREDENTIAL, subsidy_yen=subsidy)
    return Ride(
        v=1, n=1, **stamp._asdict(), programme="taxi", outcome=Outcome.ACCEPTED, code=Code.OK,
        shown="taxi.settled", riders=[rider], fare_yen=fare, boarded_at_ms=stamp.at_ms,
        driver=driver,
    )  # fmt: skip


def test_the_days_sums_leave_out_what_was_taken_back_and_hold_no_credential(
    tmp_path: Path,
) -> None:
    journal = begin(tmp_path)
    journal.append(ride(1000, 500))
    wrong, _ = journal.append(ride(9000, 1000))
    journal.append(ride(700, 350, "8"))
    cancel = Cancel(
        v=1, n=1, **now()._asdict(), programme="taxi", of_journal=journal.id, of_n=wrong,
        why="wrong-fare",
    )  # fmt: skip
    journal.append(cancel)
    today = rides_today(tmp_path, "kazasu-shi/bus-1", SystemClock().now_ms())
    tomorrow = rides_today(tmp_path, "kazasu-shi/bus-1", SystemClock().now_ms() + 86_400_000)
    journal.close()
    assert [(row.fare_yen, row.taken_back) for row in today.rows] == [
        (700, ""), (9000, "wrong-fare"), (1000, ""),
    ]  # fmt: skip
    assert today.total == Sum(2, 1700, 0, 850, 850)
    assert today.drivers == {"7": Sum(1, 1000, 0, 500, 500), "8": Sum(1, 700, 0, 350, 350)}
    assert CREDENTIAL not in repr(today)
    assert not tomorrow.rows


# --- both listeners -------------------------------------------------------------------------------


@dataclass
class Car:
    """Both listeners of one reader, with a card half that the test speaks for."""

    config: Config
    time: Time
    tap_answers: bool = True
    heard: list[FromLink] = field(default_factory=list)

    def __post_init__(self) -> None:
        clock = ReaderClock(SystemClock(), 0)
        requests = Requests(clock, self._say, lambda: None, at_a_desk=False)
        self.board = Board(SystemClock().now_ms, self._say, requests)
        self.board.condition = READY
        cab = Cab.of(self.board, self.config, self.time)
        assert cab
        self.cab = cab
        self.aboard(1)

    @property
    def screen(self) -> str:
        return f"http://127.0.0.1:{self.config.page_port}"

    @property
    def tablet(self) -> str:
        return f"http://127.0.0.1:{self.config.tablet_port}"

    def aboard(self, *taps: int, driver: str = "7") -> None:
        riders = [AboardRider(JOURNAL, n, SystemClock().now_ms(), "taxi.boarded") for n in taps]
        self.board.drives.heard(Aboard(driver, riders))

    def _say(self, said: FromLink) -> bool:
        self.heard.append(said)
        if self.tap_answers and isinstance(said, Fare | TakeOff | CancelRide | TurnShift):
            asyncio.get_running_loop().call_soon(self._answer, said)
        return True

    def _answer(self, said: Fare | TakeOff | CancelRide | TurnShift) -> None:
        if isinstance(said, Fare):
            self.board.drives.heard(settled(said))
        else:
            self.board.drives.heard(RideActed(said.ask, ""))


def settled(asked: Fare) -> FareAnswer:
    kept = (JOURNAL, 9) if asked.keep else ("", 0)
    half = asked.fare_yen // 2
    said = {"subsidy": f"{half:,}", "pays": f"{half:,}"}
    return FareAnswer(
        asked.ask, *kept, Outcome.ACCEPTED, Code.OK, "taxi.settled", said, asked.fare_yen, 0,
        [half], half, [{"day": "1", "year": "118"}],
    )  # fmt: skip


@pytest.fixture
async def car(tmp_path: Path, time: Time) -> AsyncIterator[Car]:
    keys = {"tablet_host": "127.0.0.1", "tablet_port": free_port(), "state": str(tmp_path)}
    car = Car(msgspec.structs.replace(config("taxi"), **keys), time)
    runners = []
    for app, port in (
        (make_app(car.board, car.config, car.cab), car.config.page_port),
        (make_tablet_app(car.cab), car.config.tablet_port),
    ):
        runner = door.runner(app, 0.1)
        await runner.setup()
        await door.Door(runner, "127.0.0.1", port, 32).start()
        runners.append(runner)
    yield car
    car.board.close()
    for runner in runners:
        await runner.cleanup()


class Device:
    """A browser without a script: it keeps cookies, and says where a form came from."""

    def __init__(self, http: aiohttp.ClientSession, base: str) -> None:
        self._http, self.base = http, base

    async def get(self, path: str) -> tuple[int, str]:
        async with self._http.get(self.base + path) as response:
            return response.status, await response.text()

    async def listen(self) -> aiohttp.StreamReader:
        response = await self._http.get(f"{self.base}/events")
        return response.content

    async def post(self, path: str, origin: str = "", **fields: str) -> tuple[int, str]:
        headers = {"Origin": origin or self.base}
        async with self._http.post(self.base + path, data=fields, headers=headers) as response:
            return response.status, await response.text()


@contextlib.asynccontextmanager
async def device(base: str) -> AsyncIterator[Device]:
    jar = aiohttp.CookieJar(unsafe=True)  # also from a bare address
    async with aiohttp.ClientSession(cookie_jar=jar) as http:
        yield Device(http, base)


async def unlock(screen: Device) -> None:
    """Choose the staff's number on the reader's own screen."""
    status, page = await screen.post("/tablets/choose", pin=PIN, again=PIN)
    assert status == 200
    assert say("tablet.register") in page


async def offered(screen: Device) -> str:
    """Have a code shown, and return its path."""
    status, page = await screen.post("/tablets/offer")
    assert status == 200
    assert "<svg" in page
    found = re.search(r"(/pair/[\w-]+)</p>", page)
    assert found
    return found[1]


async def test_a_tablet_is_paired_by_the_code_on_the_readers_screen_and_revoked_at_once(
    car: Car,
) -> None:
    async with device(car.screen) as screen, device(car.tablet) as tablet:
        status, page = await tablet.get("/tablet")
        assert status == 403
        assert say("tablet.stranger-how") in page
        await unlock(screen)
        path = await offered(screen)
        for _ in range(2):
            assert (await tablet.get(path))[0] == 200, "looking uses nothing up"
        status, page = await tablet.post(path)
        assert status == 200
        assert 'data-stage="ride"' in page
        news = await tablet.listen()
        await news.readuntil(b"\n\n")
        assert (await screen.post("/tablets/revoke", number="1"))[0] == 200
        assert await news.read() == b"", "nor does it hear anything more"
        assert (await tablet.get("/tablet"))[0] == 403
        assert (await tablet.post("/tablet/done", fare="1500", rider=f"{JOURNAL}:1"))[0] == 403
    assert not car.heard


async def test_a_used_or_guessed_code_pairs_nobody(car: Car) -> None:
    async with (
        device(car.screen) as screen,
        device(car.tablet) as tablet,
        device(car.tablet) as other,
    ):
        await unlock(screen)
        path = await offered(screen)
        assert (await other.post("/pair/" + "A" * 22))[0] == 403
        assert (await tablet.post(path))[0] == 200, "a wrong guess takes the right one nothing"
        assert (await other.post(path))[0] == 403
        status, page = await other.get(path)
        assert status == 403
        assert say("tablet.code-over") in page
        path = await offered(screen)
        car.time.now_s += OFFER_S
        assert (await other.post(path))[0] == 403
    assert len(car.cab.tablets.paired) == 1


async def test_the_cookie_is_read_by_no_script_and_sent_by_no_other_site(car: Car) -> None:
    async with device(car.screen) as screen, aiohttp.ClientSession() as http:
        await unlock(screen)
        path = await offered(screen)
        answer = await http.post(
            car.tablet + path, headers={"Origin": car.tablet}, allow_redirects=False
        )
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith(f"{COOKIE}=")
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie


FORMS = [
    "/tablet/fare", "/tablet/done", "/tablet/off", "/tablet/key", "/tablet/next", "/tablet/shift",
    "/tablet/end", "/tablet/pin", "/tablet/lock", "/tablet/cancel", "/tablets/revoke",
    "/tablets/choose", "/tablets/offer",
]  # fmt: skip


@pytest.mark.parametrize("path", FORMS)
async def test_foreign_pages_change_nothing(car: Car, path: str) -> None:
    car.cab.pin.choose(PIN)
    car.cab.pin.open(0)
    fields = {"fare": "1500", "rider": f"{JOURNAL}:1", "off": f"{JOURNAL}:1", "driver": "9"}
    async with device(car.screen) as screen:
        assert (await screen.post(path, origin="http://evil.example", **fields))[0] == 403
    assert not car.heard


async def test_each_listener_answers_under_its_own_name_alone_and_strangers_get_one_page(
    car: Car,
) -> None:
    async with aiohttp.ClientSession() as http:
        for path in ("/tablet", "/pair/x", "/static/tablet.js", "/events"):
            evil = {"Host": f"evil.example:{car.config.tablet_port}"}
            async with http.get(car.tablet + path, headers=evil) as response:
                assert response.status == 421
        for path in ("/", "/tablet", "/tablet/list", "/tablets", "/events", "/driver", "/nothing"):
            async with http.get(car.tablet + path) as response:
                assert response.status == 403
                assert "default-src 'none'" in response.headers["Content-Security-Policy"]
                text = await response.text()
            assert say("tablet.stranger-title") in text


async def test_a_tablet_cannot_show_codes_or_choose_the_number_and_the_screen_pairs_nobody(
    car: Car,
) -> None:
    async with device(car.screen) as screen, device(car.tablet) as tablet:
        await unlock(screen)
        path = await offered(screen)
        assert (await screen.post(path))[0] == 404
        await tablet.post(path)
        for wrong in ("/tablets/offer", "/tablets/choose"):
            assert (await tablet.post(wrong, pin="0000", again="0000"))[0] in (404, 405)
        for missing in ("/driver", "/healthz"):
            assert (await tablet.get(missing))[0] == 404


async def test_list_and_taking_back_need_the_number_on_each_screen(car: Car) -> None:
    journal = begin(Path(car.config.state) / FOLDER)
    n, _ = journal.append(ride(1500, 750))
    journal.close()
    of = f"{journal.id}:{n}"
    async with device(car.screen) as screen, device(car.tablet) as tablet:
        await unlock(screen)
        await tablet.post(await offered(screen))
        for path in ("/tablet/list", f"/tablet/cancel?ride={of}", "/tablets"):
            _, page = await tablet.get(path)
            assert 'data-stage="pin"' in page
            assert "1,500" not in page
        _, page = await tablet.post("/tablet/cancel", ride=of, why="wrong-fare")
        assert 'data-stage="pin"' in page
        assert not car.heard
        _, page = await tablet.post("/tablet/pin", pin="0000")
        assert say("tablet.pin-wrong") in page
        _, page = await tablet.post("/tablet/pin", pin=PIN)
        assert "1,500" in page
        assert CREDENTIAL not in page
        _, page = await tablet.get(f"/tablet/cancel?ride={of}")
        assert say("tablet.why-not-ridden") in page
        await tablet.post("/tablet/cancel", ride=of, why="not-ridden")
        assert car.heard == [CancelRide(1, journal.id, n, "not-ridden")]
        assert (await tablet.post("/tablet/cancel", ride=of, why="removed"))[0] == 400
        await tablet.post("/tablet/lock")
        _, page = await tablet.get("/tablet/list")
        assert 'data-stage="pin"' in page
        car.time.now_s += pin_module.OPEN_S
        _, page = await screen.get("/tablets")
        assert 'data-stage="pin"' in page, "on the reader's own screen too, after five minutes"


async def test_who_does_not_know_the_number_cannot_change_it(car: Car) -> None:
    async with device(car.screen) as screen:
        await unlock(screen)
        car.cab.pin.close(0)
        for path in ("/tablets/choose", "/tablets/offer", "/tablets/revoke"):
            _, page = await screen.post(path, pin="9999", again="9999", number="1")
            assert 'data-stage="pin"' in page
        _, page = await screen.post("/tablet/pin", pin="9999")
        assert say("tablet.pin-wrong") in page


@pytest.mark.parametrize(
    ("pin", "again", "said"),
    [
        ("12", "12", "pin-form"),
        ("１２３４", "１２３４", "pin-form"),
        ("1234", "4321", "pin-differs"),
    ],
)
async def test_a_number_has_four_digits_and_is_typed_twice(
    car: Car, pin: str, again: str, said: str
) -> None:
    async with device(car.screen) as screen:
        _, page = await screen.post("/tablets/choose", pin=pin, again=again)
    assert say(f"tablet.{said}") in page
    assert not car.cab.pin.is_set


# --- a ride, without a script ---------------------------------------------------------------------


async def test_a_ride_is_settled_by_forms_alone(car: Car) -> None:
    async with device(car.screen) as screen:
        _, page = await screen.get("/tablet")
        typed = ""
        for key in ("1", "5", "00"):
            _, page = await screen.post("/tablet/key", fare=typed, key=key)
            (typed,) = re.findall(r'name="fare"[^>]* value="(\d*)"', page)
        assert typed == "1500"
        _, page = await screen.post("/tablet/fare", fare=typed, rider=f"{JOURNAL}:1")
        assert 'data-stage="quote"' in page
        assert page.count("750<small>") == 2
        _, page = await screen.post("/tablet/done", fare=typed, rider=f"{JOURNAL}:1")
        assert 'data-stage="result"' in page
        assert say("tablet.left-year", left="118") in page
        assert 'data-say="taxi.settled"' in page
        _, page = await screen.post("/tablet/next")
        assert 'data-stage="result"' not in page
    fares = [said for said in car.heard if isinstance(said, Fare)]
    assert [(one.ask, one.fare_yen, one.keep) for one in fares] == [
        (1, 1500, False),
        (2, 1500, True),
    ]


async def test_a_discount_that_the_table_does_not_know_is_none(car: Car) -> None:
    car.board.drives.heard(
        Aboard("7", [AboardRider(JOURNAL, 1, SystemClock().now_ms(), "taxi.boarded")], ["半額"])
    )
    async with device(car.screen) as screen:
        for chosen in ("半額", "ただ"):
            await screen.post("/tablet/fare", fare="900", rider=f"{JOURNAL}:1", discount=chosen)
    assert [said.discount for said in car.heard if isinstance(said, Fare)] == ["半額", ""]


async def test_a_disk_that_keeps_nothing_is_said_and_pairs_nobody(car: Car, tmp_path: Path) -> None:
    async with device(car.screen) as screen, device(car.tablet) as tablet:
        await unlock(screen)
        path = await offered(screen)
        (tmp_path / "tablets.json.partial").mkdir()
        status, page = await tablet.post(path)
        assert status == 503
        assert say("tablet.unsaved") in page
        assert 'data-stage="stranger"' in page
        assert (await tablet.get("/tablet"))[0] == 403
        (tmp_path / "pin.json.partial").mkdir()
        _, page = await screen.post("/tablet/pin", pin=PIN)
        assert say("tablet.unsaved") in page


async def test_a_card_half_that_is_silent_settles_nothing_twice_and_its_late_answer_is_shown(
    car: Car, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.asks.ANSWER_S", 0.05)
    car.tap_answers = False
    async with device(car.screen) as screen:
        _, page = await screen.post("/tablet/done", fare="1500", rider=f"{JOURNAL}:1")
        assert say("tablet.no-answer") in page
        assert 'value="1500"' in page, "what was typed is still there"
        (asked,) = car.heard
        assert isinstance(asked, Fare)
        car.board.drives.heard(settled(asked))
        car.aboard()
        _, page = await screen.get("/tablet")
        assert 'data-stage="result"' in page
        car.aboard(12)
        _, page = await screen.get("/tablet")
        assert 'data-stage="ride"' in page, "the next tap ends it"


async def test_an_answer_that_nobody_waits_for_answers_nobody_else(car: Car) -> None:
    drives = car.board.drives
    car.tap_answers = False
    waiting = asyncio.create_task(drives.act(TakeOff(0, JOURNAL, 1)))
    await until(lambda: car.heard, "it is asked")
    (asked,) = car.heard
    assert isinstance(asked, TakeOff)
    drives.heard(RideActed(asked.ask + 1, "not-kept"))
    drives.heard(RideActed(asked.ask, ""))
    drives.heard(RideActed(asked.ask, "changed"))
    assert await waiting == ""


async def test_a_card_half_that_dies_is_said_at_once(car: Car) -> None:
    car.tap_answers = False
    async with device(car.screen) as screen:
        waiting = asyncio.create_task(
            screen.post("/tablet/done", fare="1500", rider=f"{JOURNAL}:1")
        )
        await until(lambda: car.heard, "it is asked")
        car.board.drives.gone()
        _, page = await waiting
    assert 'data-stage="closed"' in page
    assert say("tablet.no-answer") in page


@pytest.mark.parametrize(
    ("typed", "driver"),
    [("12", "12"), ("１２", "12"), ("一号車", "一号車"), ("123456789018", None), (" ", None),
     ("1" * 13, None)],
)  # fmt: skip
async def test_a_driver_begins_by_his_number(car: Car, typed: str, driver: str | None) -> None:
    car.aboard(driver="")
    async with device(car.screen) as screen:
        _, page = await screen.post("/tablet/shift", driver=typed)
    assert car.heard == ([TurnShift(1, True, driver)] if driver else [])
    assert driver or 'role="alert"' in page


async def test_what_is_no_fare_is_not_asked(car: Car) -> None:
    async with device(car.screen) as screen:
        for fare in ("", "0", "abc"):
            _, page = await screen.post("/tablet/fare", fare=fare, rider=f"{JOURNAL}:1")
            assert say("tablet.no-fare") in page
        _, page = await screen.post("/tablet/fare", fare="100000", rider=f"{JOURNAL}:1")
        assert say("tablet.fare-too-high") in page
        assert (await screen.post("/tablet/fare", fare="1", rider="x:1"))[0] == 400
    assert not car.heard


@pytest.mark.parametrize(
    "lines",
    [
        'tablet_host = "10.0.0.1"',
        "tablet_port = 8100",
        'tablet_host = "0.0.0.0"\ntablet_port = 8100',
        'tablet_host = "http://x"\ntablet_port = 8100',
    ],
)
def test_tablets_need_one_address_and_a_taxi(tmp_path: Path, lines: str) -> None:
    fields = msgspec.structs.asdict(config("taxi"))
    for name in ("tablet_host", "tablet_port", "card_ap"):
        del fields[name]
    text = "\n".join(f"{key} = {json.dumps(value)}" for key, value in fields.items())
    file = tmp_path / "edge.toml"
    good = 'tablet_host = "10.0.0.1"\ntablet_port = 8100\n'
    file.write_text(good + text)
    assert read_config(file).tablet_port == 8100
    file.write_text(f"{lines}\n{text}")
    with pytest.raises(ConfigRefused):
        read_config(file)
    file.write_text(good + text.replace('"taxi"', '"bus"', 1))
    with pytest.raises(ConfigRefused):
        read_config(file)
