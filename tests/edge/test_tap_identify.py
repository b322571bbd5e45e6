"""Which programme and which scheme, and what becomes of cards that are slow, torn or foreign."""

import random
from pathlib import Path

from edge.identify import CARD_MS_MAX
from hw.sim.antenna import Antenna
from hw.sim.cards import FeliCaCard, Phone, StaffToken, TornAway, foreign_eid
from tests.edge.reader_kit import (
    ATTENDANCE,
    OPEN_ROW,
    PASS,
    ReaderKit,
    lift,
    make_reader,
    my_number_card,
    running,
)
from tests.timing import IN_TIME
from wire.codes import Code
from wire.credential import Scheme

CARD = my_number_card(1)


def test_a_card_under_the_older_key_is_kept_with_both_credentials(
    kit: ReaderKit, antenna: Antenna
) -> None:
    for epoch in (1, 2):
        kit.key(PASS, epoch)
    kit.give_keys()
    older = kit.credential(PASS, Scheme.COMMON_AP, CARD, epoch=1)
    kit.give_roster(PASS, [OPEN_ROW._replace(credential=older)], epoch=2)
    with running(kit) as link:
        link.ready()
        antenna.place(CARD)
        assert link.shown().code is Code.OK
    (tap,) = kit.taps()
    assert (tap.credential, tap.older_credential, tap.key_epoch) == (
        kit.credential(PASS, Scheme.COMMON_AP, CARD, epoch=2), older, 2,
    )  # fmt: skip


def test_the_first_programme_that_knows_the_card_decides(tmp_path: Path, antenna: Antenna) -> None:
    kit = make_reader(tmp_path / "r", antenna.device, kind="school", programmes=(PASS, ATTENDANCE))
    teacher = my_number_card(3)
    for programme, card in ((PASS, CARD), (ATTENDANCE, teacher)):
        row = OPEN_ROW._replace(credential=kit.credential(programme, Scheme.COMMON_AP, card))
        kit.give_roster(programme, [row])
    kit.give_keys()
    with running(kit) as link:
        link.ready()
        for card in (teacher, CARD, my_number_card(4)):
            antenna.place(card)
            link.shown()
            lift(antenna)
    assert [(tap.programme, tap.code) for tap in kit.taps()] == [
        (ATTENDANCE, Code.OK), (PASS, Code.OK), (PASS, Code.UNKNOWN),
    ]  # fmt: skip


def test_the_next_scheme_is_tried_while_members_remain_under_it(
    kit: ReaderKit, antenna: Antenna
) -> None:
    kit.enrol(CARD, scheme=Scheme.JPKI_AUTH, schemes=(Scheme.COMMON_AP, Scheme.JPKI_AUTH))
    with running(kit) as link:
        link.ready()
        antenna.place(CARD)
        assert link.shown().code is Code.OK
        lift(antenna)
    (tap,) = kit.taps()
    assert tap.scheme is Scheme.JPKI_AUTH


def test_a_scheme_that_the_roster_does_not_name_is_not_tried(
    kit: ReaderKit, antenna: Antenna
) -> None:
    card = my_number_card(8)
    kit.enrol(card, scheme=Scheme.JPKI_AUTH, schemes=(Scheme.COMMON_AP,))
    with running(kit) as link:
        link.ready()
        antenna.place(card)
        assert link.shown().code is Code.UNKNOWN
    assert all(apdu[5:15] != bytes.fromhex("D392F000260100000001") for apdu, _ in card.apdus)


def test_a_card_without_the_common_application_is_read_by_the_next_scheme(
    kit: ReaderKit, antenna: Antenna
) -> None:
    card = my_number_card(9, common_ap=False)
    kit.enrol(card, scheme=Scheme.JPKI_AUTH, schemes=(Scheme.COMMON_AP, Scheme.JPKI_AUTH))
    with running(kit) as link:
        link.ready()
        antenna.place(card)
        assert link.shown().code is Code.OK


