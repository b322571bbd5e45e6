"""What a reader says aloud: each sentence and number has its recordings, and they say just that."""

import asyncio
import itertools
import re
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import pytest
from playwright.async_api import Browser, Page, async_playwright

from edge.board import ShownEvent, asked, asked_aloud
from edge.voice import (
    HOURS_MAX,
    NUMBER_MAX,
    PAUSE,
    NotSayable,
    clip,
    clips,
    number,
    pieces,
    time_of_day,
)
from programmes.register import RULEBOOKS
from programmes.texts import NoSuchText, catalogue
from tests import recordings
from tests.browser import chromium
from tests.edge.rig import until
from tests.edge.test_page import Site, serving
from tests.timing import IN_TIME
from wire.codes import Code, Outcome

READ: Final = {one.words: one.reading for one in recordings.recorded()}
"""How each recording is read, as it was spoken."""

# --- how Japanese say numbers: written by hand, apart from the program ----------------------------

ONES = ("", "イチ", "ニ", "サン", "ヨン", "ゴ", "ロク", "ナナ", "ハチ", "キュー")
HUNDREDS = {1: "ヒャク", 3: "サンビャク", 6: "ロッピャク", 8: "ハッピャク"}
THOUSANDS = {1: "セン", 3: "サンゼン", 8: "ハッセン"}
YEN = {4: "ヨエン"}
TIMES = {1: "イッカイ", 6: "ロッカイ", 8: "ハッカイ"}
MINUTES = {
    1: "イップン", 2: "ニフン", 3: "サンプン", 4: "ヨンプン", 5: "ゴフン",
    6: "ロップン", 7: "ナナフン", 8: "ハップン", 9: "キューフン",
}  # fmt: skip
HOURS = (
    "レー", "イチ", "ニ", "サン", "ヨ", "ゴ", "ロク", "シチ", "ハチ", "ク", "ジュー", "ジューイチ",
    "ジューニ", "ジューサン", "ジューヨ", "ジューゴ", "ジューロク", "ジューシチ", "ジューハチ",
    "ジューク", "ニジュー", "ニジューイチ", "ニジューニ", "ニジューサン",
)  # fmt: skip


def up_to_9999(value: int) -> str:
    thousand, hundred, ten, one = (int(digit) for digit in f"{value:04}")
    said = THOUSANDS.get(thousand, ONES[thousand] + "セン") if thousand else ""
    said += HUNDREDS.get(hundred, ONES[hundred] + "ヒャク") if hundred else ""
    said += ("" if ten == 1 else ONES[ten]) + "ジュー" if ten else ""
    return said + ONES[one]


def whole(value: int) -> str:
    high, low = divmod(value, 10_000)
    return (up_to_9999(high) + "マン" if high else "") + up_to_9999(low)


def yen(value: int) -> str:
    if value % 10 in YEN:
        return whole(value - value % 10) + YEN[value % 10]
    return (whole(value) or "ゼロ") + "エン"


def times(value: int) -> str:
    one = value % 10
    if one in TIMES:
        return whole(value - one) + TIMES[one]
    said = whole(value) or "ゼロ"
    for full, short in (
        ("ヒャク", "ヒャッ"),
        ("ビャク", "ビャッ"),
        ("ピャク", "ピャッ"),
        ("ジュー", "ジュッ"),
    ):
        if said.endswith(full):
            return said.removesuffix(full) + short + "カイ"
    return said + "カイ"


def clock(hour: int, minute: int) -> str:
    ten, one = divmod(minute, 10)
    tens = ("" if ten == 1 else ONES[ten]) + ("ジュー" if one else "ジュップン") if ten else ""
    return HOURS[hour] + "ジ" + tens + MINUTES.get(one, "")


