"""Valid, revoked and unknown are never mixed up: a real responder, real lists, and what fails."""

import asyncio
import contextlib
import secrets
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp as rfc6960

from fleet import ocsp
from fleet.card_trust import Authorities
from fleet.config import CardCertificates
from fleet.revocation import CRL_BYTES_MAX, OCSP_S_MAX, Revocation
from fleet.standing import Standing, Status, Unsure
from tests.fleet.card_kit import Holder
from tests.real_influx import Moody, closed_port
from tests.real_ocsp import (
    NEXT_UPDATE_MINUTES,
    Signer,
    appointed,
    authority,
    revocation_list,
    start_responder,
)

NOW = datetime.now(UTC)
"""For what is days away; a real responder is asked by the present time."""
OURS = authority()
CARD = Holder(1)
REVOKED = Holder(2)
OTHER = Holder(3)
VALID, GONE = [CARD.serial], [REVOKED.serial]
Need = Literal["ocsp", "crl", "either", "both"]


def asking(
    *, responder: str = "", lists: Sequence[str | Path] = (), need: Need | None = None
) -> Revocation:
    settings = CardCertificates(
        approved="by the test itself",
        authorities="",
        need=need or ("crl" if lists else "ocsp"),
        ocsp=responder,
        crl=[str(one) for one in lists],
    )
    return Revocation(settings, Authorities([OURS.certificate, authority(1).certificate]))


async def standing(
    asked: Revocation, holder: Holder = CARD, now: datetime | None = None
) -> Standing:
    issuer = authority(holder.generation).certificate
    return await asked.standing(holder.certificate, issuer, now or datetime.now(UTC))


@pytest.fixture(scope="module")
def responder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("ocsp")
    with start_responder(folder / "responder", OURS, valid=VALID, revoked=GONE) as url:
        yield url


# --- the responder -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("holder", "status", "why"),
    [
        (CARD, Status.VALID, "good"),
        (REVOKED, Status.REVOKED, "revoked since 2026-04-01"),
        (OTHER, Status.UNKNOWN, "does not know"),
        (Holder(1, generation=1), Status.UNKNOWN, "nobody"),  # same serial, another authority
    ],
)
async def test_a_responder_says_which_of_three_it_is(
    responder: str, holder: Holder, status: Status, why: str
) -> None:
    said = await standing(asking(responder=responder), holder)
    assert said.status is status
    assert why in said.why


async def test_the_responder_that_a_certificate_names_is_asked_unless_one_is_configured() -> None:
    assert ocsp.responder_of(CARD.certificate) == "http://ocsp.jpki.example"
    said = await standing(asking())
    assert said.status is Status.UNKNOWN
    assert "http://ocsp.jpki.example cannot be reached" in said.why


async def test_a_responder_that_was_stopped_says_nothing(tmp_path: Path) -> None:
    with start_responder(tmp_path / "ocsp", OURS, valid=VALID) as url:
        asked = asking(responder=url)
        assert (await standing(asked)).status is Status.VALID
    assert (await standing(asked)).status is Status.UNKNOWN


@pytest.mark.parametrize(
    ("later", "status"),
    [
        (timedelta(minutes=NEXT_UPDATE_MINUTES - 1), Status.VALID),
        (timedelta(minutes=NEXT_UPDATE_MINUTES + 1), Status.UNKNOWN),
        (timedelta(minutes=-6), Status.UNKNOWN),  # of tomorrow: our clock or theirs is wrong
        (timedelta(minutes=-4), Status.VALID),
    ],
)
async def test_an_answer_is_good_until_its_next_update(
    responder: str, later: timedelta, status: Status
) -> None:
    said = await standing(asking(responder=responder), now=datetime.now(UTC) + later)
    assert said.status is status


@pytest.mark.parametrize(("later_min", "status"), [(9, Status.VALID), (11, Status.UNKNOWN)])
async def test_an_answer_without_a_next_update_is_good_for_ten_minutes(
    tmp_path: Path, later_min: int, status: Status
) -> None:
    with start_responder(tmp_path / "ocsp", OURS, valid=VALID, options=()) as url:
        now = datetime.now(UTC) + timedelta(minutes=later_min)
        assert (await standing(asking(responder=url), now=now)).status is status


STRANGER = replace(appointed(OURS), certificate=OURS.certificate)


