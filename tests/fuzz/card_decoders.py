"""Every decoder between a card and its identifier, in this process and without waiting.

Whatever comes in, nothing leaves them but what they say that they raise.
"""

import contextlib
import os
import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from edge.card_proof import PinMalformed, look, prove
from edge.config import CardAp
from edge.frontends import CardGone, Technology
from edge.frontends.atr import technology_of
from edge.frontends.isodep import Atqb
from edge.frontends.serial_line import ACK, EXTENDED, FRAME_BYTES_MAX, NACK, START, SerialLine
from edge.schemes import register
from edge.schemes.allowlist import READ_AUTH_CERTIFICATE, NoIdentifier, Reading
from edge.schemes.common_ap import SERIAL_DIGITS, serial
from edge.schemes.desk_allowlist import ASK_TRIES, VERIFY
from edge.schemes.jpki_auth import SERIAL_BYTES_MAX, TIME_BYTES, serial_and_not_before
from tests.fuzz.card_conversations import CHALLENGE, PIN, Conversations, ShortAir, count_proof
from tests.fuzz.held import Members, Tally
from tests.fuzz.mutate import mutated
from wire.clock import SystemClock
from wire.credential import IDENTIFIER_BYTES_MAX, Scheme

ATQB: Final = bytes.fromhex("5001020304000005E0B381A1")
FWT_S_MAX: Final = 5.0
"""FWI 14 is 4.95 s."""
HEAD_BYTES: Final = READ_AUTH_CERTIFICATE[-1]
SENSED_IDS: Final = (bytes(4), bytes.fromhex("0114D5A2B3C4E5F6"), bytes.fromhex("04A1B2C3D4E5F6"))
ATRS: Final = tuple(
    bytes.fromhex(one)
    for one in (
        "3B888001000005E0B381A1007F",  # My Number Card (pcsc-tools' list)
        "3B8F8001804F0CA00000030611003B0000000042",  # FeliCa
        "3B8F8001804F0CA0000003060300030000000068",  # Type 2 tag
        "3BE000FF8131FE4514",  # My Number Card, by its contacts
        "3B80800101",  # Type A with blocks
    )
)
PN532_FRAMES: Final = (
    ACK,
    NACK,
    bytes.fromhex("0000FF06FAD50332010607E800"),  # firmware version
    bytes.fromhex("0000FF05FBD543000300E500"),  # an answer over the air
    START + EXTENDED + bytes.fromhex("0104FBD543") + bytes(0x102) + bytes.fromhex("E800"),
    bytes.fromhex("0000FF01FF7F8100"),  # error frame
)
IN_STEP_FRAMES: Final = 24
"""Of 30 bytes: two of the longest frames, of which garbage may have promised one."""
CARD_AP: Final = CardAp(aid="A00000000101", short_ef=5, length=12)
LAST_TRIES: Final = (b"\x63\xc0", b"\x63\xc1")


class SpokenTo:
    """A card that is already activated; its answers are those of a good one, a share changed."""

    technology: Technology = "106B"
    speaks_apdu = True
    about = ""

    def __init__(self, answers: Mapping[bytes, bytes], rng: random.Random, share: float) -> None:
        self.sensed_id = mutated(rng.choice(SENSED_IDS), rng, SENSED_IDS)
        self.times_us: dict[str, int] = {}
        self.asked: list[tuple[bytes, bytes]] = []
        self._answers = answers
        self._all = tuple(answers.values())
        self._rng = rng
        self._share = share

    def transceive(self, apdu: bytes, within_s: float) -> bytes:
        answer = self._answers.get(apdu, b"\x6a\x82")
        if self._rng.random() < self._share:
            answer = mutated(answer, self._rng, self._all)
        self.asked.append((apdu, answer))
        if len(answer) < 2:
            raise CardGone
        return answer


