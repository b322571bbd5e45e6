"""What nfcpy 1.0.4 drives by itself: RC-S380 by `usb:` (see rcs380.py), the simulator by `udp:`.

Upheld, each against a trap that was measured: `sense()` is called here and never `connect()` (half
a second between its polls; it turns every OSError into False) · blocks are `isodep.py`'s, with its
deadlines · Type A and FeliCa cards are not activated at all: what identifies them came with the
sense call · nfcpy does not check the length of what a card sends, so its IndexErrors are the
card's fault.

nfcpy's `sense` tells nobody whether nothing answered or several cards did: here nothing is Crowded.
"""

import time
from collections.abc import Sequence
from typing import Any, Final

import nfc
import nfc.clf
import nfc.clf.pn53x
import nfc.clf.rcs380
import nfc.clf.transport

from edge.frontends import FrontEndFault, Technology
from edge.frontends.isodep import Atqb, FoundCard, Garbled, Silence, TypeBCard
from edge.frontends.rcs380 import open_rcs380

POLLING_WITH_SYSTEM_CODE: Final = "00{system}0100"
"""Polling of one system, asking for its code, one time slot (FeliCa user's manual, 4.4.2)."""

_FAULTS: Final = (
    OSError,
    nfc.clf.transport.libusb.USBError,
    nfc.clf.UnsupportedTargetError,
    nfc.clf.pn53x.Chipset.Error,
    nfc.clf.rcs380.CommunicationError,
    nfc.clf.rcs380.StatusError,
)
_GARBLED: Final = (nfc.clf.CommunicationError, IndexError, ValueError, TypeError)


class Nfcpy:
    """See edge.frontends.FrontEnd. `felica_system` is four hex digits."""

    def __init__(self, path: str, felica_system: str) -> None:
        """Open a device by nfcpy's path, such as `usb:054c:06c3`. Raises FrontEndFault."""
        self.waited_ns = 0
        self._path = path
        self._felica = bytes.fromhex(POLLING_WITH_SYSTEM_CODE.format(system=felica_system))
        self._former: TypeBCard | None = None
        self._open()

    def _open(self) -> None:
        try:
            opened = open_rcs380 if self._path.startswith("usb") else nfc.ContactlessFrontend
            self._clf = opened(self._path)
        except (*_FAULTS, *_GARBLED) as error:
            raise FrontEndFault(f"{self._path} cannot be opened: {error}") from error

    def restart(self) -> None:
        """See edge.frontends.FrontEnd."""
        self.close()
        self._open()

    def sense(self, technologies: Sequence[Technology]) -> TypeBCard | FoundCard | None:
        """See edge.frontends.FrontEnd."""
        for technology in technologies:
            started_ns = time.monotonic_ns()
            target = self._sense_one(technology)
            took_ns = time.monotonic_ns() - started_ns
            self.waited_ns += took_ns
            if card := self._card(technology, target, took_ns // 1000):
                return card
        return None

    def _sense_one(self, technology: Technology) -> Any:
        options = {"sensf_req": self._felica} if technology == "212F" else {}
        try:
            return self._clf.sense(nfc.clf.RemoteTarget(technology, **options))
        except _FAULTS as error:
            raise FrontEndFault(f"cannot look for {technology} cards: {error}") from error
        except _GARBLED:
            return None  # two cards at once, or noise

    def _card(
        self, technology: Technology, target: Any, detect_us: int
    ) -> TypeBCard | FoundCard | None:
        """Return the card that a target is; None for an answer to another poll, or to none."""
        if technology == "106B":
            atqb = Atqb.parse(bytes(target.sensb_res)) if target else None
            self._former = atqb and TypeBCard(atqb, self, detect_us, self._former)
            return self._former
        if target is None:
            return None
        if technology == "212F":
            answer, wanted = bytes(target.sensf_res), self._felica[1:3]
            ours = answer[17:19] in (b"", wanted) or wanted == b"\xff\xff"
            return FoundCard(technology, answer[1:9], detect_us, answer[9:17]) if ours else None
        about = bytes((target.sens_res or b"") + (target.sel_res or b""))
        return FoundCard(technology, bytes(target.sdd_res or b""), detect_us, about)

    def exchange(self, frame: bytes, within_s: float) -> bytes:
        """See edge.frontends.isodep.Air."""
        started_ns = time.monotonic_ns()
        try:
            return bytes(self._clf.exchange(frame, within_s))
        except (nfc.clf.TimeoutError, nfc.clf.BrokenLinkError) as error:
            raise Silence(str(error)) from error
        except _FAULTS as error:
            raise FrontEndFault(f"the front end failed: {error}") from error
        except _GARBLED as error:
            raise Garbled(str(error)) from error
        finally:
            self.waited_ns += time.monotonic_ns() - started_ns

    def close(self) -> None:
        """See edge.frontends.FrontEnd."""
        try:
            self._clf.close()
        except _FAULTS:
            self._clf.device = None  # a device that was pulled out cannot be told goodbye