@pytest.mark.parametrize(
    ("signer", "status"),
    [
        (appointed(OURS), Status.VALID),
        (appointed(OURS, for_ocsp=False), Status.UNKNOWN),
        (appointed(authority(1)), Status.UNKNOWN),  # by another generation of the same name
        (authority(1), Status.UNKNOWN),
        (authority(2, "digital signature"), Status.UNKNOWN),
    ],
)
async def test_only_the_authority_and_whom_it_appointed_are_believed(
    tmp_path: Path, signer: Signer, status: Status
) -> None:
    with start_responder(tmp_path / "ocsp", OURS, valid=VALID, signer=signer) as url:
        said = await standing(asking(responder=url))
    assert said.status is status
    assert status is Status.VALID or "nobody whom the authority appointed" in said.why


@pytest.mark.parametrize("holder", [CARD, REVOKED])
async def test_a_signature_that_was_changed_counts_for_nothing(
    tmp_path: Path, holder: Holder
) -> None:
    options = ("-nmin", "5", "-badsig")
    with start_responder(
        tmp_path / "ocsp", OURS, valid=VALID, revoked=GONE, options=options
    ) as url:
        assert (await standing(asking(responder=url), holder)).status is Status.UNKNOWN


def post(url: str, question: bytes) -> bytes:
    request = urllib.request.Request(url, question, {"Content-Type": "application/ocsp-request"})
    with urllib.request.urlopen(request, timeout=5) as answer:
        return bytes(answer.read())


def test_an_answer_to_another_question_is_not_played_again(responder: str) -> None:
    first = ocsp.Question.about(CARD.certificate, OURS.certificate)
    again = ocsp.Question.about(CARD.certificate, OURS.certificate)
    answer = post(responder, first.der)
    assert ocsp.judge(answer, first, datetime.now(UTC)).status is Status.VALID
    with pytest.raises(Unsure, match="another question"):
        ocsp.judge(answer, again, datetime.now(UTC))
    about_other = first._replace(certificate=OTHER.certificate)
    with pytest.raises(Unsure, match="another certificate"):
        ocsp.judge(answer, about_other, datetime.now(UTC))


def test_an_answer_that_repeats_no_random_number_is_not_believed(responder: str) -> None:
    builder = rfc6960.OCSPRequestBuilder()
    plain = builder.add_certificate(CARD.certificate, OURS.certificate, hashes.SHA1()).build()
    answer = post(responder, plain.public_bytes(Encoding.DER))
    with pytest.raises(Unsure, match="does not repeat"):
        ocsp.judge(
            answer, ocsp.Question.about(CARD.certificate, OURS.certificate), datetime.now(UTC)
        )


@pytest.mark.parametrize("status", list(rfc6960.OCSPResponseStatus)[1:])
def test_a_refusal_is_no_answer(status: rfc6960.OCSPResponseStatus) -> None:
    refusal = rfc6960.OCSPResponseBuilder.build_unsuccessful(status).public_bytes(Encoding.DER)
    with pytest.raises(Unsure, match="refused"):
        ocsp.judge(
            refusal, ocsp.Question.about(CARD.certificate, OURS.certificate), datetime.now(UTC)
        )


async def test_nonsense_pages_and_silence_are_no_answers_and_take_a_bounded_time() -> None:
    began_s = time.monotonic()
    moody = Moody()
    with moody.serving() as url:
        for mood in ("page", "garbage", "hangs", "503", "302"):
            moody.mood = mood
            said = await standing(asking(responder=url))
            assert said.status is Status.UNKNOWN, mood
        assert moody.asked == 5  # nobody is asked twice
    assert "cannot be reached" in (await standing(asking(responder=closed_port()))).why
    assert time.monotonic() - began_s < OCSP_S_MAX + 5  # that one which hangs is let go


@pytest.mark.filterwarnings("ignore")  # cryptography speaks of what it reads
def test_any_change_of_an_answer_makes_it_worth_nothing(responder: str) -> None:
    question = ocsp.Question.about(REVOKED.certificate, OURS.certificate)
    answer = post(responder, question.der)
    assert ocsp.judge(answer, question, datetime.now(UTC)).status is Status.REVOKED
    for at in range(0, len(answer), 3):
        changed = bytearray(answer)
        changed[at] ^= 1 << secrets.randbelow(8)
        with contextlib.suppress(Unsure):
            # What is outside the signature (an algorithm's empty parameters) says nothing else.
            assert ocsp.judge(bytes(changed), question, datetime.now(UTC)).status is Status.REVOKED


