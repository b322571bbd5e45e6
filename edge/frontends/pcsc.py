"""PC/SC readers, such as the RC-S300 and other CCID readers, by pcscd and pyscard.

The reader itself looks for cards and activates them; pcscd tells of the first one that it found.

Upheld: pcscd's calls have no time limit, so they are made on a thread of their own and nobody waits
for them longer than he wants (`calls.py`) · a card is ours alone while we ask it, and loses its
power afterwards · a card left lying is told by pcscd's count of comings and goings, and not
activated again · what the front end sends on its own is the id's GET DATA, which the reader
answers; all else comes from the schemes.

Limits of these readers: of a wallet with two cards the reader chooses, whatever the order of
`sense` · FeliCa cards are found by the system code FFFF, so the IDm is that of a card's first
system. For transit cards that is 0003; where another system is configured, none is found at all,
lest a member have one IDm here and another one elsewhere.
"""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from edge.frontends import CardGone, FrontEndFault, Technology
from edge.frontends.atr import technology_of
from edge.frontends.calls import Calls, Late
from edge.frontends.isodep import FoundCard

try:
    from smartcard import scard
except ImportError as error:
    raise FrontEndFault("install pyscard for PC/SC readers: pip install .[edge,pcsc]") from error

LOOK_MS: Final = 20
"""How long a poll waits for something to change: as long as a poll over the air would take, and
nothing is asked of the machine meanwhile. A card that comes ends it at once."""
CALL_S_MAX: Final = 2.0
"""For what takes pcscd a millisecond, on a machine that is busy."""
MEET_S_MAX: Final = 0.4
"""To power a card up (5 to 100 ms) and ask the reader for its id."""
LATE_S_MAX: Final = 5.0
"""A call whose caller has left. A reader waits for a silent card as long as the card's FWT allows,
309 ms for a My Number Card and at most 4.95 s; then something else is wrong."""
FIRST_SYSTEM: Final = ("0003", "FFFF")
"""The systems whose IDm a reader finds by FFFF: of transit cards, and whichever is first."""

GET_ID: Final = bytes.fromhex("FFCA000000")
"""GET DATA of the card's id, for the reader (PC/SC part 3, 3.2.2.1.3): UID, PUPI or IDm."""
DONE: Final = b"\x90\x00"

GOOD_NAMES: Final = ("PICC", "CONTACTLESS", "RC-S300", "RC-S660", "FELICA", "NFC")
BAD_NAMES: Final = ("SAM",)
"""What a reader's name says of it (libccid's Info.plist): of one with several slots we want the one
for held cards, and never the one for a security module."""

_GONE: Final = frozenset(
    (
        scard.SCARD_W_REMOVED_CARD,
        scard.SCARD_W_RESET_CARD,
        scard.SCARD_W_UNPOWERED_CARD,
        scard.SCARD_W_UNRESPONSIVE_CARD,
        scard.SCARD_W_UNSUPPORTED_CARD,
        scard.SCARD_E_NO_SMARTCARD,
        scard.SCARD_E_NOT_TRANSACTED,
        scard.SCARD_E_PROTO_MISMATCH,
        scard.SCARD_E_CARD_UNSUPPORTED,
    )
)
"""What is the card's doing; all else is the reader's or pcscd's."""
_ADVICE: Final = {
    scard.SCARD_E_NO_READERS_AVAILABLE: "plug the reader in",
    scard.SCARD_E_UNKNOWN_READER: "plug the reader in",
    scard.SCARD_E_READER_UNAVAILABLE: "plug the reader in",
    scard.SCARD_E_SHARING_VIOLATION: "stop the other program that uses the reader",
    scard.SCARD_W_SECURITY_VIOLATION: "allow the agent's user the action "
    "org.debian.pcsc-lite.access_pcsc in polkit",
}
_SERVICE: Final = "see whether pcscd runs: systemctl status pcscd"

LEAVE_CARD: Final = scard.SCARD_UNPOWER_CARD
"""How a card is left: without power, so that nobody finds what we selected."""

_log = logging.getLogger("kazasu.pcsc")


class _Connection(NamedTuple):
    """pcscd's handle for the card, and the protocol that it speaks."""

    card: int
    protocol: int


