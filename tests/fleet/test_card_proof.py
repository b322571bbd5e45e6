"""A card that signed our challenge is believed; anything less is refused, with its own word."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from fleet import cli
from fleet.card_proof import CHALLENGE_MS, CHALLENGES_MAX, CardProofs, Challenges, Reason
from fleet.card_trust import TrustUnusable
from fleet.config import CardCertificates, ConfigRefused, read_config
from hw.sim.chipdata import Purpose as KeyPurpose
from tests.fleet.card_kit import NOT_AFTER, NOT_BEFORE, Holder
from tests.fleet.virtual import HandClock
from tests.real_ocsp import Signer, appointed, authority, revocation_list, start_responder
from wire.card_proof import CardProof, Challenge, Purpose, signed_bytes

READER, PASS = "kazasu-shi/desk-1", "senior-pass"
NOW = datetime.now(UTC)
NOW_MS = int(NOW.timestamp() * 1000)
CARD, REVOKED = Holder(1), Holder(2)


def set_up(folder: Path, *authorities: Signer, **more: Any) -> CardProofs:
    """Make a fleet that trusts these and reads a list of today."""
    (folder / "authorities").mkdir()
    for at, one in enumerate(authorities or (authority(1), authority(2))):
        pem = one.certificate.public_bytes(Encoding.PEM)
        (folder / "authorities" / f"{at}.pem").write_bytes(pem)
    (folder / "list.crl").write_bytes(
        revocation_list(authority(), [REVOKED.serial], until=NOW + timedelta(days=3000))
    )
    settings = {"need": "crl", "crl": [str(folder / "list.crl")]} | more
    return CardProofs(
        CardCertificates(
            approved="by the test itself", authorities=str(folder / "authorities"), **settings
        )
    )


def asked(proofs: CardProofs, now_ms: int = NOW_MS) -> Challenge:
    return proofs.challenges.make(Purpose.ENROL, READER, PASS, now_ms)


def answer(challenge: Challenge, holder: Holder = CARD, **changed: Any) -> CardProof:
    signature = holder.sign(signed_bytes(challenge))
    proof = CardProof(v=1, nonce=challenge.nonce, certificate=holder.der, signature=signature)
    return msgspec.structs.replace(proof, **changed)


async def test_a_card_that_signs_the_challenge_is_believed_once(tmp_path: Path) -> None:
    proofs = set_up(tmp_path)
    proof = answer(asked(proofs))
    verdict = await proofs.judge(proof, READER, NOW_MS)
    assert verdict.reason is Reason.OK
    assert verdict.certificate == CARD.certificate
    assert (await proofs.judge(proof, READER, NOW_MS)).reason is Reason.NOT_ASKED


async def test_a_wrong_answer_uses_the_challenge_up_too(tmp_path: Path) -> None:
    proofs = set_up(tmp_path)
    challenge = asked(proofs)
    wrong = answer(challenge, signature=bytes(256))
    assert (await proofs.judge(wrong, READER, NOW_MS)).reason is Reason.NOT_SIGNED
    assert (await proofs.judge(answer(challenge), READER, NOW_MS)).reason is Reason.NOT_ASKED


async def test_a_challenge_is_its_readers_alone_and_of_this_fleet(tmp_path: Path) -> None:
    proofs = set_up(tmp_path)
    challenge = asked(proofs)
    proof = answer(challenge)
    assert (await proofs.judge(proof, "kazasu-shi/desk-2", NOW_MS)).reason is Reason.NOT_ASKED
    assert (await proofs.judge(proof, READER, NOW_MS)).reason is Reason.OK  # still open for desk-1
    foreign = Challenges().make(Purpose.ENROL, READER, PASS, NOW_MS)
    assert (await proofs.judge(answer(foreign), READER, NOW_MS)).reason is Reason.NOT_ASKED


@pytest.mark.parametrize(
    ("after_ms", "reason"), [(CHALLENGE_MS, Reason.OK), (CHALLENGE_MS + 1, Reason.TOO_LATE)]
)
async def test_a_challenge_is_good_for_a_minute(
    tmp_path: Path, after_ms: int, reason: Reason
) -> None:
    proofs = set_up(tmp_path)
    proof = answer(asked(proofs))
    assert (await proofs.judge(proof, READER, NOW_MS + after_ms)).reason is reason


def test_challenges_do_not_fill_the_memory() -> None:
    challenges = Challenges()
    first, *_, last = (
        challenges.make(Purpose.LOG_IN, READER, PASS, NOW_MS) for _ in range(CHALLENGES_MAX + 1)
    )
    assert challenges.take(first.nonce, READER) is None
    assert challenges.take(last.nonce, READER) == last


@pytest.mark.parametrize(
    "changed",
    [
        {"purpose": Purpose.LOG_IN},
        {"reader": "kazasu-shi/desk-2"},
        {"programme": "attendance"},
        {"expires_ms": NOW_MS},
        {"nonce": bytes(32)},
    ],
)
async def test_a_signature_over_another_challenge_is_none(
    tmp_path: Path, changed: dict[str, Any]
) -> None:
    proofs = set_up(tmp_path)
    challenge = asked(proofs)
    other = answer(msgspec.structs.replace(challenge, **changed), nonce=challenge.nonce)
    assert (await proofs.judge(other, READER, NOW_MS)).reason is Reason.NOT_SIGNED


async def judged(
    proofs: CardProofs, holder: Holder, now: datetime | None = None, **changed: Any
) -> Reason:
    now_ms = int((now or datetime.now(UTC)).timestamp() * 1000)
    proof = answer(asked(proofs, now_ms), holder, **changed)
    return (await proofs.judge(proof, READER, now_ms)).reason


async def test_another_cards_certificate_does_not_go_with_this_cards_signature(
    tmp_path: Path,
) -> None:
    assert await judged(set_up(tmp_path), CARD, certificate=Holder(3).der) is Reason.NOT_SIGNED


async def test_the_signing_certificate_is_never_taken(tmp_path: Path) -> None:
    proofs = set_up(tmp_path, authority(), authority(2, "digital signature"))
    challenge = asked(proofs)
    signature = CARD.data.key(KeyPurpose.SIGNATURE).sign(signed_bytes(challenge))
    signing = answer(challenge, certificate=CARD.data.signature_certificate(), signature=signature)
    verdict = await proofs.judge(signing, READER, NOW_MS)
    assert verdict.reason is Reason.WRONG_KIND


async def test_a_generation_that_is_not_trusted_is_told_from_one_of_its_name(
    tmp_path: Path,
) -> None:
    older, newer = Holder(1, generation=1), CARD
    only_newer, only_older, both = (tmp_path / name for name in ("newer", "older", "both"))
    for folder in (only_newer, only_older, both):
        folder.mkdir()
    status = {"need": "ocsp", "crl": [], "ocsp": "http://127.0.0.1:9"}  # what comes after trust
    proofs = set_up(only_newer, authority(2), **status)
    assert await judged(proofs, older) is Reason.UNTRUSTED
    assert await judged(proofs, newer) is Reason.STATUS_UNKNOWN
    proofs = set_up(only_older, authority(1), **status)
    assert await judged(proofs, older) is Reason.STATUS_UNKNOWN
    assert await judged(proofs, newer) is Reason.UNTRUSTED
    proofs = set_up(both, authority(1), authority(2), **status)
    assert await judged(proofs, older) is Reason.STATUS_UNKNOWN
    assert await judged(proofs, newer) is Reason.STATUS_UNKNOWN


@pytest.mark.parametrize(
    ("now", "reason"),
    [
        (NOT_BEFORE - timedelta(seconds=1), Reason.NOT_YET),
        (NOT_AFTER, Reason.OK),
        (NOT_AFTER + timedelta(seconds=1), Reason.EXPIRED),
        (datetime(2034, 1, 1, tzinfo=UTC), Reason.UNTRUSTED),  # its authority has ended too
    ],
)
async def test_dates_count(tmp_path: Path, now: datetime, reason: Reason) -> None:
    assert await judged(set_up(tmp_path), CARD, now) is reason


@pytest.mark.parametrize(
    "certificate", [b"\x30", b"\xff" * 1200, CARD.der[:-1], CARD.der + b"\xff", CARD.der[4:]]
)
async def test_what_is_no_certificate_is_unreadable(tmp_path: Path, certificate: bytes) -> None:
    assert await judged(set_up(tmp_path), CARD, certificate=certificate) is Reason.UNREADABLE


@pytest.mark.filterwarnings("ignore")  # cryptography speaks of what it reads
def test_any_change_of_a_certificate_is_noticed(tmp_path: Path) -> None:
    proofs = set_up(tmp_path)

    async def reasons() -> set[Reason]:
        found = set()
        for at in range(4, len(CARD.der) - 256, 7):  # inside what is signed
            changed = bytearray(CARD.der)
            changed[at] ^= 0x01
            found.add(await judged(proofs, CARD, certificate=bytes(changed)))
        return found

    assert asyncio.run(reasons()) <= {Reason.UNREADABLE, Reason.UNTRUSTED}


async def test_revoked_and_unknown_are_told_apart(tmp_path: Path) -> None:
    proofs = set_up(tmp_path)
    assert await judged(proofs, CARD) is Reason.OK
    assert await judged(proofs, REVOKED) is Reason.REVOKED
    (tmp_path / "list.crl").unlink()
    assert await judged(proofs, CARD) is Reason.STATUS_UNKNOWN
    assert await judged(proofs, REVOKED) is Reason.STATUS_UNKNOWN


async def test_a_real_responder_decides(tmp_path: Path) -> None:
    with start_responder(
        tmp_path / "ocsp", authority(), valid=[CARD.serial], revoked=[REVOKED.serial]
    ) as url:
        proofs = set_up(tmp_path, need="ocsp", crl=[], ocsp=url)
        assert await judged(proofs, CARD) is Reason.OK
        assert await judged(proofs, REVOKED) is Reason.REVOKED
        assert await judged(proofs, Holder(3)) is Reason.STATUS_UNKNOWN
    assert await judged(proofs, CARD) is Reason.STATUS_UNKNOWN


def reissued(
    change: Callable[[x509.ExtensionType], x509.ExtensionType | None] = lambda value: value,
    *added: x509.Extension[x509.ExtensionType],
    key: rsa.RSAPrivateKey | None = None,
) -> bytes:
    """Let the authority issue the card's certificate again, with something else in it."""
    was = CARD.certificate
    kept = [
        x509.Extension(one.oid, one.critical, value)
        for one in was.extensions
        if (value := change(one.value)) is not None
    ]
    return (
        x509.CertificateBuilder(extensions=[*kept, *added])
        .subject_name(was.subject)
        .issuer_name(was.issuer)
        .public_key(key.public_key() if key else was.public_key())
        .serial_number(was.serial_number)
        .not_valid_before(was.not_valid_before_utc)
        .not_valid_after(was.not_valid_after_utc)
        .sign(authority().key, hashes.SHA256())
        .public_bytes(Encoding.DER)
    )


