"""The story of a tap, through the real nfcpy: who is accepted, what is kept, what is shown."""

import random
import resource
import time

from edge.journal import journals
from edge.panel import (
    Appended,
    Condition,
    Pressed,
    Stranger,
    Vehicle,
)
from hw.sim.antenna import Antenna
from hw.sim.cards import foreign_eid
from tests.edge.reader_kit import (
    PASS,
    ReaderKit,
    lift,
    my_number_card,
    running,
)
from wire.codes import Code, Outcome
from wire.credential import Scheme
from wire.entries import Start
from wire.messages import STAGES

CARD = my_number_card(1)


def test_a_known_card_is_accepted_kept_and_shown(kit: ReaderKit, antenna: Antenna) -> None:
    kit.enrol(CARD)
    with running(kit) as link:
        link.ready()
        link.say(Vehicle(duty="d7", stop="s3", line="2"))
        link.settled()
        antenna.place(CARD)
        shown = link.shown()
        appended = link.until(Appended)
    assert (shown.outcome, shown.code, shown.message) == (
        Outcome.ACCEPTED, Code.OK, "senior-pass.accepted",
    )  # fmt: skip
    assert shown.arguments == {"yen": "50"}
    (tap,) = kit.taps()
    last = kit.entries()[-1]
    assert (last.n, last.tip) == (appended.n, appended.tip) == (shown.n, appended.tip)
    assert tap.credential == kit.credential(PASS, Scheme.COMMON_AP, CARD)
    assert (tap.scheme, tap.key_epoch, tap.category) == (Scheme.COMMON_AP, 1, "all")
    assert (tap.rider_pays_yen, tap.line, tap.duty, tap.stop) == (50, "2", "d7", "s3")
    assert (tap.programme, tap.shown) == (PASS, shown.message)


def test_every_stage_is_timed(kit: ReaderKit, antenna: Antenna) -> None:
    kit.enrol(CARD)
    with running(kit) as link:
        link.ready()
        antenna.place(CARD)
        stages = link.shown().stages_us
    assert set(stages) == set(STAGES)
    parts = sum(stages[name] for name in ("identify", "decide", "journal", "show"))
    assert abs(parts - stages["total"]) < 10
    assert 0 < stages["host"] < stages["total"]


def test_a_decision_carries_rule_roster_and_age(kit: ReaderKit, antenna: Antenna) -> None:
    """C4, for a yes, for a card that no roster knows, and for one that cannot be used."""
    built_ms = time.time_ns() // 1_000_000 - 3 * 3_600_000
    kit.enrol(CARD, version=17, at_ms=built_ms)
    with running(kit) as link:
        link.ready()
        for card in (CARD, my_number_card(2), foreign_eid(random.Random(1))):
            antenna.place(card)
            link.shown()
            lift(antenna)
    taps = kit.taps()
    assert [tap.code for tap in taps] == [Code.OK, Code.UNKNOWN, Code.CARD_NOT_USABLE]
    for tap in taps:
        assert (tap.rule, tap.roster) == ("senior-pass/2026-04", 17)
        assert 3 * 3600 <= tap.roster_age_s < 3 * 3600 + 60


def test_a_second_presentation_books_nothing(kit: ReaderKit, antenna: Antenna) -> None:
    """C3."""
    kit.enrol(CARD)
    with running(kit) as link:
        link.ready()
        codes = []
        for _ in range(3):
            antenna.place(CARD)
            codes.append(link.shown().code)
            lift(antenna)
    assert codes == [Code.OK, Code.REPEAT, Code.REPEAT]
    assert [tap.rider_pays_yen for tap in kit.taps()] == [50, None, None]
    assert [tap.outcome for tap in kit.taps()][1:] == [Outcome.REPEAT] * 2


def test_a_restart_opens_no_repeat_window(kit: ReaderKit, antenna: Antenna) -> None:
    """C3: nobody pays twice for a power cut; other cards of the day are remembered too."""
    other = my_number_card(2)
    kit.enrol(CARD, other, repeat_window_s=60)
    with running(kit) as link:
        link.ready()
        for card in (CARD, other):
            antenna.place(card)
            assert link.shown().code is Code.OK
            lift(antenna)
    with running(kit) as link:
        link.ready()
        for card in (CARD, other):
            antenna.place(card)
            assert link.shown().code is Code.REPEAT
            lift(antenna)
    starts = [kept.entry for kept in kit.entries() if isinstance(kept.entry, Start)]
    assert starts[1].former
    assert starts[1].former.n == 3