def test_three_technologies_in_one_loop(tmp_path: Path, antenna: Antenna) -> None:
    kit = make_reader(tmp_path / "r", antenna.device, technologies=("106B", "212F", "106A"))
    transit, token = FeliCaCard(bytes.fromhex("0114D5A2B3C4E5F6")), StaffToken(b"\x04" + bytes(6))
    kit.key(PASS)
    kit.give_keys()
    members = (
        (CARD, Scheme.COMMON_AP), (transit, Scheme.FELICA_IDM), (token, Scheme.STAFF_TOKEN),
    )  # fmt: skip
    rows = [OPEN_ROW._replace(credential=kit.credential(PASS, s, c)) for c, s in members]
    kit.give_roster(PASS, rows, schemes=[scheme for _, scheme in members])
    with running(kit) as link:
        link.ready()
        for card, _ in (*members, *reversed(members)):
            antenna.place(card)
            link.shown()
            lift(antenna)
    assert [tap.scheme for tap in kit.taps()[:3]] == [scheme for _, scheme in members]
    assert [tap.code for tap in kit.taps()] == [Code.OK] * 3 + [Code.REPEAT] * 3


def test_foreign_cards_and_phones_are_not_usable_and_not_kept(
    tmp_path: Path, antenna: Antenna
) -> None:
    kit = make_reader(tmp_path / "r", antenna.device, technologies=("106B", "106A"))
    kit.enrol(CARD, schemes=(Scheme.COMMON_AP, Scheme.JPKI_AUTH, Scheme.STAFF_TOKEN))
    with running(kit) as link:
        link.ready()
        for card in (
            foreign_eid(random.Random(1)),
            Phone(random.Random(2)),
            my_number_card(5, wrong_status={0xA4: 0x6A82}),
            my_number_card(6, wrong_status={0xB0: 0x6982, 0xB2: 0x6F00}),
        ):
            antenna.place(card)
            assert link.shown().code is Code.CARD_NOT_USABLE
            lift(antenna)
    assert all(tap.scheme is None and tap.credential is None for tap in kit.taps())


@IN_TIME
def test_a_slow_card_is_served(kit: ReaderKit, antenna: Antenna) -> None:
    slow = my_number_card(4, apdu_ms=120)
    kit.enrol(slow)
    with running(kit) as link:
        link.ready()
        antenna.place(slow)
        assert link.shown().code is Code.OK


@IN_TIME
def test_a_card_torn_away_is_asked_to_be_held_again_within_the_deadline(
    kit: ReaderKit, antenna: Antenna
) -> None:
    kit.enrol(CARD)
    with running(kit) as link:
        link.ready()
        antenna.place(TornAway(my_number_card(1), frames=3))
        shown = link.shown()
        assert (shown.code, shown.message) == (Code.HOLD_AGAIN, "refused.hold-again")
        assert CARD_MS_MAX * 1000 <= shown.stages_us["total"] < 500_000
        assert shown.stages_us["host"] < 50_000
        lift(antenna)
        antenna.place(CARD)
        assert link.shown().code is Code.OK
    assert [tap.code for tap in kit.taps()] == [Code.HOLD_AGAIN, Code.OK]


class Flickering:
    """A card that leaves in the middle of its first conversation and is back at once."""

    def __init__(self, card: object) -> None:
        self._card = card
        self._frames = 0

    def reset(self) -> None:
        self._card.reset()  # type: ignore[attr-defined]

    def answer(self, technology: str, frame: bytes) -> object:
        if technology == "106B":
            self._frames += 1
        lost = 3 <= self._frames <= 4
        return None if lost else self._card.answer(technology, frame)  # type: ignore[attr-defined]


def test_a_card_that_is_back_in_time_is_served_at_once(kit: ReaderKit, antenna: Antenna) -> None:
    kit.enrol(CARD)
    with running(kit) as link:
        link.ready()
        antenna.place(Flickering(my_number_card(1)))  # type: ignore[arg-type]
        assert link.shown().code is Code.OK
    assert [tap.code for tap in kit.taps()] == [Code.OK]
