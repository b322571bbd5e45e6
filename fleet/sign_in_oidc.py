"""Signing in by the city's OpenID Connect provider: authorization code with PKCE, state and nonce.

Rules: only who an administrator bound to an account comes in (`fleet.people.bind`); the provider is
believed by its issuer's own discovery document and keys, over TLS (plain http on this machine
alone); the ID token is verified, and nothing else of the provider is asked for or kept.
Sources: OpenID Connect Core 1.0, 3.1.3.7; Discovery 1.0, 4.3; RFC 7636; RFC 9207; RP-Initiated
Logout 1.0.
"""

import hashlib
import hmac
import secrets
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

import aiohttp
import msgspec
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from fleet.config import OpenIdConnect
from wire.clock import Clock

TIMEOUT_S: Final = 10.0
"""For one answer of the provider: somebody is looking at a blank page meanwhile."""
ANSWER_BYTES_MAX: Final = 256 * 1024
"""Discovery documents and key sets have some kB."""
METADATA_MS: Final = 60 * 60_000
"""How long the provider's document and keys are believed; an unknown key is asked for at once."""
PENDING_MS: Final = 10 * 60_000
"""To type a password and find a phone at the provider."""
LEEWAY_S: Final = 60
"""How far two clocks that are set by NTP may be apart, generously."""
SUBJECT_MAX: Final = 255
"""Core 1.0, 2: `sub` has at most 255 ASCII characters."""
ALGORITHMS: Final = ("RS256", "PS256", "ES256", "ES384", "Ed25519")
"""Signatures that only the provider can make; HS256 would be one of the client secret's holders."""
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