class _Known(NamedTuple):
    """What was found out of the card that lies on the reader."""

    presence: int
    """pcscd's count of comings and goings at this reader."""
    technology: Technology | None
    """None: no card of ours."""
    sensed_id: bytes
    speaks_apdu: bool
    atr: bytes
    activate_us: int


class PcscCard:
    """See edge.frontends.Card; powered up when it is asked."""

    speaks_apdu = True

    def __init__(
        self, technology: Technology, known: _Known, front_end: "Pcsc", detect_us: int
    ) -> None:
        self.technology = technology
        self.sensed_id = known.sensed_id
        self.about = known.atr.hex().upper()
        self.times_us = {"detect": detect_us, "activate": known.activate_us}
        self._front_end = front_end

    def transceive(self, apdu: bytes, within_s: float) -> bytes:
        """See edge.frontends.Card."""
        return self._front_end.transmit(apdu, within_s)


class Pcsc:
    """See edge.frontends.FrontEnd."""

    def __init__(self, path: str, felica_system: str) -> None:
        """Open a reader. Raises FrontEndFault.

        `path`: `pcsc` for the best of all readers, `pcsc:PART` for the first with this in its name.
        """
        self._wanted = path.partition(":")[2]
        self._felica = felica_system in FIRST_SYSTEM
        if not self._felica:
            _log.warning("a PC/SC reader finds no FeliCa cards by the system %s", felica_system)
        self.waited_ns = 0
        self._open()

    def _open(self) -> None:
        self._calls = Calls()
        self._context: int | None = None
        self._connection: _Connection | None = None
        self._state = scard.SCARD_STATE_UNAWARE
        self._known: _Known | None = None
        try:
            (self._context,) = self._ask(scard.SCardEstablishContext, scard.SCARD_SCOPE_SYSTEM)
            (names,) = self._ask(scard.SCardListReaders, self._context, [])
            self._reader = chosen(names, self._wanted)
        except FrontEndFault:
            self.close()
            raise

    def restart(self) -> None:
        """See edge.frontends.FrontEnd."""
        self.close()
        self._open()

    def close(self) -> None:
        """See edge.frontends.FrontEnd."""
        if self._connection:
            self._calls.last(scard.SCardDisconnect, self._connection.card, LEAVE_CARD)
        if self._context is not None:
            self._calls.last(scard.SCardReleaseContext, self._context)
        self._calls.close()
        self._connection = self._context = None

    def sense(self, technologies: Sequence[Technology]) -> PcscCard | FoundCard | None:
        """See edge.frontends.FrontEnd."""
        started_ns = time.monotonic_ns()
        if self._is_held_up():
            return None
        self._release()
        atr = self._look()
        detect_us = (time.monotonic_ns() - started_ns) // 1000
        if not self._state & scard.SCARD_STATE_PRESENT:
            self._known = None
            return None
        presence = self._state >> 16
        if self._known is None or self._known.presence != presence:
            self._known = self._meet(presence, atr)
        return self._card(technologies, detect_us)

    def _card(
        self, technologies: Sequence[Technology], detect_us: int
    ) -> PcscCard | FoundCard | None:
        """Return what lies there, if it is looked for."""
        known = self._known
        if known is None or known.technology is None or known.technology not in technologies:
            return None
        if known.speaks_apdu:
            return PcscCard(known.technology, known, self, detect_us)
        if known.technology == "212F" and not self._felica:
            return None
        return FoundCard(known.technology, known.sensed_id, detect_us, known.atr)

    def _is_held_up(self) -> bool:
        """True while pcscd still waits for a card whose time is over. Raises FrontEndFault."""
        started_ns = time.monotonic_ns()
        late_s = self._calls.late_s(LOOK_MS / 1000)
        self.waited_ns += time.monotonic_ns() - started_ns
        if late_s > LATE_S_MAX:
            raise FrontEndFault("the reader does not answer: unplug it and plug it in again")
        return late_s > 0

    def _release(self) -> None:
        """Let the card go, if we hold one. What is wrong with it, the next look will tell."""
        if self._connection:
            card, self._connection = self._connection.card, None
            self._on_time(scard.SCardDisconnect, card, LEAVE_CARD)

    def _look(self) -> bytes:
        """Learn what lies on the reader, at the latest after LOOK_MS; return its ATR."""
        known = [(self._reader, self._state)]
        (states,) = self._ask(scard.SCardGetStatusChange, self._context, LOOK_MS, known)
        _, state, atr = states[0]
        if state & (scard.SCARD_STATE_UNKNOWN | scard.SCARD_STATE_UNAVAILABLE):
            raise FrontEndFault(f"{self._reader} is gone: plug the reader in")
        self._state = state & ~scard.SCARD_STATE_CHANGED
        return bytes(atr)

    def _meet(self, presence: int, atr: bytes) -> _Known | None:
        """Find out what lies there; None when it leaves."""
        started_ns = time.monotonic_ns()
        try:
            answer = self.transmit(GET_ID, MEET_S_MAX)
        except CardGone:
            return None
        sensed_id = answer[:-2] if answer[-2:] == DONE else b""
        technology, speaks_apdu = technology_of(atr, sensed_id)
        if speaks_apdu and not sensed_id:
            # A contact card: its reader has no ids. The count tells it from the next one.
            sensed_id = presence.to_bytes(2, "big") + atr
        activate_us = (time.monotonic_ns() - started_ns) // 1000
        return _Known(presence, technology, sensed_id, speaks_apdu, atr, activate_us)

    def transmit(self, apdu: bytes, within_s: float) -> bytes:
        """Return the answer to an APDU; the card is powered up before when it has to be.

        Raises CardGone or FrontEndFault.
        """
        deadline_s = time.monotonic() + within_s
        try:
            connection = self._powered_up(within_s)
            left_s = deadline_s - time.monotonic()
            code, answer = self._call(left_s, scard.SCardTransmit, *connection, list(apdu))
        except Late as error:
            raise CardGone("the card's time is over") from error
        _check(code)
        if len(answer) < 2:
            raise CardGone("the card's answer is too short for a status word")
        return bytes(answer)

    def _powered_up(self, within_s: float) -> _Connection:
        """Power the card up and take it for us alone, if it is not. Raises Late or CardGone."""
        if self._connection is None:
            _check(self._call(within_s, self._connect))
        if self._connection is None:
            raise CardGone("the card was not powered up")
        return self._connection

    def _connect(self) -> int:
        """Made by `Calls`. When its caller has left, the next `sense` gives back what it took."""
        share, protocols = scard.SCARD_SHARE_EXCLUSIVE, scard.SCARD_PROTOCOL_ANY
        code, card, protocol = scard.SCardConnect(self._context, self._reader, share, protocols)
        if code == scard.SCARD_S_SUCCESS:
            self._connection = _Connection(card, protocol)
        return int(code)

    def _ask(self, function: Callable[..., Any], *arguments: Any) -> list[Any]:
        """Return what a call gives beside its code, which must be good. Raises FrontEndFault."""
        answer: list[Any] = self._on_time(function, *arguments)
        _check(answer[0])
        return answer[1:]

    def _on_time(self, function: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return self._call(CALL_S_MAX, function, *arguments)
        except Late as error:
            raise FrontEndFault("pcscd does not answer: systemctl restart pcscd") from error

    def _call(self, within_s: float, function: Callable[..., Any], *arguments: Any) -> Any:
        started_ns = time.monotonic_ns()
        try:
            return self._calls.call(within_s, function, *arguments)
        except (ValueError, TypeError, SystemError, scard.error) as error:  # what SWIG may raise
            raise FrontEndFault(f"pyscard cannot call {function.__name__}: {error}") from error
        finally:
            self.waited_ns += time.monotonic_ns() - started_ns


def _check(code: int) -> None:
    """Raise CardGone or FrontEndFault unless a call went well; a look may end without news."""
    if code in (scard.SCARD_S_SUCCESS, scard.SCARD_E_TIMEOUT):
        return
    message = scard.SCardGetErrorMessage(code)
    if code in _GONE:
        raise CardGone(message)
    raise FrontEndFault(f"{message} ({code:08X}): {_ADVICE.get(code, _SERVICE)}")


def chosen(names: Sequence[str], wanted: str) -> str:
    """Return the reader to use. Raises FrontEndFault when none has that in its name."""

    def rank(name: str) -> tuple[bool, bool]:
        return any(bad in name for bad in BAD_NAMES), not any(good in name for good in GOOD_NAMES)

    fitting = [name for name in names if wanted.upper() in name.upper()]
    if not fitting:
        raise FrontEndFault(f"no reader has {wanted!r} in its name; there are {', '.join(names)}")
    return min(fitting, key=lambda name: rank(name.upper()))