def other_policy(value: x509.ExtensionType) -> x509.ExtensionType:
    if isinstance(value, x509.CertificatePolicies):
        signing = x509.ObjectIdentifier("1.2.392.200149.8.5.1.1.20")
        return x509.CertificatePolicies([x509.PolicyInformation(signing, None)])
    return value


def for_servers(value: x509.ExtensionType) -> x509.ExtensionType:
    wrong = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    return wrong if isinstance(value, x509.ExtendedKeyUsage) else value


def without_usage(value: x509.ExtensionType) -> x509.ExtensionType | None:
    return None if isinstance(value, x509.KeyUsage) else value


UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")
WRONG = {
    "other policy": reissued(other_policy),
    "for servers": reissued(for_servers),
    "no usage": reissued(without_usage),
    "demands more": reissued(lambda value: value, x509.Extension(UNKNOWN.oid, True, UNKNOWN)),
    "an authority": reissued(
        lambda value: value,
        x509.Extension(x509.BasicConstraints.oid, True, x509.BasicConstraints(True, None)),
    ),
    "a longer key": reissued(key=rsa.generate_private_key(65537, 3072)),
}


@pytest.mark.parametrize("kind", WRONG)
async def test_a_certificate_of_another_kind_is_refused_whoever_issued_it(
    tmp_path: Path, kind: str
) -> None:
    assert await judged(set_up(tmp_path), CARD, certificate=WRONG[kind]) is Reason.WRONG_KIND


