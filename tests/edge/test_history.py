"""What was booked is remembered for a week, across restarts, within bounds."""

from pathlib import Path

import msgspec

from edge.history import CARDS_MAX, KEPT_MS, PER_CARD_MAX, History, rebuild
from tests.edge.journal_kit import READER, begin, step
from wire.clock import ClockState
from wire.codes import Code, Outcome
from wire.entries import Start, Tap

PASS = "senior-pass"
NOON_MS = 1_795_000_000_000


def tap(
    card: int, at_ms: int = NOON_MS, outcome: Outcome = Outcome.ACCEPTED, programme: str = PASS
) -> Tap:
    return Tap(
        v=1, n=1, at_ms=at_ms, mono_ms=0, clock=ClockState.HOLDOVER, programme=programme,
        outcome=outcome, code=Code.OK, shown="x", credential=f"{card:032x}",
    )  # fmt: skip


def at(history: History, card: int, now_ms: int = NOON_MS, programme: str = PASS) -> list[int]:
    return [booked.at_ms for booked in history.of(programme, (f"{card:032x}",), now_ms)]


def test_only_what_was_accepted_counts_and_only_in_its_programme() -> None:
    history = History()
    for outcome in Outcome:
        history.take(tap(1, outcome=outcome))
    history.take(tap(1, NOON_MS + 1, programme="attendance"))
    assert at(history, 1) == [NOON_MS]
    assert at(history, 1, programme="attendance") == [NOON_MS + 1]
    assert at(history, 2) == []


def test_what_is_older_than_a_week_does_not_count() -> None:
    history = History()
    history.take(tap(1, NOON_MS))
    assert at(history, 1, NOON_MS + KEPT_MS) == [NOON_MS]
    assert at(history, 1, NOON_MS + KEPT_MS + 1) == []


def test_bookings_under_two_credentials_of_a_card_come_in_order() -> None:
    history = History()
    history.take(tap(2, NOON_MS + 5))
    history.take(tap(1, NOON_MS))
    both = history.of(PASS, (f"{2:032x}", f"{1:032x}", None), NOON_MS + 9)
    assert [booked.at_ms for booked in both] == [NOON_MS, NOON_MS + 5]


def test_memory_is_bounded_and_the_longest_unseen_goes_first() -> None:
    history = History()
    for card in range(CARDS_MAX + 10):
        history.take(tap(card))
    for moment in range(PER_CARD_MAX + 10):
        history.take(tap(CARDS_MAX, NOON_MS + moment))
    assert at(history, 9) == []
    assert at(history, 10) == [NOON_MS]
    assert len(at(history, CARDS_MAX, NOON_MS + 1000)) == PER_CARD_MAX
    history.take(tap(1, NOON_MS + 2 * KEPT_MS))
    assert len(vars(history)["_booked"]) == 1  # a week later the rest has been forgotten


def test_the_journals_give_it_back_and_the_last_tap_was_perhaps_not_shown(tmp_path: Path) -> None:
    for cards in ((1, 2), (3, 1)):
        journal = begin(tmp_path)
        for number, card in enumerate(cards):
            journal.append(tap(card, NOON_MS + number))
        journal.append(step(0))
        journal.close()
    history = rebuild(tmp_path, READER)
    assert [at(history, card) for card in (1, 2, 3)] == [
        [NOON_MS, NOON_MS + 1], [NOON_MS + 1], [NOON_MS],
    ]  # fmt: skip
    doubtful = [
        (card, booked.at_ms)
        for card in (1, 2, 3)
        for booked in history.of(PASS, (f"{card:032x}",), NOON_MS)
        if booked.perhaps_not_shown
    ]
    assert doubtful == [(1, NOON_MS + 1)]


def test_a_last_tap_that_was_refused_puts_nothing_in_doubt(tmp_path: Path) -> None:
    journal = begin(tmp_path)
    journal.append(tap(1))
    journal.append(tap(2, outcome=Outcome.REFUSED))
    journal.close()
    history = rebuild(tmp_path, READER)
    assert not any(b.perhaps_not_shown for b in history.of(PASS, (f"{1:032x}",), NOON_MS))


def at_boot(history: History, boot: str, number: int) -> None:
    stamp = {"n": 1, "at_ms": NOON_MS + number, "mono_ms": 0, "clock": ClockState.HOLDOVER}
    history.take(Start(v=1, boot=boot, agent="0", **stamp))  # type: ignore[arg-type]


def test_a_clock_that_is_set_moves_what_it_said_before() -> None:
    history = History()
    at_boot(history, "a", 0)
    history.take(tap(1, NOON_MS))
    history.take(tap(1, NOON_MS + 5))
    history.take(msgspec.structs.replace(tap(2, NOON_MS), clock=ClockState.SYNCHRONISED))
    history.take(step(3_600_000))
    history.take(tap(3, NOON_MS + 3_600_000))
    history.take(step(-1_000))
    assert at(history, 1) == [NOON_MS + 3_599_000, NOON_MS + 3_599_005]
    assert at(history, 2) == [NOON_MS]  # the fleet had said that time
    assert at(history, 3) == [NOON_MS + 3_599_000]


def test_a_clock_that_is_set_after_another_boot_does_not_move_what_was_before() -> None:
    history = History()
    for number, boot in enumerate(("a", "a", "b")):
        at_boot(history, boot, number)
        history.take(tap(number, NOON_MS))
    history.take(step(60_000))
    assert [at(history, card)[0] - NOON_MS for card in range(3)] == [0, 0, 60_000]