def test_a_stranger_leaves_nothing(kit: ReaderKit, antenna: Antenna) -> None:
    """C12."""
    kit.enrol(CARD)
    stranger = my_number_card(99)
    with running(kit) as link:
        link.ready()
        antenna.place(stranger)
        assert link.shown().code is Code.UNKNOWN
        lift(antenna)
        heard = list(link.heard)
    (tap,) = kit.taps()
    assert (tap.credential, tap.older_credential, tap.key_epoch) == (None, None, 0)
    assert not any(isinstance(said, Stranger) for said in heard)
    _nothing_of(stranger, kit)


def _nothing_of(card: object, kit: ReaderKit) -> None:
    """Neither the card's own data nor its credential lies in any file of the reader."""
    credential = kit.credential(PASS, Scheme.COMMON_AP, card)
    for path in kit.state.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert credential.encode() not in data, path
            assert bytes.fromhex(credential) not in data, path
            assert card.data.serial.encode() not in data, path  # type: ignore[attr-defined]


def test_triage_tells_a_clerk_of_a_stranger_and_keeps_nothing(
    kit: ReaderKit, antenna: Antenna
) -> None:
    """C12."""
    kit.enrol(CARD, triage=True)
    stranger = my_number_card(99)
    with running(kit) as link:
        link.ready()
        antenna.place(CARD)
        link.shown()
        lift(antenna)
        antenna.place(stranger)
        shown = link.shown()
        said = link.until(Stranger)
        lift(antenna)
        assert [one for one in link.heard if isinstance(one, Stranger)] == [said]
    assert said.credential == kit.credential(PASS, Scheme.COMMON_AP, stranger)
    assert (said.n, said.journal, said.scheme) == (shown.n, shown.journal, Scheme.COMMON_AP)
    _nothing_of(stranger, kit)


def test_no_identifier_is_written_anywhere(kit: ReaderKit, antenna: Antenna) -> None:
    kit.enrol(CARD)
    with running(kit) as link:
        link.ready()
        antenna.place(CARD)
        link.shown()
    for path in kit.folder.rglob("*"):
        if path.is_file():
            assert CARD.data.serial.encode() not in path.read_bytes(), path


def test_without_a_roster_nothing_is_accepted_and_it_says_so(
    kit: ReaderKit, antenna: Antenna
) -> None:
    with running(kit) as link:
        condition = link.until(Condition)
        assert (condition.ready, condition.trouble) == (False, Code.DEVICE_FAULT)
        antenna.place(CARD)
        shown = link.shown()
        assert (shown.outcome, shown.code) == (Outcome.REFUSED, Code.DEVICE_FAULT)
    (tap,) = kit.taps()
    assert (tap.programme, tap.code, tap.roster, tap.rule) == (PASS, Code.DEVICE_FAULT, 0, "")


def test_a_full_disk_accepts_nothing_says_so_and_recovers(kit: ReaderKit, antenna: Antenna) -> None:
    """C2, and the order of journal and show: a yes that was shown before it was kept would be seen
    here, because it can not be kept.
    """
    kit.enrol(CARD)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with running(kit) as link:
        link.ready()
        (file,) = journals(kit.state / "journal")
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file.path.stat().st_size + 20, hard))
            for _ in range(2):
                antenna.place(CARD)
                shown = link.shown()
                assert (shown.outcome, shown.code, shown.n) == (
                    Outcome.REFUSED, Code.JOURNAL_FULL, 0,
                )  # fmt: skip
                lift(antenna)
            link.say(Pressed(button="present-only"))
            assert link.shown().code is Code.JOURNAL_FULL
            assert any(
                isinstance(said, Condition) and said.trouble is Code.JOURNAL_FULL
                for said in link.heard
            )
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert link.until(Condition).ready  # by itself, nobody taps
        antenna.place(CARD)
        assert link.shown().code is Code.OK
    assert [tap.code for tap in kit.taps()] == [Code.OK]


def test_what_is_shown_is_already_on_the_disk(kit: ReaderKit, antenna: Antenna) -> None:
    kit.enrol(CARD)
    with running(kit) as link:
        link.ready()
        for _ in range(5):
            antenna.place(CARD)
            shown = link.shown()
            assert shown.n in [kept.n for kept in kit.entries()]
            lift(antenna)
