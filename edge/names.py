"""What people are called at this gate, where the place shows names: in the memory of the card half.

Upheld: without the sealed file nobody has a name, and what was known is forgotten · a name is found
by the credential of a card that was just held, and in no other way · it is said to the page alone
(`edge.gate`), stands in no entry, no log and no message.

In the state folder: `names.sealed`, brought by `link`.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec

from edge.config import Config
from edge.roster import HoldingRefused
from wire.limits import NAMES_BYTES_MAX
from wire.seal import GateNames, SealBroken, open_names

NAMES: Final = "names.sealed"


class Names:
    """The names of one gate; none until `take`."""

    def __init__(self, config: Config, key: ec.EllipticCurvePrivateKey) -> None:
        self._path = Path(config.state) / NAMES
        self._reader, self._key = config.reader, key
        self._known: GateNames | None = None
        self.sha256: bytes | None = None
        """Of the sealed file in use; None without one."""

    def take(self) -> None:
        """Use the file that lies in the state folder; without one forget all.

        Raises HoldingRefused for what cannot be opened, which is as none.
        """
        self._known, self.sha256 = None, None
        try:
            with self._path.open("rb") as file:
                sealed = file.read(NAMES_BYTES_MAX + 1)
            self._known = open_names(sealed, self._reader, self._key)
        except FileNotFoundError:
            return
        except (OSError, SealBroken) as error:
            raise HoldingRefused(f"names: {error}") from error
        self.sha256 = hashlib.sha256(sealed).digest()

    def of(self, programme: str, credentials: Iterable[str | None]) -> str:
        """Return what the holder of a card under one of these credentials is called, or empty."""
        known = self._known
        if known is None or known.programme != programme:
            return ""
        return next((known.names[one] for one in credentials if one and one in known.names), "")
