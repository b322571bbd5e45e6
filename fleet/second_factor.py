"""Second factors: an app's six digits (RFC 6238) or a security key (WebAuthn), beside the password.

Rules: a factor counts after it was shown once; a time step is used once, ours or the one before or
after; an authenticator's counter only grows; an app's secret rests sealed, a key's public part is
no secret; who lost a factor asks an administrator, who takes all of them away.
"""

import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyotp
import sqlalchemy as sa
import webauthn
from webauthn.helpers import base64url_to_bytes
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from fleet import audit
from fleet.schema import second_factor
from fleet.sealing import Sealer, Unsealable
from fleet.store import AnyRow, new_id

TOTP: Final = "totp"
WEBAUTHN: Final = "webauthn"
FACTORS_MAX: Final = 10
"""Of one account: a phone, a key, and one of each in the drawer."""
STEP_S: Final = 30
"""RFC 6238, 5.2: what every app takes without asking."""
STEPS_AROUND: Final = 1
"""RFC 6238, 5.2: one step for the way and a clock that is a little off."""
DIGITS: Final = 6
FRESH_MS: Final = 15 * 60_000
"""How long a factor that was shown is good for approving: a few tables or claims in one sitting."""
ISSUER: Final = "Kazasu"


class FactorRefused(ValueError):
    """Not this factor; the reason is a word of `locale/` (web.second.refused.…)."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Site:
    """Where browsers are, for WebAuthn: the key answers to this name and no other."""

    rp_id: str
    origin: str


def listed(connection: sa.Connection, name: str) -> Sequence[AnyRow]:
    """Return an account's confirmed factors: id, kind, label, added_at_ms."""
    columns = (
        second_factor.c.id,
        second_factor.c.kind,
        second_factor.c.label,
        second_factor.c.added_at_ms,
    )
    rows = sa.select(*columns).where(*_confirmed(name)).order_by(second_factor.c.id)
    return connection.execute(rows).all()


def remove(connection: sa.Connection, name: str, factor: int, at_ms: int) -> None:
    """Take one factor of an account away. Raises FactorRefused when it has none such."""
    mine = (second_factor.c.account == name, second_factor.c.id == factor)
    if connection.execute(second_factor.delete().where(*mine)).rowcount == 0:
        raise FactorRefused("gone")
    audit.note(connection, at_ms, name, "second.removed", name, str(factor))


def reset(connection: sa.Connection, name: str, who: str, at_ms: int) -> int:
    """Take all factors of an account away; return how many there were."""
    gone = connection.execute(second_factor.delete().where(second_factor.c.account == name))
    audit.note(connection, at_ms, who, "second.reset", name, str(gone.rowcount))
    return gone.rowcount


def _confirmed(name: str) -> tuple[sa.ColumnElement[bool], ...]:
    return (second_factor.c.account == name, second_factor.c.confirmed_at_ms.is_not(None))


def _require_room(connection: sa.Connection, name: str) -> None:
    if len(listed(connection, name)) >= FACTORS_MAX:
        raise FactorRefused("many")


# --- six digits of an app ------------------------------------------------------------------------


def begin_totp(connection: sa.Connection, sealer: Sealer, name: str, at_ms: int) -> str:
    """Return a new secret (Base32) that waits for its first code; one that waited is forgotten.

    Raises FactorRefused when there is no room.
    """
    _require_room(connection, name)
    waiting = (second_factor.c.account == name, second_factor.c.confirmed_at_ms.is_(None))
    connection.execute(second_factor.delete().where(*waiting))
    secret = pyotp.random_base32()
    connection.execute(
        second_factor.insert().values(
            account=name,
            kind=TOTP,
            label="",
            secret=sealer.seal(secret.encode(), _purpose(name)),
            added_at_ms=at_ms,
        )
    )
    return secret


def waiting_totp(connection: sa.Connection, sealer: Sealer, name: str) -> str | None:
    """Return the secret that waits for its first code."""
    row = _waiting(connection, name)
    return None if row is None else _secret(sealer, name, row.secret)


def confirm_totp(
    connection: sa.Connection, sealer: Sealer, name: str, label: str, code: str, at_ms: int
) -> None:
    """Let the waiting secret count, as its app showed the right code. Raises FactorRefused."""
    row = _waiting(connection, name)
    if row is None:
        raise FactorRefused("gone")
    step = _step_of(_secret(sealer, name, row.secret), code, at_ms, row.counter)
    if step is None:
        raise FactorRefused("code")
    here = second_factor.update().where(second_factor.c.id == row.id)
    connection.execute(here.values(confirmed_at_ms=at_ms, counter=step, label=label))
    audit.note(connection, at_ms, name, "second.added", name, TOTP)


def check_totp(connection: sa.Connection, sealer: Sealer, name: str, code: str, at_ms: int) -> None:
    """Take a code, once. Raises FactorRefused."""
    wanted = sa.select(second_factor).where(*_confirmed(name), second_factor.c.kind == TOTP)
    for row in connection.execute(wanted):
        step = _step_of(_secret(sealer, name, row.secret), code, at_ms, row.counter)
        if step is not None:
            here = second_factor.update().where(second_factor.c.id == row.id)
            connection.execute(here.values(counter=step))
            return
    raise FactorRefused("code")


