"""The card half behind a reader head: the real firmware, and a lamp that says what the screen says.

card → PN532 → firmware under MicroPython → USB → tap → journal, panel, and back to the lamp
"""

import functools
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge.box import POWEROFF, WATCH_S, Box
from edge.face import Face
from edge.head import LINK_S
from edge.journal import FOLDER
from edge.panel import Condition, Counted, Reach, Shown
from edge.verify import Missing, verify
from hw.sim.cards import Card, TornAway
from hw.sim.isodep import Reply
from tests.edge.box_kit import Boxed, boxed, eventually, meaning_of, process, shows, told
from tests.edge.head_kit import headed
from tests.edge.reader_kit import Link, lift, make_reader, my_number_card, running
from tests.timing import IN_TIME
from wire import headlink
from wire.clock import SystemClock
from wire.codes import Code, Outcome

pytestmark = IN_TIME  # a head that is silent for 0.3 s is given up

CARD, OTHER = my_number_card(1), my_number_card(2)


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[Boxed]:
    with boxed(tmp_path) as built:
        built.kit.enrol(CARD)
        yield built


def test_each_answer_is_the_same_on_lamp_and_screen(bus: Boxed) -> None:
    with running(bus.kit) as link:
        link.ready()
        for card, outcome, code, meaning in (
            (CARD, Outcome.ACCEPTED, Code.OK, "yes"),
            (CARD, Outcome.REPEAT, Code.REPEAT, "repeat"),
            (OTHER, Outcome.REFUSED, Code.UNKNOWN, "no"),
            (TornAway(OTHER, frames=3), Outcome.REFUSED, Code.HOLD_AGAIN, "hold-again"),
        ):
            since = len(bus.board.told)
            bus.chip.place(card)
            shown = link.shown()
            assert (shown.outcome, shown.code) == (outcome, code)
            assert bus.shows(meaning)
            assert "reading" in told(bus.board, since)
            lift(bus.chip)
        since = len(bus.board.told)
        bus.chip.place(CARD, OTHER)
        assert link.shown().code is Code.TWO_CARDS
        assert bus.shows("hold-again")
        assert "reading" not in told(bus.board, since)
    sounds = [values for values in bus.heard.of("show") if values[1]]
    assert [headlink.MEANINGS[number] for number, _ in sounds] == [
        *("yes", "repeat", "no", "hold-again", "hold-again")
    ]


def test_the_screen_hears_first_and_the_lamp_at_once_after_it(bus: Boxed) -> None:
    """Both after the entry is on the disk: what was shown has a number."""
    with running(bus.kit) as link:
        link.ready()
        bus.chip.place(CARD)
        assert link.shown().n > 0
        assert bus.shows("yes")


def test_between_cards_the_lamp_says_what_holds_on_the_screen(bus: Boxed) -> None:
    roster = bus.kit.state / "rosters" / "senior-pass.roster"
    away = roster.rename(roster.with_suffix(".away"))
    with running(bus.kit) as link:
        assert not link.until(Condition).ready
        assert bus.shows("fault")
    assert bus.shows("off")
    away.rename(roster)
    with running(bus.kit) as link:
        link.ready()
        assert bus.shows("offline")  # nobody has said that the fleet is there
        link.say(Reach(online=True))
        assert bus.shows("ready")
        link.say(Reach(online=False))
        assert bus.shows("offline")
        link.say(Reach(online=True))
        assert bus.shows("ready")
        link.close()  # without a network half nothing is sent either
        assert bus.shows("offline")
        again = Link(bus.kit.state)
        assert again.ready().front_end.endswith(" 0.1.0")
        again.say(Reach(online=True))
        assert bus.shows("ready")
        again.close()


def test_a_silent_buzzer_where_the_screen_speaks(tmp_path: Path) -> None:
    with boxed(tmp_path) as bus:
        toml = bus.kit.folder / "edge.toml"
        toml.write_text(toml.read_text() + "buzzer = false\n")
        bus.kit.enrol(CARD)
        with process(bus.kit) as (_, link):
            bus.chip.place(CARD)
            assert link.shown().code is Code.OK
            assert bus.shows("yes")
            assert not any(aloud for _, aloud in bus.heard.of("show"))


def test_a_plug_that_is_pulled_while_a_card_is_read_costs_no_tap(bus: Boxed) -> None:
    with running(bus.kit) as link:
        link.ready()
        link.say(Reach(online=True))
        assert bus.shows("ready")
        bus.chip.place(Pulling(CARD, bus.board.unplug))
        condition = link.until(Condition, lambda one: not one.ready)
        assert condition.trouble is Code.DEVICE_FAULT
        assert bus.heard.asked  # the head itself lives on
        bus.board.plug()
        link.until(Shown, lambda one: one.code is Code.OK, within_s=20)
        assert bus.shows("yes")
        assert bus.shows("ready")
    assert [tap.code for tap in bus.kit.taps() if tap.outcome is Outcome.ACCEPTED] == [Code.OK]