def read(said: list[str]) -> str:
    return "".join(READ[one] for one in said)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0, "ゼロエン"), (4, "ヨエン"), (14, "ジューヨエン"), (50, "ゴジューエン"),
        (100, "ヒャクエン"), (300, "サンビャクエン"), (600, "ロッピャクエン"),
        (750, "ナナヒャクゴジューエン"),
        (860, "ハッピャクロクジューエン"), (1_000, "センエン"), (3_000, "サンゼンエン"),
        (8_800, "ハッセンハッピャクエン"), (10_000, "イチマンエン"), (11_000, "イチマンセンエン"),
        (40_440, "ヨンマンヨンヒャクヨンジューエン"), (100_000, "ジューマンエン"),
        (999_999, "キュージューキューマンキューセンキューヒャクキュージューキューエン"),
    ],
)  # fmt: skip
def test_amounts_are_read_as_people_say_them(value: int, said: str) -> None:
    assert yen(value) == said
    assert read(number(value, "円")) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0, "ゼロカイ"), (1, "イッカイ"), (4, "ヨンカイ"), (6, "ロッカイ"), (8, "ハッカイ"),
        (10, "ジュッカイ"), (20, "ニジュッカイ"), (26, "ニジューロッカイ"), (100, "ヒャッカイ"),
        (118, "ヒャクジューハッカイ"), (120, "ヒャクニジュッカイ"), (300, "サンビャッカイ"),
    ],
)  # fmt: skip
def test_counts_are_read_as_people_say_them(value: int, said: str) -> None:
    assert times(value) == said
    assert read(number(value, "回")) == said


def test_every_amount_and_count_that_a_programme_can_say_is_recorded_as_it_is_read() -> None:
    amounts = itertools.chain(range(100_001), range(100_001, NUMBER_MAX + 1, 97))
    assert [value for value in amounts if read(number(value, "円")) != yen(value)] == []
    counts = range(1_000)
    assert [value for value in counts if read(number(value, "回")) != times(value)] == []


def test_every_minute_of_the_day_is_recorded_as_it_is_read() -> None:
    for minute in range(24 * 60):
        at = divmod(minute, 60)
        assert read(time_of_day(*at)) == clock(*at)


def test_the_length_of_every_day_is_recorded_as_it_is_read() -> None:
    for hour, minute in itertools.product(range(HOURS_MAX + 1), range(60)):
        told = {"time": "19:05", "hours": str(hour), "minutes": str(minute)}
        count = {0: "ゼロ", 7: "ナナ", 24: "ニジューヨ"}.get(hour) or HOURS[hour]
        minutes = clock(0, minute).removeprefix("レージ") if minute else "ゼロフン"
        *_, first, second, third = pieces("attendance.out-today", told)
        last = read([first, second, third])
        assert last.endswith(f"ジカン{minutes}")
        assert f"{count}ジカン" in last
        assert last.startswith((f"{count}ジカン", READ["退勤 本日"] + count))


@pytest.mark.parametrize("wrong", [{"hours": "25"}, {"minutes": "60"}, {"hours": "-1"}])
def test_what_is_no_length_of_a_day_leaves_the_sentence_unsaid(wrong: dict[str, str]) -> None:
    told = {"time": "19:05", "hours": "11", "minutes": "23"}
    assert clips("attendance.out-today", told)
    assert clips("attendance.out-today", told | wrong) == []


def test_no_number_is_said_by_halves() -> None:
    for value in (-1, NUMBER_MAX + 1):
        with pytest.raises(NotSayable):
            number(value, "円")


# --- sentences -----------------------------------------------------------------------------------


def test_the_recordings_are_those_that_the_texts_ask_for() -> None:
    missing, extra = recordings.differences()
    assert not missing, f"run scripts/voice: {missing}"
    assert not extra, f"run scripts/voice: {extra}"


def test_a_sentence_is_its_words_on_the_screen_around_its_numbers() -> None:
    assert pieces("taxi.settled", {"subsidy": "750", "pays": "1,250"}) == [
        "補助", "七百", "五十円", PAUSE, "お支払い", "千", "二百", "五十円", "です",
    ]  # fmt: skip
    assert pieces("attendance.in", {"time": "07:42"}) == ["七時", "四十", "二分", "出勤"]
    assert pieces("refused.unknown", {}) == ["登録がありません。市役所の窓口へ"]


@pytest.mark.parametrize("message", recordings.sentences())
def test_every_sentence_says_all_its_words(message: str) -> None:
    said = pieces(message, recordings.ARGUMENTS)
    assert all(one == PAUSE or recordings.file_of(clip(one)).exists() for one in said)
    written = re.split(r"\{\w+\}(?:円|回|時間|分)?", catalogue("ja")[message])
    words = [text.strip("、。 ") for text in written]
    assert [one for one in said if one in words] == [text for text in words if text]
    assert PAUSE not in (said[0], said[-1])