def uri_of(secret: str, name: str, tenant: str) -> str:
    """Return what the app reads from the picture (Key URI format of Google Authenticator)."""
    return pyotp.TOTP(secret).provisioning_uri(name=name, issuer_name=f"{ISSUER} {tenant}")


def _waiting(connection: sa.Connection, name: str) -> AnyRow | None:
    waiting = (second_factor.c.account == name, second_factor.c.confirmed_at_ms.is_(None))
    return connection.execute(sa.select(second_factor).where(*waiting)).one_or_none()


def _step_of(secret: str, code: str, at_ms: int, after: int) -> int | None:
    """Return the time step that a code is of, when it is near and later than the last one used."""
    plain = "".join(code.split())
    now = at_ms // 1000 // STEP_S
    generator = pyotp.TOTP(secret, digits=DIGITS, interval=STEP_S)
    for step in range(now - STEPS_AROUND, now + STEPS_AROUND + 1):
        right = hmac.compare_digest(generator.generate_otp(step).encode(), plain.encode())
        if right and step > after:
            return step
    return None


def _secret(sealer: Sealer, name: str, sealed: bytes) -> str:
    try:
        return sealer.open(sealed, _purpose(name)).decode()
    except Unsealable as error:
        raise FactorRefused("unsealable") from error


def _purpose(name: str) -> str:
    return f"totp {name}"


# --- a security key ------------------------------------------------------------------------------


def creation_options(
    connection: sa.Connection, site: Site, name: str, tenant: str
) -> tuple[bytes, str]:
    """Return a challenge, and what the browser is to ask a new key for (JSON).

    Raises FactorRefused when there is no room.
    """
    _require_room(connection, name)
    options = webauthn.generate_registration_options(
        rp_id=site.rp_id,
        rp_name=f"{ISSUER} {tenant}",
        user_name=name,
        exclude_credentials=_keys(connection, name),
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.DISCOURAGED,
            user_verification=UserVerificationRequirement.PREFERRED,
        ),
    )
    return options.challenge, webauthn.options_to_json(options)


def add_key(
    connection: sa.Connection,
    site: Site,
    name: str,
    label: str,
    challenge: bytes,
    answer: str,
    at_ms: int,
) -> int:
    """Keep a new key whose answer to the challenge is right. Raises FactorRefused."""
    _require_room(connection, name)
    try:
        found = webauthn.verify_registration_response(
            credential=answer,
            expected_challenge=challenge,
            expected_rp_id=site.rp_id,
            expected_origin=site.origin,
        )
    except (WebAuthnException, ValueError) as error:
        raise FactorRefused("key") from error
    known = sa.select(second_factor.c.id).where(
        second_factor.c.credential_id == found.credential_id
    )
    if connection.execute(known).first() is not None:
        raise FactorRefused("key-known")
    added = connection.execute(
        second_factor.insert().values(
            account=name,
            kind=WEBAUTHN,
            label=label,
            credential_id=found.credential_id,
            secret=found.credential_public_key,
            counter=found.sign_count,
            added_at_ms=at_ms,
            confirmed_at_ms=at_ms,
        )
    )
    audit.note(connection, at_ms, name, "second.added", name, WEBAUTHN)
    return new_id(added)


def request_options(connection: sa.Connection, site: Site, name: str) -> tuple[bytes, str] | None:
    """Return a challenge and what the browser is to ask a key for (JSON); None without a key."""
    keys = _keys(connection, name)
    if not keys:
        return None
    options = webauthn.generate_authentication_options(
        rp_id=site.rp_id,
        allow_credentials=keys,
        user_verification=UserVerificationRequirement.PREFERRED,
    )
    return options.challenge, webauthn.options_to_json(options)


def check_key(
    connection: sa.Connection, site: Site, name: str, challenge: bytes, answer: str
) -> None:
    """Take a key's answer to a challenge. Raises FactorRefused.

    A counter that did not grow is refused too (WebAuthn Level 2, 7.2 step 21): perhaps a copy.
    """
    row = _key_of(connection, name, answer)
    try:
        found = webauthn.verify_authentication_response(
            credential=answer,
            expected_challenge=challenge,
            expected_rp_id=site.rp_id,
            expected_origin=site.origin,
            credential_public_key=row.secret,
            credential_current_sign_count=row.counter,
        )
    except (WebAuthnException, ValueError) as error:
        raise FactorRefused("key") from error
    here = second_factor.update().where(second_factor.c.id == row.id)
    connection.execute(here.values(counter=found.new_sign_count))


def _key_of(connection: sa.Connection, name: str, answer: str) -> AnyRow:
    """Return the account's key that an answer names. Raises FactorRefused."""
    try:
        said: Any = json.loads(answer)
        credential_id = base64url_to_bytes(said["id"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise FactorRefused("key") from error
    wanted = sa.select(second_factor).where(
        *_confirmed(name),
        second_factor.c.kind == WEBAUTHN,
        second_factor.c.credential_id == credential_id,
    )
    row = connection.execute(wanted).one_or_none()
    if row is None:
        raise FactorRefused("key")
    return row


def _keys(connection: sa.Connection, name: str) -> list[PublicKeyCredentialDescriptor]:
    wanted = sa.select(second_factor.c.credential_id).where(
        *_confirmed(name), second_factor.c.kind == WEBAUTHN
    )
    return [PublicKeyCredentialDescriptor(id=one) for one in connection.scalars(wanted)]
