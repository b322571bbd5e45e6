"""One audit from beginning to end: what is judged, what is signed, what is kept of it."""

import importlib.metadata
import shutil
import subprocess
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric import ed25519

from fleet import evidence
from fleet.proof import Prover
from fleet.schema import audit_run
from fleet.store import AnyRow
from fleet.verdict import AuditLine, Proof
from wire.envelope import Purpose, Signer

TOLD_EVERY: Final = 2_000
"""Entries between two reports of progress: some 20 ms."""


def judge(
    facts: Iterable[evidence.Fact],
    fleet_key: ed25519.Ed25519PublicKey,
    progress: Callable[[int], object],
) -> Proof:
    """Judge all facts, and tell now and then how many entries were seen."""
    prover = Prover(fleet_key)
    told = 0
    for fact in facts:
        prover.take(fact)
        if prover.entries - told >= TOLD_EVERY:
            told = prover.entries
            progress(told)
    progress(prover.entries)
    return prover.result()


def program() -> str:
    """Return the version that judges, with the commit when it runs from a checkout."""
    version = importlib.metadata.version("kazasu")
    root = Path(__file__).parents[1]
    git = shutil.which("git")
    if git is None or not (root / ".git").exists():
        return version
    asked = [git, "-C", str(root), "rev-parse", "HEAD"]
    found = subprocess.run(asked, capture_output=True, text=True, check=False)
    commit = found.stdout.strip()
    return f"{version} {commit}" if found.returncode == 0 and commit else version


def line_of(proof: Proof, at_ms: int, who: str) -> AuditLine:
    """Return what is signed of a result."""
    return AuditLine(1, proof.digest(), proof.verdict, at_ms, who, program())


def keep(
    connection: sa.Connection, proof: Proof, line: AuditLine, by: Signer, took_ms: int
) -> None:
    """Write an audit down, signed, for the console and for who asks later."""
    connection.execute(
        audit_run.insert(),
        {
            "at_ms": line.at_ms,
            "who": line.who,
            "reader": proof.reader,
            "from_ms": proof.from_ms,
            "to_ms": proof.to_ms,
            "verdict": proof.verdict,
            "entries": proof.entries,
            "exceptions": proof.exceptions,
            "faults": proof.faults,
            "took_ms": took_ms,
            "digest": line.digest,
            "line": by.seal(Purpose.AUDIT, proof.tenant, line),
        },
    )


def newest(connection: sa.Connection, limit: int = 100) -> Sequence[AnyRow]:
    """Return the last audits, the newest first."""
    wanted = sa.select(audit_run).order_by(audit_run.c.id.desc()).limit(limit)
    return connection.execute(wanted).all()


def as_json(proof: Proof, line: AuditLine) -> bytes:
    """Return the whole result as one JSON line; its digest is over `proof` as it stands there."""
    return msgspec.json.encode({"audit": line, "proof": proof})
