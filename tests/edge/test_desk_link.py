"""A clerk waits for a card: what the network half believes, hands on, and says again."""

import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from msgspec.structs import replace

from edge.clock import ReaderClock
from edge.panel import DeskAnswered, DeskAsked, DeskCancelled, DeskOver
from edge.requests import Requests
from tests.edge.link_kit import PASS, Reader, running_fleet, running_link, running_tap
from tests.edge.rig import running_broker, until
from wire.clock import SystemClock
from wire.credential import Scheme
from wire.desk import DeskAnswer, DeskCard, DeskRequest, DeskSaid
from wire.envelope import Signer
from wire.limits import DESK_WAIT_MS_MAX

CARD = DeskCard(Scheme.COMMON_AP, 1, "5c" * 16)
NOW_MS = 1_900_000_000_000
"""Later than this program was built, so that the clock is believed."""
REQUEST = DeskRequest(1, "ab" * 16, PASS, "enrol", NOW_MS, NOW_MS + 60_000)


@dataclasses.dataclass
class Hand:
    """A clock that is set by hand."""

    at_ms: int = NOW_MS

    def now_ms(self) -> int:
        return self.at_ms

    def monotonic_ns(self) -> int:
        return self.at_ms * 1_000_000


class Half:
    """The network half's judgement, with what it says."""

    def __init__(self, *, at_a_desk: bool = True) -> None:
        self.clock = Hand()
        self.said: list[object] = []
        time = ReaderClock(self.clock, 0)
        self.requests = Requests(time, self.say, lambda: None, at_a_desk=at_a_desk)

    def say(self, said: object) -> bool:
        self.said.append(said)
        return True

    def hears(self, said: DeskSaid, request: DeskRequest = REQUEST) -> None:
        cards = [CARD] if said is DeskSaid.READ else []
        self.requests.heard(DeskAnswered(request.id, PASS, NOW_MS, said, cards))

    def answers(self) -> list[DeskSaid]:
        told = [one.said for one in self.requests.answers]
        self.requests.answers.clear()
        return told


def later(ms: int = 1, **changes: object) -> DeskRequest:
    return replace(REQUEST, at_ms=REQUEST.at_ms + ms, **changes)


def test_a_request_is_asked_once_however_often_it_is_said() -> None:
    half = Half()
    assert half.requests.hear(REQUEST)
    half.hears(DeskSaid.ASKING)
    assert half.requests.hear(later())
    assert half.said == [DeskAsked(REQUEST.id, PASS, 60_000)]
    asking = half.requests.asking
    assert asking
    assert (asking.id, asking.purpose, asking.left_ms) == (REQUEST.id, "enrol", 60_000)


def test_a_replayed_a_late_and_a_former_request_change_nothing() -> None:
    half = Half()
    assert half.requests.hear(later(5))
    assert not half.requests.hear(later(5))
    assert not half.requests.hear(later(4, id="cd" * 16))
    assert not half.requests.hear(later(DESK_WAIT_MS_MAX + 1, expires_ms=NOW_MS + 10**9))
    half.clock.at_ms += 60_000
    assert not half.requests.hear(later(6))
    assert len(half.said) == 1


def test_an_answer_that_was_lost_is_said_again_and_forgotten_when_nobody_waits() -> None:
    half = Half()
    half.requests.hear(REQUEST)
    for said in (DeskSaid.ASKING, DeskSaid.HOLD_AGAIN, DeskSaid.READ):
        half.hears(said)
    assert half.answers() == [DeskSaid.ASKING, DeskSaid.HOLD_AGAIN, DeskSaid.READ]
    assert half.requests.asking is None
    half.requests.hear(later(1))
    assert half.answers() == [DeskSaid.READ]
    half.requests.hear(later(2, expires_ms=REQUEST.at_ms))
    half.hears(DeskSaid.READ)
    assert half.answers() == []
    assert half.said[1:] == [DeskOver(REQUEST.id)]


def test_a_card_half_that_was_started_again_is_asked_again() -> None:
    half = Half()
    half.requests.hear(REQUEST)
    half.hears(DeskSaid.ASKING)
    half.requests.card_half_went()
    assert half.requests.asking is None
    half.clock.at_ms += 10_000
    half.requests.card_half_came()
    assert half.said == [DeskAsked(REQUEST.id, PASS, left) for left in (60_000, 50_000)]
    half.hears(DeskSaid.READ)
    half.requests.card_half_came()
    assert len(half.said) == 2


def test_a_reader_that_stands_at_no_desk_asks_nobody() -> None:
    half = Half(at_a_desk=False)
    assert half.requests.hear(REQUEST)
    assert half.said == []
    assert half.answers() == [DeskSaid.NOT_READY]


def test_what_is_asked_on_the_screen_ends_with_its_time() -> None:
    half = Half()
    half.requests.hear(REQUEST)
    half.hears(DeskSaid.ASKING)
    half.clock.at_ms += 60_000
    assert half.requests.asking is None


@pytest.fixture
async def reader(tmp_path: Path) -> AsyncIterator[Reader]:
    async with running_broker(tmp_path / "broker") as broker:
        yield Reader(tmp_path / "bus-1", broker, "desk")


async def test_only_the_fleet_asks_and_the_answer_is_signed_by_the_reader(reader: Reader) -> None:
    async with running_fleet(reader) as fleet, running_tap(reader) as tap, running_link(reader):
        await tap.connected()
        await until(lambda: fleet.statuses, "the reader is online")
        now_ms = SystemClock().now_ms()
        request = DeskRequest(1, "ab" * 16, PASS, "enrol", now_ms, now_ms + 60_000)
        stranger = Signer(ed25519.Ed25519PrivateKey.generate())
        await fleet.ask(replace(request, id="cd" * 16), stranger)
        await fleet.ask(request)
        await until(lambda: any(isinstance(one, DeskAsked) for one in tap.heard), "it is asked")
        assert [one.id for one in tap.heard if isinstance(one, DeskAsked)] == [request.id]
        tap.say(DeskAnswered(request.id, PASS, now_ms, DeskSaid.READ, [CARD]))
        await until(lambda: fleet.answered, "the answer arrives")
        assert fleet.answered == [DeskAnswer(1, request.id, PASS, now_ms, DeskSaid.READ, [CARD])]


async def test_a_card_half_that_comes_back_is_asked_what_the_clerk_still_waits_for(
    reader: Reader,
) -> None:
    async with running_fleet(reader) as fleet, running_link(reader):
        async with running_tap(reader) as tap:
            await tap.connected()
            await until(lambda: fleet.statuses, "the reader is online")
            now_ms = SystemClock().now_ms()
            request = DeskRequest(1, "ab" * 16, PASS, "enrol", now_ms, now_ms + 60_000)
            await fleet.ask(request)
            await until(lambda: any(isinstance(o, DeskAsked) for o in tap.heard), "it is asked")
        async with running_tap(reader) as tap:
            await until(lambda: any(isinstance(o, DeskAsked) for o in tap.heard), "asked again")


def test_declining_goes_by_the_card_half() -> None:
    half = Half()
    half.requests.hear(REQUEST)
    assert half.requests.cancel(REQUEST.id)
    assert half.said[1:] == [DeskCancelled(REQUEST.id)]
