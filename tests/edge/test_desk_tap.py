"""A clerk waits for a card: what the card half asks, answers, keeps and forgets."""

import random
from pathlib import Path

import pytest

from edge.asked import Asked
from edge.identify import DEVICE_FAULT, Identified
from edge.panel import DeskAnswered, DeskAsked, DeskCancelled, DeskOver
from edge.presence import Presence
from edge.roster import Rosters
from hw.sim.antenna import Antenna
from hw.sim.cards import FeliCaCard, Phone, TornAway
from tests.edge.reader_kit import (
    ATTENDANCE,
    OPEN_ROW,
    PASS,
    Link,
    ReaderKit,
    lift,
    make_reader,
    my_number_card,
    running,
)
from wire.clock import SystemClock
from wire.codes import Code, Outcome
from wire.credential import Scheme
from wire.desk import DeskCard, DeskSaid

CARD, STRANGER = my_number_card(1), my_number_card(2)
REQUEST = DeskAsked(id="ab" * 16, programme=PASS, for_ms=60_000)
BOTH = (Scheme.COMMON_AP, Scheme.JPKI_AUTH)


@pytest.fixture
def desk(tmp_path: Path, antenna: Antenna) -> ReaderKit:
    """A desk's reader for two programmes, whose list knows one card."""
    kit = make_reader(
        tmp_path / "desk-1", antenna.device, kind="desk", programmes=(ATTENDANCE, PASS)
    )
    kit.key(ATTENDANCE)
    kit.enrol(CARD, schemes=BOTH)
    kit.give_roster(ATTENDANCE, [])
    return kit


def asked(link: Link, request: DeskAsked = REQUEST) -> DeskSaid:
    link.say(request)
    return answer(link).said


def answer(link: Link) -> DeskAnswered:
    return link.until(DeskAnswered)


def cards_of(kit: ReaderKit, card: object, *epochs: int) -> list[DeskCard]:
    return [
        DeskCard(scheme, epoch, kit.credential(PASS, scheme, card, epoch))
        for epoch in epochs or (1,)
        for scheme in BOTH
    ]


def test_the_next_card_is_the_answer_by_every_scheme_whoever_holds_it(
    desk: ReaderKit, antenna: Antenna
) -> None:
    with running(desk) as link:
        link.ready()
        for card in (CARD, STRANGER):
            assert asked(link) is DeskSaid.ASKING
            antenna.place(card)
            shown, said = link.shown(), answer(link)
            assert (shown.message, shown.outcome) == ("desk.read", Outcome.REPEAT)
            assert (said.id, said.programme, said.said) == (REQUEST.id, PASS, DeskSaid.READ)
            assert said.cards == cards_of(desk, card)
            lift(antenna)


def test_its_entry_books_nothing_and_names_no_card(desk: ReaderKit, antenna: Antenna) -> None:
    with running(desk) as link:
        link.ready()
        asked(link)
        antenna.place(CARD)
        answer(link)
        lift(antenna)
        antenna.place(CARD)
        assert link.shown().code is Code.OK  # the second tap is an ordinary one, and no repeat
    first, second = desk.taps()
    assert (first.programme, first.code, first.outcome) == (PASS, Code.DESK, Outcome.REPEAT)
    assert (first.scheme, first.credential, first.category, first.used) == (None, None, "", {})
    assert second.code is Code.OK


def test_a_card_that_lay_there_before_is_no_answer_and_a_read_one_is_nothing_else_after(
    desk: ReaderKit, antenna: Antenna
) -> None:
    with running(desk) as link:
        link.ready()
        antenna.place(STRANGER)
        link.shown()
        assert asked(link) is DeskSaid.ASKING
        assert link.silent_for(0.3)
        lift(antenna)
        antenna.place(STRANGER)
        assert answer(link).said is DeskSaid.READ
        assert link.silent_for(0.3)
    assert [tap.code for tap in desk.taps()] == [Code.UNKNOWN, Code.DESK]


def test_both_key_epochs_are_told_the_present_one_first(desk: ReaderKit, antenna: Antenna) -> None:
    for epoch in (1, 2):
        desk.key(PASS, epoch)
    desk.give_keys()
    older = desk.credential(PASS, Scheme.COMMON_AP, CARD)
    desk.give_roster(PASS, [OPEN_ROW._replace(credential=older)], schemes=BOTH, epoch=2)
    with running(desk) as link:
        link.ready()
        asked(link)
        antenna.place(CARD)
        assert answer(link).cards == cards_of(desk, CARD, 2, 1)