async def test_what_a_certificate_adds_without_demanding_it_does_no_harm(tmp_path: Path) -> None:
    same = reissued(lambda value: value, x509.Extension(UNKNOWN.oid, False, UNKNOWN))
    assert await judged(set_up(tmp_path), CARD, certificate=same) is Reason.OK


# --- how it is set up ----------------------------------------------------------------------------


def test_only_authorities_can_be_trusted(tmp_path: Path) -> None:
    with pytest.raises(TrustUnusable, match="No such file"):
        CardProofs(CardCertificates(approved="x" * 10, authorities="/nowhere", need="ocsp"))
    for name, data, why in (
        ("empty", {}, "0 authorities"),
        ("card", {"a.der": CARD.der}, "is no authority"),
        ("appointed", {"a.der": der(appointed(authority()).certificate)}, "is no authority"),
        ("text", {"a.pem": b"hello"}, "is no certificate"),
        ("long", {"a.pem": b"-" * 20_000}, "more than"),
    ):
        (tmp_path / name).mkdir()
        for file, content in data.items():
            (tmp_path / name / file).write_bytes(content)
        settings = CardCertificates(
            approved="x" * 10, authorities=str(tmp_path / name), need="ocsp"
        )
        with pytest.raises(TrustUnusable, match=why):
            CardProofs(settings)


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