class Decoders:
    """All of them, over one set of members in a folder; closed in the end."""

    def __init__(self, folder: Path) -> None:
        self._members = Members(folder)
        self._rng = random.Random()
        self._schemes = register(CARD_AP)
        self._answers = self._recorded()
        self._master, slave = os.openpty()
        self._line = SerialLine(os.ttyname(slave))
        os.close(slave)
        self._cases: Final[dict[Callable[[Tally], None], int]] = {
            self.atqb: 20,
            self.certificate: 30,
            self.record: 15,
            self.atr: 15,
            self.schemes: 40,
            self.frames: 5,
            self.proof: 10,
            **Conversations(self._members, self._rng).cases,
        }
        """By their weight: what costs less is tried more often."""

    def close(self) -> None:
        self._line.close()
        os.close(self._master)

    def run(self, times: int, seed: int, tally: Tally) -> Iterator[Tally]:
        """Try so many mutations; yield after each."""
        cases, weights = list(self._cases), list(self._cases.values())
        for n, case in enumerate(random.Random(seed).choices(cases, weights, k=times)):
            self._rng.seed(seed << 32 | n)
            try:
                case(tally)
            except Exception as error:  # noqa: BLE001  # whatever leaves a decoder is the finding
                tally.blame(f"{case.__name__}, seed {seed}, case {n}: {error!r}")
            tally.times += 1
            yield tally

    def _recorded(self) -> dict[bytes, bytes]:
        """What a good card answers, by command, to each of the schemes and at a desk."""
        card = self._members.my_number_cards[0]
        air = ShortAir(card, self._rng, garbled=0)
        found = air.sense(("106B",))
        assert found
        assert prove(found, CHALLENGE, bytearray(PIN), air.clock).proof
        for name in (Scheme.JPKI_AUTH, Scheme.COMMON_AP):
            self._schemes[name].read(Reading(found, self._schemes[name].commands, lambda: 1.0))
        commands = self._schemes[Scheme.CARD_AP].commands
        return dict(card.apdus) | dict.fromkeys(commands, b"kazasu-00017\x90\x00")

    # --- parsers ---------------------------------------------------------------------------------

    def atqb(self, tally: Tally) -> None:
        atqb = Atqb.parse(mutated(ATQB + self._rng.choice((b"", b"\x10")), self._rng))
        if atqb is None:
            tally.none += 1
            return
        tally.right += 1
        assert len(atqb.pupi) == 4
        assert 16 <= atqb.frame_bytes <= 256
        assert 0 < atqb.fwt_s < FWT_S_MAX

    def certificate(self, tally: Tally) -> None:
        head, other = (card.certificate[:HEAD_BYTES] for card in self._members.my_number_cards[:2])
        with _counted(tally):
            found = serial_and_not_before(mutated(head, self._rng, (other, head[4:])))
            assert 1 + min(TIME_BYTES.values()) <= len(found)
            assert len(found) <= SERIAL_BYTES_MAX + max(TIME_BYTES.values())

    def record(self, tally: Tally) -> None:
        record = self._members.my_number_cards[0].data.common_record()
        with _counted(tally):
            found = serial(mutated(record, self._rng, ATRS))
            assert len(found) == SERIAL_DIGITS
            assert found.isdigit()

    def atr(self, tally: Tally) -> None:
        atr = mutated(self._rng.choice(ATRS), self._rng, ATRS)
        sensed_id = self._rng.choice((b"", *SENSED_IDS, mutated(SENSED_IDS[1], self._rng)))
        technology, speaks_apdu = technology_of(atr, sensed_id)
        assert technology in ("106B", "212F", "106A") or not speaks_apdu
        tally.right += technology is not None
        tally.none += technology is None

    def frames(self, tally: Tally) -> None:
        """Garbage, and then good frames in pieces: at the end of them the finder is in step."""
        rng, line = self._rng, self._line
        good = [
            START + bytes((23, 256 - 23, 0xD5, n + 1)) + b"k" * 23 for n in range(IN_STEP_FRAMES)
        ]
        garbage = (mutated(rng.choice(PN532_FRAMES), rng, PN532_FRAMES) for _ in range(3))
        stream = b"".join((*garbage, *good))
        line._buffer.clear()
        found = b""
        while stream:
            size = rng.randint(1, 200)
            line._buffer += stream[:size]
            stream = stream[size:]
            while (frame := line._frame()) is not None:
                assert frame.startswith(START)
                assert len(frame) <= FRAME_BYTES_MAX
                found = bytes(frame)
            assert len(line._buffer) <= FRAME_BYTES_MAX
        assert found == good[-1]
        tally.right += 1

    # --- a card that says anything ---------------------------------------------------------------

    def schemes(self, tally: Tally) -> None:
        scheme = self._rng.choice(tuple(self._schemes.values()))
        card = SpokenTo(self._answers, self._rng, share=0.5)
        try:
            with _counted(tally):
                found = scheme.read(Reading(card, scheme.commands, lambda: 1.0))
                assert 1 <= len(found) <= IDENTIFIER_BYTES_MAX
        except CardGone:
            tally.none += 1

    def proof(self, tally: Tally) -> None:
        """No second VERIFY, none with fewer than two tries, and no PIN is left in its buffer."""
        rng = self._rng
        card = SpokenTo(self._answers, rng, share=rng.choice((0.0, 0.02, 0.1, 0.5)))
        if rng.random() < 0.2:
            count_proof(look(card, SystemClock()), tally)
            return
        typed = bytearray(rng.choice((PIN, PIN, mutated(PIN, rng))))
        try:
            count_proof(prove(card, CHALLENGE, typed, SystemClock()), tally)
        except PinMalformed:
            tally.none += 1
        assert not any(typed)
        verified = [n for n, (command, _) in enumerate(card.asked) if command.startswith(VERIFY)]
        told = [answer[-2:] for command, answer in card.asked if command == ASK_TRIES]
        assert len(verified) <= 1
        assert not verified or told[-1] not in LAST_TRIES


@contextlib.contextmanager
def _counted(tally: Tally) -> Iterator[None]:
    """Count what a decoder says: an identifier, or that there is none."""
    try:
        yield
    except NoIdentifier:
        tally.none += 1
    else:
        tally.right += 1
