"""Cards on a PC/SC reader, as a program of somebody else's meets them: by pcscd and its calls."""

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Timer

import pytest
from smartcard import scard

from hw.sim.air import exchange_us
from hw.sim.cards import Card, Chip, FeliCaCard, Phone, StaffToken, TypeBCard
from hw.sim.pcd import Activated, Blocks, NoAnswer, find, frame_waiting_us
from hw.sim.vicc import VirtualReader, answer_to_reset
from tests.conftest import Eventually
from tests.edge.pcsc_kit import Leaving
from tests.edge.reader_kit import my_number_card
from tests.real_pcsc import Pcscd

SELECT_JPKI = bytes.fromhex("00A4040C0AD392F000260100000001")
READ_CERTIFICATE = bytes.fromhex("00B08A00000000")  # extended length: all of it
GET_ID = bytes.fromhex("FFCA000000")
GET_HISTORICAL = bytes.fromhex("FFCA010000")
IDM = bytes.fromhex("0114D5A2B3C4E5F6")
UID = bytes.fromhex("04A1B2C3D4E5F6")
NOTHING_LIES = scard.SCARD_STATE_EMPTY


class Client:
    """A program that uses the reader, by pcscd's own calls."""

    def __init__(self) -> None:
        code, self._context = scard.SCardEstablishContext(scard.SCARD_SCOPE_SYSTEM)
        assert code == scard.SCARD_S_SUCCESS
        self._reader = scard.SCardListReaders(self._context, [])[1][0]
        self._card = self._protocol = 0

    def state(self) -> int:
        unaware = [(self._reader, scard.SCARD_STATE_UNAWARE)]
        _, states = scard.SCardGetStatusChange(self._context, 0, unaware)
        return int(states[0][1])

    def atr(self) -> bytes:
        unaware = [(self._reader, scard.SCARD_STATE_UNAWARE)]
        _, states = scard.SCardGetStatusChange(self._context, 0, unaware)
        return bytes(states[0][2])

    def connected(self) -> bool:
        """Try to connect to the card."""
        share, protocols = scard.SCARD_SHARE_EXCLUSIVE, scard.SCARD_PROTOCOL_ANY
        connected = scard.SCardConnect(self._context, self._reader, share, protocols)
        code, self._card, self._protocol = connected
        return bool(code == scard.SCARD_S_SUCCESS)

    def transmit(self, apdu: bytes) -> bytes:
        """Return the answer; empty when there is none."""
        code, answer = scard.SCardTransmit(self._card, self._protocol, list(apdu))
        return bytes(answer) if code == scard.SCARD_S_SUCCESS else b""

    def unpower(self) -> None:
        scard.SCardDisconnect(self._card, scard.SCARD_UNPOWER_CARD)

    def close(self) -> None:
        scard.SCardReleaseContext(self._context)


Lay = Callable[[Card], Client]


@pytest.fixture(scope="module")
def pcscd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pcscd]:
    with Pcscd(tmp_path_factory.mktemp("pcscd"), "Reader") as running:
        running.start()
        yield running


@pytest.fixture
def client(pcscd: Pcscd) -> Iterator[Client]:
    opened = Client()
    yield opened
    opened.close()


@pytest.fixture
def reader(pcscd: Pcscd, client: Client, eventually: Eventually) -> Iterator[VirtualReader]:
    with VirtualReader(pcscd.port, interrupt=pcscd.look) as opened:
        yield opened
    eventually(lambda: client.state() & NOTHING_LIES, that="pcscd has seen the card leave")


@pytest.fixture
def lay(reader: VirtualReader, client: Client, eventually: Eventually) -> Lay:
    """Lay a card down and connect to it."""

    def laid(card: Card) -> Client:
        reader.place(card)
        eventually(client.connected, that="the card is there")
        return client

    return laid


@pytest.mark.parametrize(
    ("card", "atr", "sensed_id", "historical"),
    [
        (
            my_number_card(0x01020304),
            "3B888001000005E0B381A1007F",  # pcsc-tools, smartcard_list.txt
            "01020304",
            "000005E0B381A1009000",
        ),
        (Phone(random.Random(1)), "3B80800101", "", "9000"),
        (FeliCaCard(IDM), "3B8F8001804F0CA00000030611003B0000000042", IDM.hex(), "6A81"),
        (StaffToken(UID), "3B8F8001804F0CA0000003060300030000000068", UID.hex(), "6A81"),
        (StaffToken(UID[:4]), "3B8F8001804F0CA0000003060300030000000068", "04A1B2C3", "6A81"),
    ],
)
def test_a_card_is_named_by_the_reader(
    card: Card, atr: str, sensed_id: str, historical: str, lay: Lay
) -> None:
    client = lay(card)
    assert client.atr().hex().upper() == atr
    assert client.transmit(GET_HISTORICAL).hex().upper() == historical
    said = client.transmit(GET_ID)
    assert said[-2:] == b"\x90\x00"
    assert not sensed_id or said[:-2] == bytes.fromhex(sensed_id)
    assert not isinstance(card, TypeBCard) or not card.apdus  # it was not asked


def test_an_apdu_and_its_answer_are_chained_over_as_many_blocks_as_they_need(lay: Lay) -> None:
    card = my_number_card()
    client = lay(card)
    long_command = bytes.fromhex("00D60000") + b"\x00" + (700).to_bytes(2) + bytes(700)
    client.transmit(long_command)
    assert card.apdus[-1][0] == long_command
    assert client.transmit(SELECT_JPKI) == b"\x90\x00"
    assert client.transmit(READ_CERTIFICATE) == card.certificate + b"\x90\x00"


