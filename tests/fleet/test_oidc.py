"""A provider that lies, or is somebody else's, signs nobody in."""

import json
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

from fleet.config import Config, ConfigRefused, OpenIdConnect, check_sign_in, read_config
from fleet.sign_in_oidc import OidcRefused, Pending, Provider, challenge_of, is_safe
from tests.web.town import NOW_MS, StoppedClock, config_in

SECRET = "the client's secret"
BACK = "http://127.0.0.1/oidc/back"
KEY = RSAKey.generate_key(2048, {"kid": "one", "use": "sig"}, private=True)
OTHER = RSAKey.generate_key(2048, {"kid": "one", "use": "sig"}, private=True)
Claims = dict[str, Any]


class Crooked:
    """What a provider says at each of its addresses; a test changes it."""

    def __init__(self) -> None:
        self.issuer = ""
        self.metadata: Claims = {}
        self.keys: list[Any] = [KEY.as_dict(private=False)]
        self.claims: Claims = {}
        self.header: Claims = {"alg": "RS256", "kid": "one"}
        self.key: Any = KEY
        self.asked: list[dict[str, str]] = []
        self.raw: bytes | None = None

    def at(self, port: int, nonce: str) -> None:
        self.issuer = f"http://127.0.0.1:{port}"
        names = {"authorization_endpoint": "go", "token_endpoint": "token", "jwks_uri": "keys"}
        self.metadata = {"issuer": self.issuer}
        self.metadata |= {name: f"{self.issuer}/{path}" for name, path in names.items()}
        now_s = NOW_MS // 1000
        self.claims = {
            "iss": self.issuer,
            "aud": "office",
            "sub": "42",
            "nonce": nonce,
            "iat": now_s,
            "exp": now_s + 300,
        }

    def token(self) -> str:
        if self.header["alg"] == "none":
            parts = (json.dumps(one).encode() for one in (self.header, self.claims))
            return ".".join([*(urlsafe_b64encode(one).rstrip(b"=").decode() for one in parts), ""])
        return jwt.encode(self.header, self.claims, self.key, algorithms=["RS256", "HS256"])

    async def answer(self, request: web.Request) -> web.Response:
        if self.raw is not None:
            return web.Response(body=self.raw)
        if request.path == "/token":
            self.asked.append({**{k: str(v) for k, v in (await request.post()).items()}})
            self.asked[-1]["authorization"] = request.headers.get("Authorization", "")
            return web.json_response({"id_token": self.token()})
        if request.path == "/keys":
            return web.json_response({"keys": self.keys})
        return web.json_response(self.metadata)


PENDING = Pending("state", "nonce", "verifier" * 6, "/", NOW_MS)


@asynccontextmanager
async def crooked() -> AsyncIterator[tuple[Crooked, Provider, StoppedClock]]:
    liar, clock = Crooked(), StoppedClock()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", liar.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    liar.at(runner.addresses[0][1], PENDING.nonce)
    provider = Provider(OpenIdConnect(liar.issuer, "office", "", "City"), SECRET, clock)
    try:
        yield liar, provider, clock
    finally:
        await runner.cleanup()


async def finish(provider: Provider, **answer: str) -> str:
    return await provider.finish(BACK, PENDING, {"state": "state", "code": "x", **answer})


async def test_an_honest_answer_signs_its_subject_in_and_the_code_is_proved_ours() -> None:
    async with crooked() as (liar, provider, _):
        address, pending = await provider.begin(BACK, "/moving")
        assert f"code_challenge={challenge_of(pending.verifier)}" in address
        assert "code_challenge_method=S256" in address
        assert await finish(provider) == "42"
        (asked,) = liar.asked
        assert asked["code_verifier"] == PENDING.verifier
        assert asked["authorization"].startswith("Basic ")
        assert SECRET not in address


