"""nfcpy 1.0.4 as a front end: PN532 by `tty:`, RC-S380 by `usb:`, the simulator by `udp:`.

Upheld, each against a trap that was measured: `sense()` is called here and never `connect()` (half
a second between its polls; it turns every OSError into False) · every exchange is cut at the
caller's deadline (a card with FWI 10 that leaves holds nfcpy's own retries for 1.25 s, and one
that asks for more time again and again holds it for ever) · Type A and FeliCa cards are not
activated at all: what identifies them came with the sense call · nfcpy does not check the length
of what a card sends, so its IndexErrors are the card's fault.
"""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import nfc
import nfc.clf
import nfc.clf.pn53x
import nfc.clf.rcs380
import nfc.tag
import nfc.tag.tt4  # or the first card would wait for the import

from edge.frontends import CardGone, FrontEndFault, Technology

ANSWER_S_MAX: Final = 0.1
"""For one frame: four times a slow card's 25 ms per APDU. It is asked twice, so a card may think
0.2 s; one that asks for more time (S(WTX)) may think as long as the caller waits."""
RETRIES: Final = 1
"""One lost frame is asked for again; nfcpy's own count would be 3 with FWI 10."""
POLLING_WITH_SYSTEM_CODE: Final = "00{system}0100"
"""Polling of one system, asking for its code, one time slot (FeliCa user's manual, 4.4.2)."""
WTX: Final = 0xF2
"""S-block that grants a card more time, without its CID bit (ISO/IEC 14443-4, 7.1.1.1)."""
ISO_14443_4: Final = 0x01
"""ATQB protocol info, byte 2, bit 1 (ISO/IEC 14443-3, 7.9.4)."""

logging.getLogger("nfc").setLevel(logging.CRITICAL)  # it writes down what cards say

_FAULTS: Final = (
    OSError,
    nfc.clf.UnsupportedTargetError,
    nfc.clf.pn53x.Chipset.Error,
    nfc.clf.rcs380.CommunicationError,
    nfc.clf.rcs380.StatusError,
)
_GONE: Final = (nfc.clf.CommunicationError, nfc.tag.TagCommandError)
_GARBLED: Final = (IndexError, ValueError, TypeError)


class _DeadlineView:
    """The front end as nfcpy's tag classes use it, with every exchange cut at a deadline."""

    def __init__(self, clf: Any, waited: Callable[[int], None]) -> None:
        self._clf = clf
        self._waited = waited
        self.deadline_ns = 0
        self.max_send_data_size = clf.max_send_data_size
        self.max_recv_data_size = clf.max_recv_data_size

    def exchange(self, data: bytes, timeout: float) -> Any:
        """Send one frame and return the answer. Raises what nfcpy raises."""
        started_ns = time.monotonic_ns()
        left_s = (self.deadline_ns - started_ns) / 1e9
        if left_s <= 0:
            raise nfc.clf.BrokenLinkError("the card's time is over")
        try:
            patience_s = left_s if data[0] & 0xFE == WTX else min(left_s, ANSWER_S_MAX)
            return self._clf.exchange(data, min(timeout, patience_s))
        finally:
            self._waited(time.monotonic_ns() - started_ns)


class NfcpyCard:
    """See edge.frontends.Card; a Type B card is activated at its first APDU."""

    def __init__(
        self, technology: Technology, target: Any, view: _DeadlineView, detect_ns: int
    ) -> None:
        self.technology = technology
        self.detect_ns = detect_ns
        self.sensed_id, self.speaks_apdu = _from_target(technology, target)
        self._target = target
        self._view = view
        self._tag: Any = None

    def transceive(self, apdu: bytes, within_s: float) -> bytes:
        """See edge.frontends.Card."""
        self._view.deadline_ns = time.monotonic_ns() + round(within_s * 1e9)
        try:
            tag = self._tag or self._activate()
            answer = bytes(tag.transceive(apdu))
        except _GONE as error:
            raise CardGone(f"the card left: {error}") from error
        except _FAULTS as error:
            raise FrontEndFault(f"the front end failed: {error}") from error
        except _GARBLED as error:
            raise CardGone("the card's answer has no sense") from error
        if len(answer) < 2:
            raise CardGone("the card's answer is too short for a status word")
        return answer

    def _activate(self) -> Any:
        tag = nfc.tag.activate(self._view, self._target)
        if tag is None:
            raise nfc.clf.BrokenLinkError("it was not selected")
        tag._dep.n_retry_nak = tag._dep.n_retry_ack = RETRIES
        self._tag = tag
        return tag


def _from_target(technology: Technology, target: Any) -> tuple[bytes, bool]:
    """Return what a card was found by, and whether it speaks APDUs; empty when it has no id."""
    if technology == "106B":
        return bytes(target.sensb_res[1:5]), bool(target.sensb_res[10] & ISO_14443_4)
    if technology == "212F":
        return bytes(target.sensf_res[1:9]), False
    return bytes(target.sdd_res or b""), False


class Nfcpy:
    """See edge.frontends.FrontEnd. `felica_system` is four hex digits."""

    def __init__(self, path: str, felica_system: str) -> None:
        """Open a device by nfcpy's path, such as `usb:054c:06c3`. Raises FrontEndFault."""
        try:
            self._clf = nfc.ContactlessFrontend(path)
        except (*_FAULTS, ValueError) as error:
            raise FrontEndFault(f"{path} cannot be opened: {error}") from error
        self.waited_ns = 0
        self._felica = bytes.fromhex(POLLING_WITH_SYSTEM_CODE.format(system=felica_system))
        self._view = _DeadlineView(self._clf, self._wait)

    def sense(self, technologies: Sequence[Technology]) -> NfcpyCard | None:
        """See edge.frontends.FrontEnd."""
        for technology in technologies:
            started_ns = time.monotonic_ns()
            target = self._sense_one(technology)
            took_ns = time.monotonic_ns() - started_ns
            self._wait(took_ns)
            if target is not None and self._is_ours(technology, target):
                return NfcpyCard(technology, target, self._view, took_ns)
        return None

    def _sense_one(self, technology: Technology) -> Any:
        options = {"sensf_req": self._felica} if technology == "212F" else {}
        try:
            return self._clf.sense(nfc.clf.RemoteTarget(technology, **options))
        except nfc.clf.CommunicationError:
            return None
        except _FAULTS as error:
            raise FrontEndFault(f"cannot look for {technology} cards: {error}") from error
        except _GARBLED:
            return None  # two cards at once, or noise

    def _is_ours(self, technology: Technology, target: Any) -> bool:
        """False for an answer to another poll: a FeliCa system that was not asked for."""
        if technology != "212F":
            return True
        found, wanted = bytes(target.sensf_res[17:19]), self._felica[1:3]
        return len(target.sensf_res) >= 17 and (found in (b"", wanted) or wanted == b"\xff\xff")

    def _wait(self, ns: int) -> None:
        self.waited_ns += ns

    def close(self) -> None:
        """See edge.frontends.FrontEnd."""
        try:
            self._clf.close()
        except _FAULTS:
            self._clf.device = None  # a device that was pulled out cannot be told goodbye