class Pulling:
    """A card during whose reading something happens, once."""

    def __init__(self, card: Card, happens: Callable[[], None]) -> None:
        self._card, self._happens, self._frames = card, happens, 0

    def reset(self) -> None:
        self._card.reset()

    def answer(self, technology: str, frame: bytes) -> Reply | None:
        self._frames += 1
        if self._frames == 3:
            self._happens()
        return self._card.answer(technology, frame)


def test_a_head_that_begins_anew_in_the_middle_of_a_tap_is_told_everything_again(
    bus: Boxed,
) -> None:
    with running(bus.kit) as link:
        link.ready()
        link.say(Reach(online=True))
        assert bus.shows("ready")
        bus.chip.place(Pulling(CARD, bus.board.reset))
        link.until(Shown, lambda one: one.code is Code.OK, within_s=20)
        assert bus.shows("yes")
        assert bus.shows("ready")
        yes, ready = (shown_s(bus, meaning) for meaning in ("yes", "ready"))
        assert ready - yes > 1.5  # the one does not cover the other
        assert bus.board.starts == 2
        assert bus.heard.of("watch") == [(WATCH_S,)] * 2
        names = {one.name for one in link.heard if isinstance(one, Counted)}
        if "head.restarted" not in names:
            link.until(Counted, lambda one: one.name == "head.restarted")
    assert [tap.code for tap in bus.kit.taps() if tap.outcome is Outcome.ACCEPTED] == [Code.OK]


def shown_s(bus: Boxed, meaning: str) -> float:
    """Return when the ring showed a meaning last anew."""
    return next(one.at_s for one in reversed(bus.board.told) if meaning_of(one) == meaning)


def test_a_head_that_is_away_costs_a_reader_nothing(tmp_path: Path) -> None:
    kit = make_reader(tmp_path / "r", "head:/dev/no-such-head")
    box = Box(kit.config, SystemClock(), lambda name: None)
    began_s = time.monotonic()
    for _ in range(1000):
        box.face.reading()
        box.face.answer(Outcome.ACCEPTED, Code.OK)
        box.watch(True, True, heard=True)
    assert time.monotonic() - began_s < LINK_S
    box.close(orderly=True)


def test_a_card_that_leaves_without_an_answer_leaves_what_stood(tmp_path: Path) -> None:
    with headed(tmp_path) as reader:
        reader.head.ask(headlink.PING)
        face = Face(reader.head, SystemClock())
        face.stand("ready")
        assert shows(reader.board, "ready")
        face.reading()
        assert shows(reader.board, "reading")
        face.stand("ready")
        assert shows(reader.board, "ready")


def test_a_head_that_dies_costs_one_request_and_no_second_one(tmp_path: Path) -> None:
    with headed(tmp_path) as reader:
        reader.head.ask(headlink.PING)
        face = Face(reader.head, SystemClock())
        reader.board.mangle = lambda data, to_head: b""
        took_s = []
        for _ in range(3):
            began_s = time.monotonic()
            face.reading()
            face.answer(Outcome.ACCEPTED, Code.OK)
            face.stand("ready")
            took_s.append(time.monotonic() - began_s)
        assert took_s[0] < LINK_S + 0.2
        assert max(took_s[1:]) < 0.05


def test_the_watch_is_on_while_it_runs_and_off_when_it_was_told_to_end(bus: Boxed) -> None:
    with process(bus.kit) as (tap, _):
        eventually(lambda: bus.heard.of("watch") == [(WATCH_S,)])
        eventually(lambda: bus.heard.of("healthy"))
        tap.send_signal(signal.SIGTERM)
        assert tap.wait(10) == 0
    eventually(lambda: bus.heard.of("watch") == [(WATCH_S,), (0,)])
    assert bus.shows("off")
    assert not bus.heard.of("power")
    assert not (bus.kit.state / POWEROFF).exists()


def opened(bus: Boxed) -> Box:
    """The box of a reader, whose head has been told everything."""
    box = Box(bus.kit.config, SystemClock(), lambda name: None)
    eventually(lambda: box.front_end.sense(("106B",)) or box.front_end.device)
    box.watch(True, True, heard=True)
    assert bus.heard.of("watch") == [(WATCH_S,)]
    return box


def test_the_watch_is_off_also_where_the_plug_was_loose_at_the_end(bus: Boxed) -> None:
    """Else whoever mends the machine loses its supply two minutes later."""
    box, head = opened(bus), Path(bus.board.path)
    bus.board.unplug()
    eventually(lambda: not head.exists())
    box.face.reading()  # which finds it gone
    bus.board.plug()
    eventually(head.exists)
    box.close(orderly=True)
    assert bus.heard.of("watch") == [(WATCH_S,), (0,)]


def leaves(box: Box) -> bool:
    box.watch(True, True, heard=True)
    return box.leaves