def test_a_card_that_is_not_spoken_to_refuses_every_command(lay: Lay) -> None:
    assert lay(FeliCaCard(IDM)).transmit(SELECT_JPKI) == b"\x6d\x00"


def test_a_card_that_asks_for_time_gets_it(lay: Lay) -> None:
    client = lay(my_number_card(apdu_ms=300, wtx_ms=50))
    started = time.monotonic()
    assert client.transmit(SELECT_JPKI) == b"\x90\x00"
    assert time.monotonic() - started > 0.3


def test_without_power_a_card_forgets(lay: Lay) -> None:
    client = lay(my_number_card(pupi=random.Random(1)))
    client.transmit(SELECT_JPKI)
    before = client.transmit(GET_ID)
    client.unpower()
    assert client.connected()
    assert client.transmit(READ_CERTIFICATE)[-2:] == b"\x6a\x82"  # nothing is selected
    assert client.transmit(GET_ID) != before


def test_a_faster_reader_fills_the_air_for_less_time(pcscd: Pcscd, client: Client) -> None:
    def filled_us(kbit_s_max: int) -> int:
        exchanges: list[int] = []

        def air(technology: str, to_card: int, from_card: int) -> int:
            exchanges.append(exchange_us(technology, to_card, from_card))
            return exchanges[-1]

        with VirtualReader(
            pcscd.port, kbit_s_max=kbit_s_max, air=air, interrupt=pcscd.look
        ) as reader:
            reader.place(my_number_card(apdu_ms=0))
            while not client.connected():
                time.sleep(0.01)
            client.transmit(SELECT_JPKI)
            exchanges.clear()
            started = time.monotonic()
            assert len(client.transmit(READ_CERTIFICATE)) > 1200
            assert time.monotonic() - started > sum(exchanges) / 1e6
            client.unpower()
        while not client.state() & NOTHING_LIES:
            time.sleep(0.01)
        return sum(exchanges)

    assert filled_us(106) > 3 * filled_us(424) > 0


def test_a_card_that_falls_silent_has_left(lay: Lay, eventually: Eventually) -> None:
    client = lay(Leaving(my_number_card(), blocks=1))
    assert client.transmit(SELECT_JPKI) == b"\x90\x00"
    started = time.monotonic()
    assert client.transmit(SELECT_JPKI) == b""
    assert time.monotonic() - started > 0.3  # its frame waiting time
    eventually(lambda: client.state() & NOTHING_LIES, that="pcscd has seen it leave")


def test_a_card_that_is_taken_away_while_it_thinks_answers_nothing(
    lay: Lay, reader: VirtualReader
) -> None:
    client = lay(my_number_card(apdu_ms=5000))
    Timer(0.1, reader.remove).start()
    started = time.monotonic()
    assert client.transmit(SELECT_JPKI) == b""
    assert time.monotonic() - started < 2


def test_what_lies_there_is_there_when_pcscd_comes(tmp_path: Path, eventually: Eventually) -> None:
    with Pcscd(tmp_path, "Reader") as pcscd, VirtualReader(pcscd.port, interrupt=pcscd.look) as one:
        one.place(my_number_card())
        for _ in range(2):
            pcscd.start()
            client = Client()
            eventually(client.connected, that="the card is there")
            client.close()
            pcscd.kill()


# --- the reader's side of the conversation, without pcscd -----------------------------------------


def exchange_with(card: Card) -> Callable[[str, bytes], bytes]:
    card.reset()

    def exchange(technology: str, frame: bytes) -> bytes:
        reply = card.answer(technology, frame)
        if reply is None:
            raise NoAnswer("silence")
        return reply.data

    return exchange


@pytest.mark.parametrize(
    ("protocol", "kbit_s_max", "technology"),
    [
        ("B381A1", 424, "424B"),  # a My Number Card takes 212 and 424 kbit/s
        ("B381A1", 212, "212B"),
        ("B381A1", 106, "106B"),
        ("9181C1", 424, "212B"),  # a driving licence takes 212
        ("0081A1", 424, "106B"),
    ],
)
def test_the_bit_rate_is_the_fastest_that_both_can(
    protocol: str, kbit_s_max: int, technology: str
) -> None:
    card = TypeBCard(Chip({}), bytes(4), protocol=bytes.fromhex(protocol))
    found = find(exchange_with(card), kbit_s_max)
    assert found
    assert found.technology == technology


def test_an_empty_field_holds_no_card() -> None:
    def silence(technology: str, frame: bytes) -> bytes:
        raise NoAnswer(f"{technology}: nothing answers {frame.hex()}")

    assert find(silence) is None


@pytest.mark.parametrize("answer", ["", "F2", "03", "C2", "FF", "A2", "0A0102"])
def test_what_is_no_block_is_no_answer(answer: str) -> None:
    card = Activated("106B", bytes(4), b"", fsc=256)
    with pytest.raises(NoAnswer):
        Blocks(lambda *_: bytes.fromhex(answer), card).transceive(SELECT_JPKI)


def test_a_reader_waits_as_long_as_the_card_may_think() -> None:
    assert frame_waiting_us(0) == 302
    assert frame_waiting_us(10) == 309_314  # a My Number Card's


def test_the_atr_of_a_government_id_is_that_of_the_public_list() -> None:
    card = Activated("106B", bytes(4), bytes.fromhex("000041E0B381A100"))
    assert answer_to_reset(card).hex().upper() == "3B888001000041E0B381A1003B"
