"""From a list of identifiers to a list of credentials: what the fleet's member import takes.

Rules: identifiers are read, used and forgotten, and no message names one; all lines are good or
nothing is written; a file that is there is never written over. Columns: `scheme` (方式),
`identifier` (識別子), for jpki-auth `not_before` (有効期間の開始); every other column is passed
through. `provisioning.identifiers` says how each identifier is written.
"""

import csv
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol, TextIO

from provisioning.identifiers import IdentifierRefused, identifier_bytes
from provisioning.vault import PRIVATE_FILE, ProvisioningRefused
from wire.credential import Credential, Scheme, credential
from wire.individual_number import IndividualNumberRefused, refuse_individual_number
from wire.limits import ROSTER_ROWS_MAX
from wire.seal import ProgrammeKey

SCHEME, IDENTIFIER, NOT_BEFORE = "scheme", "identifier", "not_before"
_JAPANESE: Final = {"方式": SCHEME, "識別子": IDENTIFIER, "有効期間の開始": NOT_BEFORE}
_ADDED: Final = ("credential", SCHEME, "key_epoch")

ERRORS_TOLD_MAX: Final = 50
"""Lines named in one report: more than that is one mistake in the whole column."""
PROGRESS_EVERY_LINES: Final = 2_000
"""A few hundredths of a second of work."""


class CredentialsRefused(ProvisioningRefused):
    """Nothing was written; `lines` says what is wrong, a sentence for each line of the file."""

    def __init__(self, what: str, lines: list[str] | None = None) -> None:
        super().__init__(what)
        self.lines: Final = lines or []


class _LineRefused(ValueError):
    """What is wrong with one line, without its identifier."""


class _Rows(Protocol):
    """What `csv.reader` returns."""

    line_num: int

    def __next__(self) -> list[str]: ...

    def __iter__(self) -> Iterator[list[str]]: ...


@dataclass
class _Work:
    key: ProgrammeKey
    columns: list[str]
    seen: dict[Credential, int] = field(default_factory=dict)
    wrong: int = 0
    told: list[str] = field(default_factory=list)

    def refuse(self, line: int, why: str) -> None:
        self.wrong += 1
        if len(self.told) < ERRORS_TOLD_MAX:
            self.told.append(f"line {line}: {why}")


def write_credentials(
    source: Path, target: Path, key: ProgrammeKey, progress: Callable[[int], None] | None = None
) -> int:
    """Turn identifiers into credentials of one programme and epoch; return how many lines.

    `progress` is told, now and then, how many bytes of the source have been read. Raises
    CredentialsRefused, and leaves no file then.
    """
    try:
        _open_private(target, os.O_EXCL).close()  # taken now, so that no one else's is replaced
    except FileExistsError:
        raise CredentialsRefused(f"{target} is there already: name a new file") from None
    beside = target.with_name(f".{target.name}.part")
    try:
        with _open_source(source) as lines, _open_private(beside, os.O_TRUNC) as out:
            work = _convert(lines, out, key, progress)
        if work.wrong:
            what = f"{work.wrong} lines of {source.name} are wrong; nothing was written"
            raise CredentialsRefused(what, work.told)
        beside.replace(target)
    except BaseException:
        target.unlink(missing_ok=True)
        beside.unlink(missing_ok=True)
        raise
    return len(work.seen)


def _open_private(path: Path, how: int) -> TextIO:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | how, PRIVATE_FILE)
    return os.fdopen(descriptor, "w", encoding="utf-8", newline="")


def _open_source(path: Path) -> TextIO:
    """Open as UTF-8, or as the Japanese Windows code page that spreadsheets write."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            while file.read(1 << 20):
                pass
        return path.open(encoding="utf-8-sig", newline="")
    except UnicodeDecodeError:
        return path.open(encoding="cp932", newline="")
    except OSError as error:
        raise CredentialsRefused(f"{path}: {error.strerror}: name a CSV file") from error


def _convert(
    source: TextIO, out: TextIO, key: ProgrammeKey, progress: Callable[[int], None] | None
) -> _Work:
    rows = csv.reader(source, strict=True)
    work = _Work(key, _columns(rows))
    passed = [name for name in work.columns if name not in (SCHEME, IDENTIFIER, NOT_BEFORE)]
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*_ADDED, *passed])
    for number, cells in _numbered(rows, work):
        try:
            row = _row(cells, work.columns)
            code = _new_credential(row, number, work)
            others = [refuse_individual_number(name, row[name]) for name in passed]
        except (_LineRefused, IdentifierRefused, IndividualNumberRefused) as error:
            work.refuse(number, str(error))
            continue
        writer.writerow([code, row[SCHEME], key.epoch, *others])
        if progress and number % PROGRESS_EVERY_LINES == 0:
            progress(source.buffer.tell())
    return work


def _columns(rows: _Rows) -> list[str]:
    try:
        names = [_JAPANESE.get(name.strip(), name.strip()) for name in next(rows, [])]
    except (csv.Error, UnicodeDecodeError) as error:
        raise CredentialsRefused(f"line 1: {error}: save the list as CSV in UTF-8") from error
    for needed in (SCHEME, IDENTIFIER):
        if needed not in names:
            raise CredentialsRefused(
                f"line 1 names no column {needed!r}: write the names of columns there"
            )
    if len(set(names)) != len(names):
        raise CredentialsRefused("line 1 names a column twice: give each its own name")
    if taken := {"credential", "key_epoch"} & set(names):
        raise CredentialsRefused(f"the column {sorted(taken)} is made here: take it out")
    return names


def _numbered(rows: _Rows, work: _Work) -> Iterator[tuple[int, list[str]]]:
    """Yield each line that is not blank with its number in the file; stop at what is no CSV."""
    while True:
        try:
            cells = next(rows, None)
        except (csv.Error, UnicodeDecodeError) as error:
            work.refuse(rows.line_num, f"{error}: the rest is unread; save as CSV in UTF-8")
            return
        if cells is None:
            return
        if rows.line_num > ROSTER_ROWS_MAX + 1:
            work.refuse(rows.line_num, f"a list has at most {ROSTER_ROWS_MAX} lines: split it")
            return
        if cells:
            yield rows.line_num, cells


def _row(cells: list[str], columns: list[str]) -> dict[str, str]:
    if len(cells) != len(columns):
        raise _LineRefused(f"{len(cells)} cells under {len(columns)} columns")
    return {name: cell.strip() for name, cell in zip(columns, cells, strict=True)}


def _new_credential(row: Mapping[str, str], line: int, work: _Work) -> Credential:
    """Return the line's credential; it stands once in the file."""
    try:
        scheme = Scheme(row[SCHEME])
    except ValueError:
        known = ", ".join(Scheme)
        raise _LineRefused(f"scheme is none of {known}") from None
    identifier = identifier_bytes(scheme, row[IDENTIFIER], row.get(NOT_BEFORE, ""))
    code = credential(work.key.key, scheme, identifier)
    if (first := work.seen.setdefault(code, line)) != line:
        raise _LineRefused(f"the same card as in line {first}")
    return code