class OidcRefused(Exception):
    """Nobody is signed in; the reason is a word of `locale/` (web.oidc.refused.…)."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason} {detail}".strip())
        self.reason = reason
        self.detail = detail


class Pending(msgspec.Struct, frozen=True):
    """What the browser keeps, sealed, until it comes back from the provider."""

    state: str
    nonce: str
    verifier: str
    next: str
    at_ms: int


class _Known(NamedTuple):
    metadata: dict[str, Any]
    keys: KeySet
    at_ms: int


class Provider:
    """One provider, as one client of it."""

    def __init__(self, settings: OpenIdConnect, secret: str, clock: Clock) -> None:
        self._settings = settings
        self._secret = secret
        self._clock = clock
        self._known: _Known | None = None

    @property
    def issuer(self) -> str:
        """Who signs."""
        return self._settings.issuer

    @property
    def label(self) -> str:
        """What the button says."""
        return self._settings.label

    async def begin(self, back: str, after: str) -> tuple[str, Pending]:
        """Return where to send the browser, and what it keeps meanwhile. Raises OidcRefused.

        `back`: our address to which the provider sends it; `after`: the page that was wanted.
        """
        known = await self._look_up()
        pending = Pending(_random(), _random(), _random(), after, self._now_ms())
        query = {
            "response_type": "code",
            "scope": "openid",
            "client_id": self._settings.client_id,
            "redirect_uri": back,
            "state": pending.state,
            "nonce": pending.nonce,
            "code_challenge": challenge_of(pending.verifier),
            "code_challenge_method": "S256",
        }
        endpoint = _endpoint(known.metadata, "authorization_endpoint", self.issuer)
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(query)}", pending

    async def finish(self, back: str, pending: Pending, answer: Mapping[str, str]) -> str:
        """Return the subject that the provider vouches for. Raises OidcRefused."""
        if self._now_ms() - pending.at_ms > PENDING_MS:
            raise OidcRefused("late")
        if not hmac.compare_digest(answer.get("state", "").encode(), pending.state.encode()):
            raise OidcRefused("late", "state")
        if answer.get("iss", self.issuer) != self.issuer:
            raise OidcRefused("answer", "iss")
        if "error" in answer or not answer.get("code"):
            raise OidcRefused("denied", answer.get("error", "")[:100])
        known = await self._look_up()
        token = await self._redeem(known.metadata, answer["code"], back, pending.verifier)
        claims = await self._verified(token, known)
        now_s = self._now_ms() // 1000
        return subject_of(claims, self.issuer, self._settings.client_id, pending.nonce, now_s)

    async def end_address(self, after: str) -> str:
        """Return where the browser ends the provider's session too, and comes back; else `after`.

        The provider may be down by now, or may not offer it.
        """
        try:
            metadata = (await self._look_up()).metadata
            endpoint = _endpoint(metadata, "end_session_endpoint", self.issuer)
        except OidcRefused:
            return after
        query = {"client_id": self._settings.client_id, "post_logout_redirect_uri": after}
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(query)}"

    def _now_ms(self) -> int:
        return self._clock.now_ms()

    async def _look_up(self, *, again: bool = False) -> _Known:
        """Return the provider's document and keys, those of the last hour unless `again`."""
        known, now_ms = self._known, self._now_ms()
        if known is not None and not again and abs(now_ms - known.at_ms) <= METADATA_MS:
            return known
        metadata = await _ask("GET", f"{self.issuer.rstrip('/')}/.well-known/openid-configuration")
        if metadata.get("issuer") != self.issuer:
            raise OidcRefused("answer", "issuer")
        keys = await _ask("GET", _endpoint(metadata, "jwks_uri", self.issuer))
        try:
            found = _Known(metadata, KeySet.import_key_set(_signing(keys)), now_ms)
        except (JoseError, ValueError, KeyError, TypeError) as error:
            raise OidcRefused("answer", "jwks") from error
        self._known = found
        return found

    async def _redeem(self, metadata: dict[str, Any], code: str, back: str, verifier: str) -> str:
        """Exchange the code for the ID token."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": back,
            "code_verifier": verifier,
        }
        client, secret = self._settings.client_id, self._secret
        methods = metadata.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        headers = {}
        if "client_secret_basic" in methods:  # RFC 6749, 2.3.1: form-encoded first
            both = f"{quote(client, safe='')}:{quote(secret, safe='')}"
            headers["Authorization"] = f"Basic {b64encode(both.encode()).decode()}"
        else:
            form |= {"client_id": client, "client_secret": secret}
        endpoint = _endpoint(metadata, "token_endpoint", self.issuer)
        answer = await _ask("POST", endpoint, form, headers)
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise OidcRefused("answer", str(answer.get("error", "id_token"))[:100])
        return token

    async def _verified(self, token: str, known: _Known) -> dict[str, Any]:
        """Return the claims of a token that the provider signed; keys may have changed since."""
        for keys in (known.keys, (await self._look_up(again=True)).keys):
            try:
                return jwt.decode(token, keys, algorithms=list(ALGORITHMS)).claims
            except (JoseError, ValueError) as error:
                refused = OidcRefused("answer", f"signature {error}"[:100])
        raise refused


def _random() -> str:
    """256 bits, as text: RFC 7636 wants 43 to 128 characters of a verifier."""
    return secrets.token_urlsafe(32)


def challenge_of(verifier: str) -> str:
    """Return the S256 challenge of a verifier (RFC 7636, 4.2)."""
    digest = hashlib.sha256(verifier.encode()).digest()
    return urlsafe_b64encode(digest).rstrip(b"=").decode()


def subject_of(
    claims: Mapping[str, Any], issuer: str, client_id: str, nonce: str, now_s: int
) -> str:
    """Return whom verified claims are about (Core 1.0, 3.1.3.7). Raises OidcRefused."""
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    party = claims.get("azp", client_id if len(audiences) == 1 else None)
    if claims.get("iss") != issuer or client_id not in audiences or party != client_id:
        raise OidcRefused("answer", "audience")
    if not hmac.compare_digest(str(claims.get("nonce", "")).encode(), nonce.encode()):
        raise OidcRefused("answer", "nonce")
    issued, expires = claims.get("iat"), claims.get("exp")
    if not isinstance(issued, int | float) or not isinstance(expires, int | float):
        raise OidcRefused("answer", "iat")
    if issued > now_s + LEEWAY_S or expires <= now_s - LEEWAY_S:
        raise OidcRefused("clock")
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 1 <= len(subject) <= SUBJECT_MAX:
        raise OidcRefused("answer", "sub")
    return subject


def is_safe(url: str, issuer: str) -> bool:
    """True for https, or for plain http where the issuer and this address are on this machine."""
    parts, home = urlsplit(url), urlsplit(issuer)
    if parts.scheme == "https":
        return bool(parts.hostname)
    return parts.scheme == "http" and {parts.hostname, home.hostname} <= _LOOPBACK


def _endpoint(metadata: Mapping[str, Any], name: str, issuer: str) -> str:
    url = metadata.get(name)
    if not isinstance(url, str) or not is_safe(url, issuer):
        raise OidcRefused("answer", name)
    return url


def _signing(keys: dict[str, Any]) -> Any:
    """Return a key set without what only encrypts: a set may hold kinds that we do not know."""
    listed = [one for one in keys["keys"] if one.get("use", "sig") == "sig"]
    return {"keys": listed}


async def _ask(
    method: str,
    url: str,
    form: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return the JSON object that the provider answers. Raises OidcRefused."""
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, headers=headers) as client,
            client.request(method, url, data=form, allow_redirects=False) as answer,
        ):
            body = await answer.content.read(ANSWER_BYTES_MAX + 1)
            while body and len(body) <= ANSWER_BYTES_MAX and not answer.content.at_eof():
                body += await answer.content.read(ANSWER_BYTES_MAX + 1 - len(body))
            status = answer.status
    except (TimeoutError, aiohttp.ClientError, OSError) as error:
        raise OidcRefused("down", type(error).__name__) from error
    if status >= 500 or len(body) > ANSWER_BYTES_MAX:
        raise OidcRefused("down", str(status))
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise OidcRefused("answer", str(status)) from error
