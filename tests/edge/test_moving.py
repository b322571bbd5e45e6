"""Members move from one scheme to another: at the reader, by holding the card as ever."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pytest

from edge.identify import CARD_MS_MAX
from hw.sim.antenna import Antenna
from hw.sim.cards import FeliCaCard, TornAway
from hw.sim.mynumber import MyNumberCard
from tests.edge.reader_kit import (
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
from wire.credential import Credential, Scheme
from wire.entries import Tap
from wire.roster import Moving

OLD, NEW = Scheme.JPKI_AUTH, Scheme.COMMON_AP
MOVING = Moving(OLD, NEW)


@dataclasses.dataclass(frozen=True)
class Named:
    """What a card is known as before and after."""

    old: Credential
    new: Credential


def named(kit: ReaderKit, card: MyNumberCard) -> Named:
    old, new = (kit.credential(PASS, scheme, card) for scheme in (OLD, NEW))
    return Named(old, new)


def campaign(kit: ReaderKit, *credentials: Credential, version: int = 1, **more: object) -> None:
    """Give the roster of a running campaign; the scheme that is left comes first."""
    kit.key(PASS)
    kit.give_keys()
    rows = [OPEN_ROW._replace(credential=one) for one in credentials]
    options: dict[str, object] = {"schemes": (OLD, NEW), "moving": MOVING, "version": version}
    kit.give_roster(PASS, rows, **(options | more))  # type: ignore[arg-type]


def hold(
    kit: ReaderKit, antenna: Antenna, *cards: MyNumberCard | TornAway | FeliCaCard
) -> Sequence[Tap]:
    """Hold cards one after the other at a reader that starts now; return all its taps."""
    with running(kit) as link:
        link.ready()
        for card in cards:
            antenna.place(card)
            link.shown()
            lift(antenna)
    return kit.taps()


def test_a_card_that_is_found_by_the_old_scheme_is_written_down_by_both(
    kit: ReaderKit, antenna: Antenna
) -> None:
    card = my_number_card(1)
    names = named(kit, card)
    campaign(kit, names.old)
    (tap,) = hold(kit, antenna, card)
    assert (tap.code, tap.scheme) == (Code.OK, NEW)
    assert (tap.credential, tap.older_credential) == (names.new, names.old)


def test_a_card_that_has_moved_is_decided_by_its_new_row(kit: ReaderKit, antenna: Antenna) -> None:
    card = my_number_card(1)
    names = named(kit, card)
    campaign(kit)
    stopped = OPEN_ROW._replace(credential=names.new, stopped_from_s=1_000_000_000)
    rows = [OPEN_ROW._replace(credential=names.old), stopped]
    kit.give_roster(PASS, rows, schemes=(OLD, NEW), moving=MOVING)
    (tap,) = hold(kit, antenna, card)
    assert (tap.code, tap.credential) == (Code.STOP_LISTED, names.new)


def test_a_card_without_the_new_application_counts_under_the_old_scheme_as_ever(
    kit: ReaderKit, antenna: Antenna
) -> None:
    card = my_number_card(1, common_ap=False)
    names = named(kit, card)
    campaign(kit, names.old)
    (tap,) = hold(kit, antenna, card)
    assert (tap.code, tap.scheme) == (Code.OK, OLD)
    assert (tap.credential, tap.older_credential) == (names.old, None)


@pytest.mark.parametrize("frames", range(3, 12))
def test_a_card_torn_away_while_it_moves_counts_once_and_by_what_was_read(
    kit: ReaderKit, antenna: Antenna, frames: int
) -> None:
    names = named(kit, my_number_card(1))
    campaign(kit, names.old)
    torn = TornAway(my_number_card(1), frames=frames)
    first, second = hold(kit, antenna, torn, my_number_card(1))
    if first.code is Code.HOLD_AGAIN:  # before it was found by the old scheme
        assert second.code is Code.OK
        return
    assert (first.code, second.code) == (Code.OK, Code.REPEAT)
    moved = (names.new, names.old)
    assert (first.credential, first.older_credential) in (moved, (names.old, None))
    assert (second.credential, second.older_credential) == moved


def test_some_of_these_are_torn_between_both_schemes(kit: ReaderKit, antenna: Antenna) -> None:
    """Else the test above would say nothing."""
    names = named(kit, my_number_card(1))
    campaign(kit, names.old)
    found = set()
    for frames in range(3, 12):
        *_, tap = hold(kit, antenna, TornAway(my_number_card(1), frames=frames))
        found.add(tap.credential)
    assert {None, names.old, names.new} == found


@IN_TIME
def test_a_slow_card_is_not_waited_for_twice(kit: ReaderKit, antenna: Antenna) -> None:
    slow = my_number_card(1, apdu_ms=120)
    names = named(kit, slow)
    campaign(kit, names.old)
    with running(kit) as link:
        link.ready()
        antenna.place(slow)
        shown = link.shown()
    assert shown.stages_us["total"] < (CARD_MS_MAX + 100) * 1000
    (tap,) = kit.taps()
    assert (tap.code, tap.credential) == (Code.OK, names.old)


@pytest.mark.parametrize("restart", [False, True])
def test_who_was_read_by_both_is_not_counted_again_when_read_by_the_old_one_alone(
    kit: ReaderKit, antenna: Antenna, restart: bool
) -> None:
    both, old_alone = my_number_card(1), my_number_card(1, common_ap=False)
    campaign(kit, named(kit, both).old)
    if restart:
        hold(kit, antenna, both)
        taps = hold(kit, antenna, old_alone)
    else:
        taps = hold(kit, antenna, both, old_alone)
    assert [tap.code for tap in taps] == [Code.OK, Code.REPEAT]


def test_who_was_read_by_both_is_not_counted_again_when_the_old_scheme_has_gone(
    kit: ReaderKit, antenna: Antenna
) -> None:
    card = my_number_card(1)
    names = named(kit, card)
    campaign(kit, names.old)
    hold(kit, antenna, card)
    campaign(kit, names.new, version=2, schemes=(NEW,), moving=None)
    taps = hold(kit, antenna, card)
    assert [(tap.code, tap.credential) for tap in taps] == [
        (Code.OK, names.new), (Code.REPEAT, names.new),
    ]  # fmt: skip


def test_a_card_under_an_older_key_and_the_old_scheme_moves_in_one_step(
    kit: ReaderKit, antenna: Antenna
) -> None:
    card = my_number_card(1)
    for epoch in (1, 2):
        kit.key(PASS, epoch)
    older, newer = kit.credential(PASS, OLD, card, 1), kit.credential(PASS, NEW, card, 2)
    campaign(kit, older, epoch=2)
    (tap,) = hold(kit, antenna, card)
    assert (tap.code, tap.key_epoch) == (Code.OK, 2)
    assert (tap.credential, tap.older_credential) == (newer, older)


def test_a_strangers_card_is_reported_by_the_scheme_that_members_join(
    kit: ReaderKit, antenna: Antenna
) -> None:
    stranger = my_number_card(7)
    campaign(kit, triage=True)
    (tap,) = hold(kit, antenna, stranger)
    assert (tap.code, tap.scheme, tap.credential) == (Code.UNKNOWN, NEW, None)


def test_a_card_of_another_technology_is_asked_nothing_more(
    tmp_path: Path, antenna: Antenna
) -> None:
    kit = make_reader(tmp_path / "r", antenna.device, technologies=("212F",))
    transit = FeliCaCard(bytes.fromhex("0114D5A2B3C4E5F6"))
    old = kit.credential(PASS, Scheme.FELICA_IDM, transit)
    campaign(kit, old, schemes=(Scheme.FELICA_IDM,), moving=Moving(Scheme.FELICA_IDM, NEW))
    (tap,) = hold(kit, antenna, transit)
    assert (tap.code, tap.credential, tap.older_credential) == (Code.OK, old, None)
