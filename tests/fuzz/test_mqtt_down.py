"""What a fleet says to a reader, or who pretends to be one: the reader's network half goes on.

Over a real broker, at a real `link`: hostile answers and desired states first, then an entry is
written, and it must still reach the ledger.
"""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge import session, uplink
from tests.edge.link_kit import READER, Reader, fill, running_fleet, running_link
from tests.edge.rig import running_broker, until
from tests.fuzz.hostile import (
    GARBAGE,
    IN_RANGE,
    b64,
    changed,
    examples,
    seal_raw,
    twisted,
    written,
)
from wire.envelope import Purpose, Signer
from wire.limits import AT_MS_MAX, PAYLOAD_BYTES_MAX
from wire.topics import Leaf, topic

MESSAGES = 150
NOW_MS = 1_780_455_600_000


@st.composite
def ack_body(draw: st.DrawFn) -> bytes:
    """An answer about journals that this reader has not, or one that is none."""
    epoch = draw(st.sampled_from(["1" * 32, "2" * 32]))
    good = {"v": 1, "epoch": epoch, "journal": "0" * 32, "through": draw(IN_RANGE), "at_ms": NOW_MS}
    return draw(st.just(written(good)) | twisted(good))


@st.composite
def twin_body(draw: st.DrawFn) -> bytes:
    """A wish for what cannot be had, or one that is none."""
    roster = {"programme": "senior-pass", "version": draw(IN_RANGE), "sha256": b64(bytes(32))}
    good = {
        "v": 1,
        "at_ms": NOW_MS,
        "rosters": [roster] * draw(st.integers(0, 3)),
        "keys": draw(st.sampled_from([None, b64(bytes(32))])),
        "usage": [{"programme": "nothing", "at_ms": 1}],
    }
    return draw(st.just(written(good)) | twisted(good))


@st.composite
def desk_body(draw: st.DrawFn) -> bytes:
    """A desk's request to a reader that stands at none, or one that is none."""
    good = {
        "v": 1,
        "id": draw(st.sampled_from(["0" * 32, "e" * 32])),
        "programme": draw(st.sampled_from(["senior-pass", "nothing"])),
        "purpose": draw(st.sampled_from(["enrol", "nothing"])),
        "at_ms": draw(st.sampled_from([0, NOW_MS, AT_MS_MAX - 1])),
        "expires_ms": draw(st.sampled_from([0, NOW_MS, AT_MS_MAX])),
    }
    return draw(st.just(written(good)) | twisted(good))


_HEARD = {
    Leaf.ACK: (Purpose.ACK, ack_body),
    Leaf.TWIN_DESIRED: (Purpose.TWIN_DESIRED, twin_body),
    Leaf.COMMAND: (Purpose.DESK_REQUEST, desk_body),
}


@st.composite
def said(draw: st.DrawFn, by: Signer) -> tuple[Leaf, bytes]:
    """One message on one of the leaves that a reader hears."""
    leaf = draw(st.sampled_from(list(_HEARD)))
    purpose, body = _HEARD[leaf]
    raw = draw(body())
    signed = seal_raw(by, purpose, str(READER), raw)
    wrong = seal_raw(by, draw(st.sampled_from(Purpose)), "kazasu-shi/bus-2", raw)
    payload = draw(
        st.sampled_from([signed, wrong, signed + b" " * 1000]) | changed(signed) | GARBAGE
    )
    return leaf, payload[:PAYLOAD_BYTES_MAX]  # the broker takes no more


@pytest.fixture(autouse=True)
def _haste(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uplink, "ACK_TIMEOUT_S", 0.5)
    monkeypatch.setattr(session, "POLL_S", 0.2)


async def test_nothing_that_a_reader_hears_makes_it_fall(tmp_path: Path) -> None:
    async with running_broker(tmp_path / "broker") as broker:
        reader = Reader(tmp_path / "bus-1", broker)
        heard: list[tuple[Leaf, bytes]] = []

        @examples(MESSAGES)
        @given(said(reader.fleet))
        def collect(one: tuple[Leaf, bytes]) -> None:
            heard.append(one)

        collect()
        journal = reader.journal()
        fill(journal, 3)
        async with running_fleet(reader) as fleet, running_link(reader) as link:
            await until(
                lambda: fleet.through(journal.id) == journal.n, "the first entries are there"
            )
            for leaf, payload in heard:
                await fleet.connection.publish(topic(READER, leaf), payload)
            fleet.epoch = "e" * 32  # what was signed above named lives of the ledger
            fill(journal, 2)
            await until(
                lambda: fleet.through(journal.id) == journal.n, "the next entries are there"
            )
            await until(lambda: link._board.waiting == 0, "and acknowledged")
            assert link._board.online