SECTION = """
[card_certificates]
approved = "Kazasu-shi, JPKI Act 36 (1), 2026-04-01, no. 12"
authorities = "authorities"
"""


FLEET = """
tenant = "kazasu-shi"
state = "state"
broker_host = "localhost"
broker_port = 8884
authority = "root.pem"
certificate = "fleet.pem"
key = "fleet.key"
server_certificate = "server.pem"
server_key = "server.key"
signing_key = "signing.key"
devices_port = 8443
console_port = 8081
office_port = 8082
"""


def written(folder: Path, section: str) -> Path:
    path = folder / "fleet.toml"
    path.write_text(FLEET + section, "utf-8")
    return path


@pytest.mark.parametrize(
    ("section", "why"),
    [
        ('[card_certificates]\nauthorities = "a"\nneed = "ocsp"\n', "approved"),
        (SECTION + 'need = "ocsp"\nocsp = "ocsp.example"\n', "must look like"),
        (SECTION + 'need = "ocsp"\ncrl = ["list.crl"]\n', "does not go with"),
        (SECTION + 'need = "both"\n', "does not go with"),
        (SECTION + 'need = "crl"\ncrl = ["a"]\nocsp = "http://ocsp.example"\n', "never asked"),
        (SECTION + 'need = "none"\n', "none"),
        (SECTION + 'need = "ocsp"\ntrust = "a"\n', "trust"),
    ],
)
def test_a_section_that_cannot_be_meant_is_refused(tmp_path: Path, section: str, why: str) -> None:
    with pytest.raises(ConfigRefused, match=why):
        read_config(written(tmp_path, section))


def test_paths_are_relative_to_the_file_and_addresses_are_not(tmp_path: Path) -> None:
    lists = 'need = "crl"\ncrl = ["lists/a.crl", "http://crl.example/b.crl"]\n'
    settings = read_config(written(tmp_path, SECTION + lists)).card_certificates
    assert settings
    assert settings.authorities == str(tmp_path / "authorities")
    assert settings.crl == [str(tmp_path / "lists/a.crl"), "http://crl.example/b.crl"]


def checked(folder: Path, certificate: bytes, section: str) -> int:
    path = folder / "card.cer"
    path.write_bytes(certificate)
    config = str(written(folder, section))
    argv = ["--config", config, "card-proof", "check", str(path)]
    return cli.run(argv, HandClock(at_ms=NOW_MS))


def test_the_keeper_can_try_the_set_up_with_a_certificate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up(tmp_path)
    section = SECTION + 'need = "crl"\ncrl = ["list.crl"]\n'
    for certificate, code, said in (
        (CARD.der, 0, "ok: it is not on the list of"),
        (CARD.certificate.public_bytes(Encoding.PEM), 0, "ok: "),
        (REVOKED.der, 1, "revoked: the list of"),
        (Holder(1, generation=1).der, 1, "status-unknown: "),
        (b"hello", 1, "unreadable: "),
        (b"-----BEGIN CERTIFICATE-----", 1, "unreadable: "),
    ):
        assert checked(tmp_path, certificate, section) == code
        assert capsys.readouterr().out.startswith(said)


def test_without_a_set_up_nothing_is_judged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert checked(tmp_path, CARD.der, "") == 1
    assert "there is no [card_certificates]" in capsys.readouterr().err
    assert checked(tmp_path, CARD.der, SECTION + 'need = "ocsp"\n') == 1
    assert "authorities: there is no such file" in capsys.readouterr().err