def test_a_head_that_has_not_heard_of_the_end_of_a_journey_goes_on_watching(
    tmp_path: Path,
) -> None:
    """Else nobody brings back a machine that ended while the ignition came on again."""
    with boxed(tmp_path, "off-at-once") as bus:
        box = opened(bus)
        bus.board.set("IGNITION", 0)
        eventually(lambda: leaves(box))

        def cut(data: bytes, to_head: bool) -> bytes:
            heard = bus.heard(data, to_head)
            return b"" if bus.heard.of("power") else heard

        bus.board.mangle = cut
        box.close(orderly=False)
        assert bus.heard.of("power")
        assert bus.heard.of("watch") == [(WATCH_S,)]


def test_a_frozen_loop_is_cut_by_the_head_and_one_that_was_told_to_end_is_not(
    tmp_path: Path,
) -> None:
    with boxed(tmp_path, "watch-soon") as bus:
        bus.kit.enrol(CARD)
        with process(bus.kit) as (tap, _):
            eventually(lambda: bus.heard.of("watch"))
            assert bus.board.output("PI_POWER") == 1
            tap.send_signal(signal.SIGSTOP)
            eventually(lambda: bus.board.output("PI_POWER") == 0, WATCH_S * 0.03 + 10)
            tap.send_signal(signal.SIGCONT)
            eventually(lambda: bus.board.output("PI_POWER") == 1)


def test_the_end_of_a_journey_ends_the_machine_and_leaves_a_whole_journal(tmp_path: Path) -> None:
    with boxed(tmp_path, "off-at-once") as bus:
        bus.kit.enrol(CARD)
        with process(bus.kit) as (tap, link):
            bus.chip.place(CARD)
            assert link.shown().code is Code.OK
            bus.board.set("IGNITION", 0)
            assert tap.wait(20) == 0
        assert (bus.kit.state / POWEROFF).exists()
        assert bus.heard.of("power") == [(headlink.OFF,)]
        assert bus.heard.of("watch")[-1] == (0,)
        assert bus.shows("off")
        found = list(verify(bus.kit.state / FOLDER, bus.kit.config.reader))
        assert not [one for one in found if isinstance(one, Missing)]
        assert len(bus.kit.taps()) == 1
        assert bus.board.output("PI_POWER") == 1  # until the machine is gone
        bus.board.set("PI_RUNNING", 0)
        eventually(lambda: bus.board.output("PI_POWER") == 0)
        bus.board.set("IGNITION", 1)
        eventually(lambda: bus.board.output("PI_POWER") == 1)


def test_a_stalled_engine_ends_nothing(tmp_path: Path) -> None:
    with boxed(tmp_path, "off-at-once") as bus:
        bus.kit.enrol(CARD)
        with running(bus.kit) as link:
            link.ready()
            for _ in range(3):
                for level in (0, 1):
                    bus.board.set("IGNITION", level)
                    eventually(lambda level=level: bus.heard.ignition() == level)  # type: ignore[misc]
            bus.chip.place(CARD)
            assert link.shown().code is Code.OK
        assert not (bus.kit.state / POWEROFF).exists()


def test_at_a_desk_nothing_is_read_into_an_ignition(tmp_path: Path) -> None:
    with boxed(tmp_path, "off-at-once", kind="desk") as desk:
        desk.kit.enrol(CARD)
        desk.board.set("IGNITION", 0)
        with running(desk.kit) as link:
            link.ready()
            eventually(lambda: desk.heard.ignition() == 0)
            looks = len(desk.heard.of("sense"))
            eventually(lambda: len(desk.heard.of("sense")) > looks + 1)
            desk.chip.place(CARD)
            link.shown()
        assert not (desk.kit.state / POWEROFF).exists()
        assert not desk.heard.of("power")


def test_a_lid_that_is_opened_is_counted(bus: Boxed) -> None:
    with running(bus.kit) as link:
        link.ready()
        bus.board.set("TAMPER", 1)
        link.until(Counted, lambda one: one.name == "head.opened")


def test_the_fault_of_a_single_card_goes_with_the_next_one(tmp_path: Path) -> None:
    with headed(tmp_path) as reader:
        reader.head.ask(headlink.PING)
        clock = Minute()
        face = Face(reader.head, clock)
        face.stand("ready")
        assert shows(reader.board, "ready")
        next_card = functools.partial(face.answer, Outcome.ACCEPTED, Code.OK)
        for ends in (next_card, clock.forward):
            face.answer(Outcome.REFUSED, Code.DEVICE_FAULT)
            face.stand("ready")
            assert shows(reader.board, "fault")
            ends()
            face.stand("ready")
            assert shows(reader.board, "ready")


class Minute:
    """A clock that stands still until a minute is over."""

    def __init__(self) -> None:
        self._ns = 0

    def now_ms(self) -> int:
        return 0

    def monotonic_ns(self) -> int:
        return self._ns

    def forward(self) -> None:
        self._ns += 60 * 1_000_000_000