def test_a_card_that_is_torn_away_is_asked_for_again(desk: ReaderKit, antenna: Antenna) -> None:
    with running(desk) as link:
        link.ready()
        asked(link)
        antenna.place(TornAway(STRANGER, frames=3))
        assert answer(link).said is DeskSaid.HOLD_AGAIN
        lift(antenna)
        antenna.place(STRANGER)
        assert answer(link).said is DeskSaid.READ
    assert [tap.code for tap in desk.taps()] == [Code.HOLD_AGAIN, Code.DESK]


def test_a_card_that_is_of_no_use_ends_the_request(tmp_path: Path, antenna: Antenna) -> None:
    kit = make_reader(tmp_path / "r", antenna.device, kind="desk", technologies=("106B", "106A"))
    kit.enrol(CARD)
    with running(kit) as link:
        link.ready()
        asked(link)
        antenna.place(Phone(random.Random(2)))
        assert answer(link).said is DeskSaid.CARD_NOT_USABLE
        lift(antenna)
        antenna.place(CARD)
        assert link.shown().code is Code.OK


def test_a_request_ends_in_its_time_when_taken_back_and_when_declined(
    desk: ReaderKit, antenna: Antenna
) -> None:
    with running(desk) as link:
        link.ready()
        asked(link)
        link.say(DeskCancelled(id="cd" * 16), DeskCancelled(id=REQUEST.id))
        assert answer(link).said is DeskSaid.CANCELLED
        asked(link)
        link.say(DeskOver(id=REQUEST.id))
        link.settled()
        asked(link, DeskAsked(id="ef" * 16, programme=PASS, for_ms=1))
        link.settled()
        antenna.place(CARD)
        assert link.shown().code is Code.OK
    assert [tap.code for tap in desk.taps()] == [Code.OK]


def test_when_the_network_half_is_gone_nobody_waits(desk: ReaderKit, antenna: Antenna) -> None:
    with running(desk) as link:
        link.ready()
        asked(link)
        link.close()
        again = Link(desk.state)
        again.ready()
        antenna.place(CARD)
        assert again.shown().code is Code.OK
        again.close()


def test_a_reader_that_cannot_read_for_a_programme_says_so(desk: ReaderKit) -> None:
    said: list[DeskAnswered] = []
    rosters = Rosters(desk.config)
    clock = SystemClock()
    asked = Asked(rosters, Presence(), clock, clock.now_ms, said.append)
    asked.hear(REQUEST, ready=True)  # it holds no list yet
    rosters.load()
    asked.hear(REQUEST, ready=False)
    over = asked.holding is None
    assert over
    asked.hear(REQUEST, ready=True)
    asked.watch(heard=True, ready=False)  # the front end has gone meanwhile
    asked.hear(REQUEST, ready=True)
    asked.answered(DEVICE_FAULT, kept=True)
    asked.hear(REQUEST, ready=True)
    asked.answered(Identified(Code.DESK), kept=False)  # the journal is full
    asked.watch(heard=True, ready=False)
    wanted = [DeskSaid.NOT_READY, DeskSaid.NOT_READY]
    wanted += [DeskSaid.ASKING, DeskSaid.NOT_READY] * 3
    assert [one.said for one in said] == wanted
    assert not any(one.cards for one in said)


def test_a_transit_card_of_another_technology_is_read_by_its_own_scheme(
    tmp_path: Path, antenna: Antenna
) -> None:
    kit = make_reader(tmp_path / "r", antenna.device, kind="desk", technologies=("106B", "212F"))
    transit = FeliCaCard(bytes.fromhex("0114D5A2B3C4E5F6"))
    kit.enrol(CARD, schemes=(*BOTH, Scheme.FELICA_IDM))
    with running(kit) as link:
        link.ready()
        asked(link)
        antenna.place(transit)
        known = kit.credential(PASS, Scheme.FELICA_IDM, transit)
        assert answer(link).cards == [DeskCard(Scheme.FELICA_IDM, 1, known)]