CLAIMS: dict[str, tuple[Claims, str]] = {
    "another-issuer": ({"iss": "https://evil.example"}, "answer"),
    "another-audience": ({"aud": "another"}, "answer"),
    "several-audiences-and-no-party": ({"aud": ["office", "another"]}, "answer"),
    "another-party": ({"azp": "another"}, "answer"),
    "another-nonce": ({"nonce": "of before"}, "answer"),
    "no-nonce": ({"nonce": None}, "answer"),
    "no-subject": ({"sub": ""}, "answer"),
    "a-subject-that-is-none": ({"sub": 42}, "answer"),
    "a-subject-that-is-too-long": ({"sub": "4" * 256}, "answer"),
    "no-time": ({"iat": None}, "answer"),
    "run-out": ({"iat": NOW_MS // 1000 - 400, "exp": NOW_MS // 1000 - 61}, "clock"),
    "of-tomorrow": ({"iat": NOW_MS // 1000 + 61}, "clock"),
}


@pytest.mark.parametrize("name", CLAIMS)
async def test_a_token_is_refused_that_is_not_for_us_now(name: str) -> None:
    changed, reason = CLAIMS[name]
    async with crooked() as (liar, provider, _):
        liar.claims |= changed
        with pytest.raises(OidcRefused) as refused:
            await finish(provider)
        assert refused.value.reason == reason


def _other_key(liar: Crooked) -> None:
    liar.key = OTHER


def _no_signature(liar: Crooked) -> None:
    liar.header = {"alg": "none"}


def _by_the_secret(liar: Crooked) -> None:
    liar.header, liar.key = {"alg": "HS256"}, OctKey.import_key(SECRET)


def _another_issuers_document(liar: Crooked) -> None:
    liar.metadata["issuer"] = "https://evil.example"


def _keys_over_plain_http_elsewhere(liar: Crooked) -> None:
    liar.metadata["jwks_uri"] = "http://192.0.2.1/keys"


def _no_json(liar: Crooked) -> None:
    liar.raw = b"<html>"


def _no_keys(liar: Crooked) -> None:
    liar.keys = [{"kty": "RSA"}]


def _without_end(liar: Crooked) -> None:
    liar.raw = b" " * 300_000


@pytest.mark.parametrize(
    "lie",
    [
        _other_key,
        _no_signature,
        _by_the_secret,
        _another_issuers_document,
        _keys_over_plain_http_elsewhere,
        _no_json,
        _no_keys,
        _without_end,
    ],
)
async def test_what_is_not_signed_by_the_provider_signs_nobody_in(
    lie: Callable[[Crooked], None],
) -> None:
    async with crooked() as (liar, provider, _):
        lie(liar)
        with pytest.raises(OidcRefused) as refused:
            await finish(provider)
        assert refused.value.reason in ("answer", "down")


async def test_keys_that_were_changed_meanwhile_are_asked_for_again() -> None:
    async with crooked() as (liar, provider, _):
        await finish(provider)
        new = RSAKey.generate_key(2048, {"kid": "two", "use": "sig"}, private=True)
        liar.keys, liar.key = [new.as_dict(private=False)], new
        liar.header = {"alg": "RS256", "kid": "two"}
        assert await finish(provider) == "42"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"state": "another"}, "late"),
        ({"state": ""}, "late"),
        ({"iss": "https://evil.example"}, "answer"),
        ({"error": "access_denied"}, "denied"),
        ({"code": ""}, "denied"),
    ],
)
async def test_a_return_that_does_not_belong_to_its_beginning_is_refused(
    answer: dict[str, str], reason: str
) -> None:
    async with crooked() as (liar, provider, _):
        with pytest.raises(OidcRefused) as refused:
            await finish(provider, **answer)
        assert refused.value.reason == reason
        assert liar.asked == []


async def test_a_return_after_ten_minutes_is_too_late() -> None:
    async with crooked() as (_, provider, clock):
        clock.at_ms += 10 * 60_000 + 1
        with pytest.raises(OidcRefused, match="late"):
            await finish(provider)


def test_plain_http_is_believed_on_this_machine_alone() -> None:
    assert is_safe("https://login.example/x", "https://login.example")
    assert is_safe("http://127.0.0.1:1/x", "http://localhost:1")
    assert not is_safe("http://login.example/x", "http://login.example")
    assert not is_safe("http://127.0.0.1/x", "https://login.example")
    assert not is_safe("file:///etc/passwd", "http://localhost")


def test_a_provider_in_the_configuration_is_read_and_bounded(tmp_path: Path) -> None:
    def config(origin: str, issuer: str) -> Config:
        oidc = OpenIdConnect(issuer, "office", "secret", "City")
        return msgspec.structs.replace(config_in(tmp_path), office_origin=origin, oidc=oidc)

    check_sign_in(config("https://office.example", "https://login.example/realms/city"))
    check_sign_in(config("http://localhost:8080", "http://127.0.0.1:9/o"))
    for origin, issuer in (
        ("", "https://login.example"),
        ("office.example", "https://login.example"),
        ("http://office.example", "https://login.example"),
        ("https://office.example/path", "https://login.example"),
        ("https://office.example", "http://login.example"),
        ("https://office.example", "https://login.example/?x=1"),
    ):
        with pytest.raises(ValueError, match=r"office_origin|issuer"):
            check_sign_in(config(origin, issuer))
    with pytest.raises(ConfigRefused):
        read_config(tmp_path / "nothing.toml")
