"""`kazasu-edge card prove`: a card signs with its PIN, and the signature is checked on the spot.

Shows the tries that are left before it asks for a PIN, and never makes the last one. Whether the
certificate is good is the fleet's to say: `kazasu-fleet card-proof`.
"""

import argparse
import contextlib
import getpass
import secrets
import time
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from edge import card_proof
from edge.bench.terminal import FAULT, opened, tell, text
from edge.card_proof import Outcome, PinMalformed, Result
from edge.frontends import Card, Crowded, FrontEnd
from wire.card_proof import NONCE_BYTES, CardProof, Challenge, Purpose, signed_bytes
from wire.clock import SystemClock

WAIT_S: Final = 30
VALID_MS: Final = 60_000
READER: Final = "bench/bench"
PROGRAMME: Final = "bench"
"""Of the challenge, which no fleet has made and none would take."""


def prove(arguments: argparse.Namespace) -> int:
    """Run it; 0 when the card has proved itself."""
    with opened(arguments.front_end) as (front_end, _):
        result = _tried(front_end)
        if result is None:
            return FAULT
    tell(text(f"prove.{result.outcome}", tries=result.tries_left or 0))
    return 0 if result.outcome is Outcome.OK else FAULT


def _tried(front_end: FrontEnd) -> Result | None:
    """Return what came of a try, or why none was made; None without a card or a PIN."""
    clock = SystemClock()
    card = _held(front_end)
    if card is None:
        return None
    looked = card_proof.look(card, clock)
    if looked.outcome is not Outcome.OK:
        return looked
    tell(text("prove.tries", tries=looked.tries_left or 0))
    try:
        pin = bytearray(getpass.getpass(text("prove.pin")), "utf-8")
    except EOFError:  # no keyboard
        pin = bytearray()
    expires_ms = clock.now_ms() + VALID_MS
    nonce = secrets.token_bytes(NONCE_BYTES)
    challenge = Challenge(1, Purpose.LOG_IN, READER, PROGRAMME, expires_ms, nonce)
    try:  # the same card, still powered: one that took its place meanwhile loses no try
        result = card_proof.prove(card, challenge, pin, clock)
    except PinMalformed:
        tell(text("prove.pin-malformed"))
        return None
    if result.proof and not _signed(result.proof, challenge):
        return Result(Outcome.NOT_USABLE)
    return result


def _held(front_end: FrontEnd) -> Card | None:
    end_s = time.monotonic() + WAIT_S
    tell(text("waiting", seconds=WAIT_S))
    while time.monotonic() < end_s:
        with contextlib.suppress(Crowded):
            if card := front_end.sense(("106B",)):
                return card
    tell(text("no-card"))
    return None


def _signed(proof: CardProof, challenge: Challenge) -> bool:
    """Say whether the key of the card's certificate signed this challenge."""
    try:
        key = x509.load_der_x509_certificate(proof.certificate).public_key()
        if not isinstance(key, rsa.RSAPublicKey):
            return False
        key.verify(proof.signature, signed_bytes(challenge), padding.PKCS1v15(), hashes.SHA256())
    except (InvalidSignature, ValueError, UnsupportedAlgorithm):
        return False
    return True
