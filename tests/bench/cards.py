"""Identifying a card by each scheme, against nfcpy's `connect()` with the whole certificate read.

The agent's own front end and scheme code read simulated cards through nfcpy's own driver; the
baseline is what published programs do: `connect()` with its defaults and the certificate read in
short APDUs, as OpenSC reads it. Air time is the model of `hw.sim.air` over the frames that really
went, activation included; card time is 10 ms per APDU.
"""

import datetime
import random
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import nfc

from edge.frontends.nfcpy import Nfcpy
from edge.schemes import REGISTER
from edge.schemes.allowlist import Reading
from hw.sim.air import exchange_us
from hw.sim.antenna import Antenna, Frame
from hw.sim.cards import Card, FeliCaCard, StaffToken
from hw.sim.mynumber import ChipData, MyNumberCard
from tests.bench.figures import Table, quantile
from wire.credential import Scheme

RUNS: Final = 30
WITHIN_S: Final = 2.0
BASELINE: Final = "connect() + certificate"
SELECT_JPKI: Final = bytes.fromhex("00A4040C0AD392F000260100000001")
SELECT_CERTIFICATE: Final = bytes.fromhex("00A4020C02000A")
CHUNK: Final = 256

GOALS: Final = {Scheme.COMMON_AP: (10.0, 20.0), Scheme.JPKI_AUTH: (4.0, 4.5)}
"""Times less modelled air time, times fewer bytes from the card."""


class Read(NamedTuple):
    """What one identification cost."""

    air_ms: float
    card_bytes: int
    wall_ms: float


def _cards() -> dict[Scheme, Card]:
    rng = random.Random(1)
    chip = MyNumberCard(ChipData.drawn(rng, datetime.date(2026, 11, 1)))
    return {
        Scheme.COMMON_AP: chip,
        Scheme.JPKI_AUTH: chip,
        Scheme.FELICA_IDM: FeliCaCard(b"\x01" + rng.randbytes(7)),
        Scheme.STAFF_TOKEN: StaffToken(b"\x04" + rng.randbytes(6)),
    }


def by_scheme(front_end: Nfcpy, scheme: Scheme) -> None:
    """Find the card and read its identifier, as the agent does."""
    reader = REGISTER[scheme]
    card = front_end.sense([reader.technology])
    assert card is not None
    deadline_s = time.monotonic() + WITHIN_S
    assert reader.read(Reading(card, reader.commands, lambda: deadline_s - time.monotonic()))


def by_connect(front_end: nfc.ContactlessFrontend) -> None:
    """Find the card by `connect()` and read its whole certificate."""
    read: list[bytes] = []

    def connected(tag: Any) -> bool:
        read.append(whole_certificate(tag))
        return False

    front_end.connect(rdwr={"on-connect": connected})
    assert read[0].startswith(b"\x30\x82")


def whole_certificate(tag: Any) -> bytes:
    """SELECT, SELECT, the length from the first four bytes, then chunks of 256."""
    for select in (SELECT_JPKI, SELECT_CERTIFICATE):
        assert bytes(tag.transceive(select)) == b"\x90\x00"
    head = bytes(tag.transceive(bytes.fromhex("00B0000004")))
    length = 4 + int.from_bytes(head[2:4], "big")
    certificate = b""
    while len(certificate) < length:
        at = len(certificate).to_bytes(2, "big")
        le = min(CHUNK, length - len(certificate)) % 256
        certificate += bytes(tag.transceive(b"\x00\xb0" + at + bytes([le])))[:-2]
    return certificate


def _cost(frames: list[Frame], wall_ms: float) -> Read:
    """Frames without an answer, such as polls for other cards, are not counted."""
    air_us, card_bytes, asked = 0, 0, 0
    for frame in frames:
        if frame.to_card:
            asked = len(frame.data)
        else:
            air_us += exchange_us(frame.technology, asked, len(frame.data))
            card_bytes += len(frame.data)
    return Read(air_us / 1000, card_bytes, wall_ms)


def _measure(card: Card, act: Callable[[str], Callable[[], None]]) -> list[Read]:
    frames: list[Frame] = []
    with Antenna(transcript=frames.append) as antenna:
        once = act(antenna.device)
        reads = []
        for _ in range(RUNS):
            antenna.place(card)
            frames.clear()
            started = time.perf_counter()
            once()
            reads.append(_cost(frames, 1000 * (time.perf_counter() - started)))
            antenna.remove()
    return reads


def _typical(reads: list[Read]) -> Read:
    return Read(
        quantile((read.air_ms for read in reads), 0.5),
        round(quantile((read.card_bytes for read in reads), 0.5)),
        quantile((read.wall_ms for read in reads), 0.5),
    )


def identify_all() -> dict[str, list[Read]]:
    """Identify RUNS times by each scheme, and by the baseline."""
    cards = _cards()

    def scheme_reader(scheme: Scheme) -> Callable[[str], Callable[[], None]]:
        def opened(device: str) -> Callable[[], None]:
            front_end = Nfcpy(device, "0003")
            return lambda: by_scheme(front_end, scheme)

        return opened

    def baseline(device: str) -> Callable[[], None]:
        front_end = nfc.ContactlessFrontend(device)
        return lambda: by_connect(front_end)

    found = {str(scheme): _measure(cards[scheme], scheme_reader(scheme)) for scheme in REGISTER}
    return {BASELINE: _measure(cards[Scheme.JPKI_AUTH], baseline), **found}


def bench() -> Table:
    """Measure, and compare with the goals."""
    found = identify_all()
    typical = {name: _typical(reads) for name, reads in found.items()}
    whole = typical[BASELINE]
    rows = [
        [
            name,
            f"{read.air_ms:.1f}",
            str(read.card_bytes),
            f"{read.wall_ms:.1f}",
            f"{quantile((r.wall_ms for r in found[name]), 0.95):.1f}",
            f"{whole.air_ms / read.air_ms:.1f}",
            f"{whole.card_bytes / read.card_bytes:.1f}",
            f"{whole.wall_ms / read.wall_ms:.1f}",
        ]
        for name, read in typical.items()
    ]
    goals = []
    for scheme, (air, size) in GOALS.items():
        read = typical[str(scheme)]
        times = whole.air_ms / read.air_ms, whole.card_bytes / read.card_bytes
        goals += [
            (f"{scheme}: {times[0]:.1f} times less air time (goal {air:g})", times[0] >= air),
            (f"{scheme}: {times[1]:.1f} times fewer bytes (goal {size:g})", times[1] >= size),
        ]
    columns = ["identify by", "air ms", "card bytes", "wall ms p50", "wall ms p95"]
    columns += ["air ÷", "bytes ÷", "wall ÷"]
    return Table(
        "Identifying a card",
        f"Medians of {RUNS} runs each; the card thinks 10 ms per APDU. The baseline is nfcpy's "
        "`connect()` with its defaults and the whole certificate (1.5 kB) in short APDUs. Limited "
        "by the number of commands (10 ms each) and by the bits on the air.",
        columns,
        rows,
        goals,
    )