def told() -> list[tuple[str, Mapping[str, str]]]:
    """What the rulebooks' own examples say, with the arguments as the rulebooks write them."""
    said: list[tuple[str, Mapping[str, str]]] = []
    for rulebook in RULEBOOKS.values():
        for example in rulebook.examples:
            decision = rulebook.decide(example.facts)
            said.append((decision.shown, decision.arguments))
        for ride in rulebook.rides.examples if rulebook.rides else ():
            assert rulebook.rides
            settlement = rulebook.rides.settle(ride.facts)
            said.append((settlement.shown, settlement.arguments))
    return said


def test_what_the_rulebooks_say_in_their_examples_can_be_said_aloud() -> None:
    said = told()
    assert len({message for message, _ in said}) > 20
    for message, arguments in said:
        assert clips(message, arguments), message


@pytest.mark.parametrize("code", [code for code in Code if f"refused.{code}" in catalogue("ja")])
def test_every_refusal_is_said_aloud(code: Code) -> None:
    assert [PAUSE if one == PAUSE else one for one in pieces(f"refused.{code}", {})]


@pytest.mark.parametrize("text", ["", "x", "-1", "1.5", "1e3", "1,000,000", "٣", "07:42", "１２"])
def test_an_argument_that_is_no_number_leaves_the_sentence_unsaid(text: str) -> None:
    with pytest.raises(NotSayable):
        pieces("senior-pass.accepted", {"yen": text})
    assert clips("senior-pass.accepted", {"yen": text}) == []


def test_a_sentence_that_does_not_exist_is_not_said() -> None:
    with pytest.raises(NoSuchText):
        pieces("no-such-sentence", {})
    assert clips("no-such-sentence", {}) == []


# --- sounds, in the browser that readers have ----------------------------------------------------

SAMPLES = """async (name) => {
  const buffer = await load(name);
  const samples = buffer.getChannelData(0), edge = Math.round(buffer.sampleRate * 0.005);
  const loudness = (part) => Math.sqrt(part.reduce((sum, one) => sum + one * one, 0) / part.length);
  return {
    seconds: buffer.duration, loud: loudness(samples),
    peak: samples.reduce((most, one) => Math.max(most, Math.abs(one)), 0),
    begins: loudness(samples.slice(0, edge)), ends: loudness(samples.slice(-edge)),
  };
}"""
STARTS = """
  window.started = [];
  const start = AudioBufferSourceNode.prototype.start, stop = AudioBufferSourceNode.prototype.stop;
  AudioBufferSourceNode.prototype.start = function (when) {
    window.started.push({ when, seconds: this.buffer.duration, now: this.context.currentTime });
    console.info("said", this.buffer.duration);
    return start.call(this, when);
  };
  AudioBufferSourceNode.prototype.stop = function () {
    window.stopped = (window.stopped || 0) + 1;
    return stop.call(this);
  };
"""
"""Notes what is handed to the loudspeaker, and hands it on."""
SETTLED = """async () => {
  await Promise.allSettled(recordings.values());
  await new Promise((done) => setTimeout(done));
}"""
"""All recordings are there or lost, and what is to be said of it has been started."""
SMALL = "ャュョァィゥェォ"


@pytest.fixture
async def bus() -> AsyncIterator[Site]:
    async with serving("bus") as site:
        yield site