# --- lists ---------------------------------------------------------------------------------------


def point(*names: str, **more: Any) -> x509.Extension[x509.ExtensionType]:
    """Return what a list says it is about: the certificates of a distribution point."""
    full = None
    if names:
        (own,) = CARD.certificate.extensions.get_extension_for_class(
            x509.CRLDistributionPoints
        ).value
        assert own.full_name
        attributes = list(own.full_name[0].value)
        attributes[-1] = x509.NameAttribute(attributes[-1].oid, names[0])
        full = [x509.DirectoryName(x509.Name(attributes))]
    what: dict[str, Any] = {
        "full_name": full,
        "relative_name": None,
        "only_contains_user_certs": False,
        "only_contains_ca_certs": False,
        "only_some_reasons": None,
        "indirect_crl": False,
        "only_contains_attribute_certs": False,
    }
    value = x509.IssuingDistributionPoint(**what | more)
    return x509.Extension(value.oid, True, value)


DELTA = x509.Extension(x509.DeltaCRLIndicator.oid, True, x509.DeltaCRLIndicator(1))
DAY = timedelta(days=1)


def made(tmp_path: Path, data: bytes, name: str = "list.crl") -> Path:
    path = tmp_path / name
    path.write_bytes(data)
    return path


KNOWS = (Status.VALID, Status.REVOKED)
SAYS_NOTHING = (Status.UNKNOWN, Status.UNKNOWN)
LISTS = {
    "one revoked": (revocation_list(OURS, GONE), KNOWS),
    "none revoked": (revocation_list(OURS), (Status.VALID, Status.VALID)),
    "stale": (revocation_list(OURS, GONE, until=NOW - DAY / 2), SAYS_NOTHING),
    "of tomorrow": (revocation_list(OURS, GONE, made=NOW + DAY / 2), SAYS_NOTHING),
    "of another generation": (revocation_list(authority(1), GONE), SAYS_NOTHING),
    "signed by another": (revocation_list(STRANGER, GONE), SAYS_NOTHING),
    "its own point": (revocation_list(OURS, GONE, extensions=[point("Simulated CRLDP")]), KNOWS),
    "another point": (revocation_list(OURS, GONE, extensions=[point("Elsewhere")]), SAYS_NOTHING),
    "of authorities": (
        revocation_list(OURS, GONE, extensions=[point(only_contains_ca_certs=True)]),
        SAYS_NOTHING,
    ),
    "changes alone": (revocation_list(OURS, GONE, extensions=[DELTA]), SAYS_NOTHING),
    "a page": (b"<html>Sign in</html>", SAYS_NOTHING),
    "empty": (b"", SAYS_NOTHING),
}


@pytest.mark.parametrize("kind", LISTS)
async def test_a_list_counts_when_it_is_signed_fresh_and_about_this_certificate(
    tmp_path: Path, kind: str
) -> None:
    data, expected = LISTS[kind]
    asked = asking(lists=[made(tmp_path, data)])
    said = [(await standing(asked, holder)).status for holder in (CARD, REVOKED)]
    assert tuple(said) == expected


async def test_each_generation_has_its_list(tmp_path: Path) -> None:
    older = Holder(2, generation=1)
    lists = [
        made(tmp_path, revocation_list(authority(n), serials), f"{n}.crl")
        for n, serials in ((1, []), (2, GONE))
    ]
    asked = asking(lists=lists)
    assert (await standing(asked, REVOKED)).status is Status.REVOKED
    assert (await standing(asked, older)).status is Status.VALID  # same serial, another list
    assert (await standing(asking(lists=lists[1:]), older)).status is Status.UNKNOWN


async def test_a_list_as_pem_is_read_too_and_a_missing_file_says_nothing(tmp_path: Path) -> None:
    pem = x509.load_der_x509_crl(revocation_list(OURS, GONE)).public_bytes(Encoding.PEM)
    assert (await standing(asking(lists=[made(tmp_path, pem)]))).status is Status.VALID
    missing = await standing(asking(lists=[tmp_path / "none.crl"]))
    assert missing == (Status.UNKNOWN, f"{tmp_path / 'none.crl'}: No such file or directory")


