"""How cards yield an identifier without a PIN: one module per scheme, listed in REGISTER.

A scheme reads through `allowlist.Reading` alone, which sends only the scheme's own commands, all
of them on the one list. It returns the identifier as a bytearray, which the caller wipes as soon
as it has become credentials.
"""

from typing import Final

from edge.config import CardAp
from edge.schemes import card_ap as own
from edge.schemes import common_ap, felica_idm, jpki_auth, staff_token
from edge.schemes.allowlist import CardScheme
from wire.credential import Scheme

REGISTER: Final[dict[Scheme, CardScheme]] = {
    scheme.name: scheme
    for scheme in (common_ap.SCHEME, jpki_auth.SCHEME, felica_idm.SCHEME, staff_token.SCHEME)
}
"""Those that need no configuration."""


def register(card_ap: CardAp | None) -> dict[Scheme, CardScheme]:
    """Return the schemes that a reader can read, with its tenant's own card application.

    Raises ValueError for an application that may not be selected.
    """
    return REGISTER if card_ap is None else {**REGISTER, Scheme.CARD_AP: own.scheme(card_ap)}
