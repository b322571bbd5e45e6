"""Whether a card's certificate was revoked: asks the responder, reads the lists, within limits.

Upheld: whoever cannot be reached, answers too much, too late or with nonsense leaves the
certificate `unknown` · a list is read once and serves until its nextUpdate, but only one that a
trusted authority signed: another one is asked for again · a question goes to the authority alone,
in the name of who is approved (`fleet.config.CardCertificates`), and tells it one serial.
"""

import asyncio
import os
from collections.abc import Awaitable
from datetime import datetime
from typing import Final

import aiohttp
from cryptography import x509

from fleet import crl, ocsp
from fleet.card_trust import Authorities
from fleet.config import CardCertificates, is_address
from fleet.standing import Standing, Status, Unsure, least_telling, most_telling

OCSP_S_MAX: Final = 3.0
"""Someone stands at the desk; a responder answers within a tenth of a second."""
CRL_S_MAX: Final = 20.0
"""The largest list, over a line of 16 Mbit/s; only the first who comes after nextUpdate waits."""
CRL_BYTES_MAX: Final = 32 * 1024 * 1024
"""About 1,400,000 revoked certificates of 22 bytes; one is looked up in 0.6 s (measured)."""
_CHUNK: Final = 64 * 1024


class Revocation:
    """What one fleet asks of whom; used by one event loop."""

    def __init__(self, settings: CardCertificates, authorities: Authorities) -> None:
        self._settings = settings
        self._lists = [_List(source, authorities) for source in settings.crl]

    async def standing(
        self, certificate: x509.Certificate, issuer: x509.Certificate, now: datetime
    ) -> Standing:
        """Return what those say who must be asked; the issuer's signature was verified before."""
        need = self._settings.need
        standings = []
        if need != "crl":
            standings.append(await self._by_responder(certificate, issuer, now))
        unsure = need == "either" and standings[0].status is Status.UNKNOWN
        if need in ("crl", "both") or unsure:
            standings.append(await self._by_lists(certificate, issuer, now))
        return least_telling(standings) if need == "both" else most_telling(standings)

    async def _by_responder(
        self, certificate: x509.Certificate, issuer: x509.Certificate, now: datetime
    ) -> Standing:
        """Return what the responder says, the certificate's own unless one is configured."""

        async def ask() -> Standing:
            question = ocsp.Question.about(certificate, issuer)
            url = self._settings.ocsp or ocsp.responder_of(certificate)
            answer = await _fetch(url, ocsp.ANSWER_BYTES_MAX, OCSP_S_MAX, question.der)
            return ocsp.judge(answer, question, now)

        return await _or_unknown(ask())

    async def _by_lists(
        self, certificate: x509.Certificate, issuer: x509.Certificate, now: datetime
    ) -> Standing:
        """Return what the configured lists say."""
        asked = [_or_unknown(one.standing(certificate, issuer, now)) for one in self._lists]
        return most_telling([await one for one in asked])


async def _or_unknown(asked: Awaitable[Standing]) -> Standing:
    try:
        return await asked
    except Unsure as unsure:
        return Standing(Status.UNKNOWN, str(unsure))


class _List:
    """One list, from a file or an address, as it was read last."""

    def __init__(self, source: str, authorities: Authorities) -> None:
        self._source = source
        self._authorities = authorities
        self._lock = asyncio.Lock()  # one fetch at a time
        self._kept: crl.Crl | None = None
        self._stamp: tuple[int, int] | None = None

    async def standing(
        self, certificate: x509.Certificate, issuer: x509.Certificate, now: datetime
    ) -> Standing:
        """Return what this list says. Raises Unsure."""
        async with self._lock:
            kept = await self._current(now)
        return await asyncio.to_thread(crl.judge, kept, certificate, issuer, now)

    async def _current(self, now: datetime) -> crl.Crl:
        stamp = None if is_address(self._source) else _stamp(self._source)
        kept = self._kept
        if kept is None or stamp != self._stamp or crl.next_update(kept) < now:
            if stamp is None:
                data = await _fetch(self._source, CRL_BYTES_MAX, CRL_S_MAX)
            else:
                data = await asyncio.to_thread(_read_file, self._source)
            kept = await asyncio.to_thread(self._authorities.read_list, data, now)
            self._kept, self._stamp = kept, stamp
        return kept


def _stamp(path: str) -> tuple[int, int]:
    try:
        status = os.stat(path)
    except OSError as error:
        raise Unsure(f"{path}: {error.strerror}") from error
    return status.st_mtime_ns, status.st_size


def _read_file(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            data = file.read(CRL_BYTES_MAX + 1)
    except OSError as error:
        raise Unsure(f"{path}: {error.strerror}") from error
    if len(data) > CRL_BYTES_MAX:
        raise Unsure(f"{path} has more than {CRL_BYTES_MAX} bytes")
    return data


async def _fetch(url: str, limit: int, within_s: float, question: bytes | None = None) -> bytes:
    """Return what an address answers to a GET, or to a question. Raises Unsure."""
    headers = {"Accept-Encoding": "identity"}
    if question is not None:
        headers["Content-Type"] = "application/ocsp-request"
    method = "GET" if question is None else "POST"
    timeout = aiohttp.ClientTimeout(total=within_s)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as session,
            session.request(
                method, url, data=question, headers=headers, allow_redirects=False
            ) as answer,
        ):
            if answer.status != 200:
                raise Unsure(f"{url} answered {answer.status}")
            return await _body(answer, url, limit)
    except TimeoutError:
        raise Unsure(f"{url} did not answer within {within_s:g} s") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise Unsure(f"{url} cannot be reached: {type(error).__name__}") from error


async def _body(answer: aiohttp.ClientResponse, url: str, limit: int) -> bytes:
    data = bytearray()
    async for chunk in answer.content.iter_chunked(_CHUNK):
        data += chunk
        if len(data) > limit:
            raise Unsure(f"{url} answered more than {limit} bytes")
    return bytes(data)