@pytest.fixture
async def kiosk() -> AsyncIterator[Browser]:
    """A browser as a reader starts it: it may sound before anybody touches the page."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            **chromium("--autoplay-policy=no-user-gesture-required")
        )
        yield browser
        await browser.close()


@pytest.fixture
async def page(bus: Site, kiosk: Browser) -> Page:
    return await listening(bus, kiosk)


async def listening(bus: Site, browser: Browser) -> Page:
    page = await browser.new_page()
    await page.add_init_script(STARTS)
    await page.goto(f"{bus.url}/")
    await until(lambda: bus.board._pages, "the page listens")
    return page


async def started(page: Page, count: int) -> list[dict[str, float]]:
    await page.wait_for_function("count => window.started.length >= count", arg=count)
    found: list[dict[str, float]] = await page.evaluate("window.started")
    assert len(found) == count
    return found


async def test_every_recording_is_sound_of_a_length_that_its_reading_takes(page: Page) -> None:
    listed = recordings.recorded()
    assert len(listed) == len(list(recordings.FOLDER.glob("*.opus")))
    for one in listed:
        heard: dict[str, Any] = await page.evaluate(SAMPLES, one.name)
        syllables = len(
            [kana for kana in one.reading if "ァ" <= kana <= "ー" and kana not in SMALL]
        )
        assert 0.07 < heard["seconds"] / syllables < 0.3, (one, heard)
        assert heard["loud"] > 0.05, (one, heard)
        assert heard["peak"] <= 1, (one, heard)
        assert max(heard["begins"], heard["ends"]) < 0.03, (one, heard)


async def test_the_pieces_follow_each_other_without_a_gap_after_the_chime(
    bus: Site, page: Page
) -> None:
    bus.show("taxi.settled", subsidy="750", pays="1,250")
    said = pieces("taxi.settled", {"subsidy": "750", "pays": "1,250"})
    heard = await started(page, len(said) - said.count(PAUSE))
    chime_s = await page.evaluate("chimeLength('accepted')")
    pause_s = await page.evaluate("PAUSES_S.pause")
    assert heard[0]["when"] >= chime_s
    gaps = [
        later["when"] - one["when"] - one["seconds"] for one, later in itertools.pairwise(heard)
    ]
    spoken = [at for at, one in enumerate(said) if one != PAUSE]
    paused = [pause_s * (later - one - 1) for one, later in itertools.pairwise(spoken)]
    assert gaps == pytest.approx(paused, abs=0.001)


async def test_the_next_passenger_ends_the_sentence_of_the_one_before(
    bus: Site, page: Page
) -> None:
    bus.show("senior-pass.accepted-last", yen="50")
    first = len(await started(page, 3))
    bus.refuse(Code.HOLD_AGAIN)
    await started(page, first + 1)
    assert await page.evaluate("window.stopped") == first


async def test_a_sentence_with_a_lost_recording_is_not_said_by_halves(
    bus: Site, page: Page
) -> None:
    await page.route(f"**/voice/{clip('五十円')}.opus", lambda route: route.abort())
    async with page.expect_event("requestfailed"):
        bus.show("senior-pass.accepted", yen="50")
    await page.evaluate(SETTLED)
    bus.refuse(Code.UNKNOWN)
    await started(page, 1)
    (said,) = pieces("refused.unknown", {})
    length_s = await page.evaluate("async (name) => (await load(name)).duration", clip(said))
    assert [one["seconds"] for one in await started(page, 1)] == [length_s]


@IN_TIME  # what is not said within 1.5 s is not said at all
async def test_what_a_browser_kept_back_is_not_said_to_somebody_else(bus: Site) -> None:
    """Nothing is asked of the page here: playwright's questions count as a person's touch."""
    late_ms = re.search(r"LATE_MS = ([0-9]+)", (recordings.FOLDER.parent / "voice.js").read_text())
    assert late_ms
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            **chromium("--autoplay-policy=document-user-activation-required")
        )
        said: list[str] = []
        page = await listening(bus, browser)
        page.on("console", lambda message: said.append(message.text))
        async with page.expect_response(f"**/{clip('登録がありません。市役所の窓口へ')}.opus"):
            bus.refuse(Code.UNKNOWN)
        await asyncio.sleep(int(late_ms[1]) / 1000)
        await page.mouse.click(5, 5)
        async with page.expect_event("console", lambda message: message.text.startswith("said")):
            bus.refuse(Code.HOLD_AGAIN)
        name = clip("もう一度かざしてください")
        hold_again_s = await page.evaluate("async (name) => (await load(name)).duration", name)
        assert [one for one in said if one.startswith("said")] == [f"said {hold_again_s}"]
        await browser.close()


# --- what the board hands to the page ------------------------------------------------------------


async def test_a_press_is_not_spoken_and_what_cannot_be_said_in_words_is_said_in_general(
    bus: Site,
) -> None:
    page = bus.board.subscribe()
    bus.show("press.present-only")
    bus.show("senior-pass.accepted", yen="1,000,000")
    bus.show("a-later-programme.refused", Outcome.REFUSED, Code.NOT_NOW)
    events = [page.get_nowait() for _ in range(6)]
    said = [event.clips for event in events if isinstance(event, ShownEvent)]
    assert said == [[], [clip("受付しました")], [clip("使えません")]]


@pytest.mark.parametrize("purpose", ["enrol", "replace", "look-up", "a-later-purpose"])
def test_a_desk_asks_aloud(purpose: str) -> None:
    assert asked_aloud(purpose) == [clip(asked(purpose, "ja"))]