async def test_a_list_that_is_too_long_is_not_read(tmp_path: Path) -> None:
    path = made(tmp_path, revocation_list(OURS))
    with path.open("ab") as file:
        file.truncate(CRL_BYTES_MAX + 1)
    assert "more than" in (await standing(asking(lists=[path]))).why


async def test_a_file_that_was_replaced_is_read_again(tmp_path: Path) -> None:
    asked = asking(lists=[made(tmp_path, revocation_list(OURS))])
    assert (await standing(asked, REVOKED)).status is Status.VALID
    made(tmp_path, revocation_list(OURS, GONE))
    assert (await standing(asked, REVOKED)).status is Status.REVOKED


class Published:
    """An address with a list, which a test replaces; counts who came."""

    def __init__(self) -> None:
        self.data = b""
        self.status = 200
        self.asked = 0

    async def answer(self, _: web.Request) -> web.Response:
        self.asked += 1
        return web.Response(body=self.data, status=self.status)

    def served(self) -> TestServer:
        app = web.Application()
        app.router.add_get("/list.crl", self.answer)
        return TestServer(app)


async def test_a_list_is_fetched_once_until_its_next_update() -> None:
    published = Published()
    async with published.served() as server:
        asked = asking(lists=[str(server.make_url("/list.crl"))])
        published.data = revocation_list(OURS, until=NOW + DAY)
        for _ in range(3):
            assert (await standing(asked, REVOKED)).status is Status.VALID
        assert published.asked == 1
        published.data = revocation_list(OURS, GONE, made=NOW + DAY, until=NOW + 3 * DAY)
        assert (await standing(asked, REVOKED)).status is Status.VALID
        assert (await standing(asked, REVOKED, NOW + 2 * DAY)).status is Status.REVOKED
        assert published.asked == 2
        published.status = 503
        assert (await standing(asked, REVOKED, NOW + 2 * DAY)).status is Status.REVOKED
        assert (await standing(asked, REVOKED, NOW + 4 * DAY)).status is Status.UNKNOWN
        assert published.asked == 3


async def test_a_list_that_nobody_trusted_signed_is_never_kept() -> None:
    published = Published()
    async with published.served() as server:
        asked = asking(lists=[str(server.make_url("/list.crl"))])
        published.data = revocation_list(STRANGER, until=NOW + 365 * DAY)
        assert (await standing(asked)).status is Status.UNKNOWN
        published.data = revocation_list(OURS, GONE)
        assert (await standing(asked, REVOKED)).status is Status.REVOKED


async def test_many_who_come_at_once_fetch_a_list_once() -> None:
    published = Published()
    async with published.served() as server:
        asked = asking(lists=[str(server.make_url("/list.crl"))])
        published.data = revocation_list(OURS, GONE)
        said = await asyncio.gather(*[standing(asked, one) for one in (CARD, REVOKED) * 5])
    assert [one.status for one in said] == [Status.VALID, Status.REVOKED] * 5
    assert published.asked == 1


# --- both ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("need", "on_the_list", "known_to_responder", "stopped"),
    [
        ("either", KNOWS, KNOWS, KNOWS),
        ("both", (Status.REVOKED, Status.REVOKED), KNOWS, (Status.UNKNOWN, Status.REVOKED)),
    ],
)
async def test_what_is_needed_decides_when_one_of_two_is_away(
    tmp_path: Path,
    responder: str,
    need: Need,
    on_the_list: tuple[Status, Status],
    known_to_responder: tuple[Status, Status],
    stopped: tuple[Status, Status],
) -> None:
    both_on_it = made(tmp_path, revocation_list(OURS, VALID + GONE), "both.crl")
    one_on_it = made(tmp_path, revocation_list(OURS, GONE), "one.crl")
    for asked, expected in (
        (asking(need=need, responder=responder, lists=[both_on_it]), on_the_list),
        (asking(need=need, responder=responder, lists=[one_on_it]), known_to_responder),
        (asking(need=need, responder=closed_port(), lists=[one_on_it]), stopped),
    ):
        said = [(await standing(asked, holder)).status for holder in (CARD, REVOKED)]
        assert tuple(said) == expected
