"""Rule tables that wait for a second person: drawn up, proposed, approved or rejected.

Rules: who proposed does not approve (the database refuses it too); what was drawn up is never
changed, another one is drawn up instead; a table begins on a later day than today, since readers
have decided by the old one until now; one whose base was replaced meanwhile is not approved, for
nobody has looked at what it would then change; nor is one under which a golden example is answered
otherwise than it says; nor by somebody whose account another person has just had a hand in
(`fleet.second_person`). Approved, it stands in `rule` and goes out with the
next rosters. Each step but drawing up leaves a line in the audit.
"""

import datetime
import enum
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from fleet import audit, golden, rules, second_person, store
from fleet.rule_words import values
from fleet.schema import rule_proposal
from programmes.calendar import local, local_day
from programmes.register import rulebook
from programmes.rulebook import NoRuleInForce, rule_in_force
from wire.roster import RuleTable

OPEN_MAX: Final = 20
"""Drafts and waiting proposals of a programme; a town changes a table once or twice a year."""
AHEAD_DAYS_MAX: Final = 5 * 366
"""A table of more than five years ahead is a year that was mistyped."""
WHY_MAX: Final = 400
"""Characters of a reason."""
HISTORY_MAX: Final = 200
"""Proposals of a programme that are listed, newest first."""


class State(enum.StrEnum):
    """Where a proposal stands."""

    DRAFT = "draft"
    WAITING = "waiting"
    APPROVED = "approved"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"


MOVES: Final[Mapping[State, frozenset[State]]] = {
    State.DRAFT: frozenset({State.WAITING, State.WITHDRAWN}),
    State.WAITING: frozenset({State.APPROVED, State.REJECTED, State.WITHDRAWN}),
    State.APPROVED: frozenset(),
    State.REJECTED: frozenset(),
    State.WITHDRAWN: frozenset(),
}
_OPEN: Final = (State.DRAFT, State.WAITING)
_BY_PROPOSER: Final = frozenset({State.WAITING, State.WITHDRAWN})


class ProposalRefused(ValueError):
    """This step cannot be taken; `reason` is a stable word, `arguments` what its sentence names."""

    def __init__(self, reason: str, **arguments: str) -> None:
        super().__init__(reason)
        self.reason: Final = reason
        self.arguments: Final = arguments


class Proposal(NamedTuple):
    """One proposed table and what became of it."""

    id: int
    programme: str
    table: RuleTable
    base: str
    """The version that it was drawn up to follow; empty for a programme's first table."""
    why: str
    state: State
    proposed_at_ms: int
    proposed_by: str
    decided_at_ms: int | None
    decided_by: str
    decided_why: str


def base_of(tables: Sequence[RuleTable], day: datetime.date) -> RuleTable | None:
    """Return the table in force on a day; None before the first one."""
    try:
        return rule_in_force(tables, day)
    except NoRuleInForce:
        return None


def check(tables: Sequence[RuleTable], table: RuleTable, today: datetime.date) -> None:
    """Raise ProposalRefused when this table can never come into force."""
    if table.valid_from <= today:
        raise ProposalRefused("past")
    if table.valid_from > today + datetime.timedelta(AHEAD_DAYS_MAX):
        raise ProposalRefused("far")
    if any(one.version == table.version for one in tables):
        raise ProposalRefused("version", version=table.version)
    if rule_in_force([*tables, table], table.valid_from) is not table:
        other = rule_in_force(tables, table.valid_from)
        raise ProposalRefused("order", version=other.version)


def check_examples(programme: str, table: RuleTable) -> None:
    """Raise ProposalRefused when this program does not decide as the golden examples say."""
    if golden.broken(rulebook(programme), table):
        raise ProposalRefused("broken")


def check_base(tables: Sequence[RuleTable], proposal: Proposal) -> None:
    """Raise ProposalRefused when another table has come between."""
    base = base_of(tables, proposal.table.valid_from)
    if (base.version if base else "") != proposal.base:
        raise ProposalRefused("stale", base=proposal.base, now=base.version if base else "")


def check_approver(connection: sa.Connection, programme: str, who: str, at_ms: int) -> None:
    """Raise ProposalRefused while an administrator may stand behind this approver."""
    from_ms = second_person.counts_from_ms(connection, who, programme)
    if at_ms < from_ms:
        whole_minute = local(from_ms + 59_999)  # the minute that is named has to be late enough
        raise ProposalRefused("new", when=f"{whole_minute:%Y-%m-%d %H:%M}")


def propose_version(programme: str, tables: Sequence[RuleTable], day: datetime.date) -> str:
    """Return a name for a table from a day on: senior-pass/2027-04, or a further one of it."""
    taken, name = {table.version for table in tables}, f"{programme}/{day:%Y-%m}"
    names = [name, *(f"{name}-{number:02}" for number in range(2, 100))]
    free = [one for one in names if one not in taken]
    same_day = [table.version for table in tables if table.valid_from == day]
    return next((one for one in free if one > max(same_day, default="")), f"{name}-99-2")


def draft(
    connection: sa.Connection,
    programme: str,
    table: RuleTable,
    why: str,
    who: str,
    at_ms: int,
    instead_of: int | None = None,
) -> int:
    """Keep a checked table (`check_table`) that its author will look at; return its number.

    `instead_of`: a draft of the same author that is given up for it. Raises ProposalRefused.
    """
    if instead_of is not None:
        withdraw(connection, instead_of, who, at_ms)
    tables = rules.load(connection, programme)
    check(tables, table, local_day(at_ms))
    base = base_of(tables, table.valid_from)
    book = rulebook(programme)
    if base is not None and values(book, base) == values(book, table):
        raise ProposalRefused("same", version=base.version)
    being = sa.select(sa.func.count()).where(
        rule_proposal.c.programme == programme, rule_proposal.c.state.in_(_OPEN)
    )
    if connection.execute(being).scalar_one() >= OPEN_MAX:
        raise ProposalRefused("many")
    added = connection.execute(
        rule_proposal.insert(),
        {
            "programme": programme,
            "version": table.version,
            "valid_from": table.valid_from,
            "parameters": table.parameters,
            "base": base.version if base else "",
            "why": why,
            "state": State.DRAFT,
            "proposed_at_ms": at_ms,
            "proposed_by": who,
        },
    )
    return store.new_id(added)


def propose(connection: sa.Connection, number: int, who: str, at_ms: int) -> None:
    """Hand a draft to the approvers. Raises ProposalRefused."""
    proposal = _step(connection, number, State.WAITING, who)
    tables = rules.load(connection, proposal.programme)
    check(tables, proposal.table, local_day(at_ms))
    check_base(tables, proposal)
    check_examples(proposal.programme, proposal.table)
    _set(connection, number, state=State.WAITING, proposed_at_ms=at_ms)
    _note(connection, proposal, "proposed", who, at_ms)


def withdraw(connection: sa.Connection, number: int, who: str, at_ms: int) -> None:
    """Take back what one drew up or proposed. Raises ProposalRefused."""
    proposal = _step(connection, number, State.WITHDRAWN, who)
    _decide(connection, proposal, State.WITHDRAWN, "", who, at_ms)


def approve(connection: sa.Connection, number: int, why: str, who: str, at_ms: int) -> None:
    """Let a proposed table come into force on its day. Raises ProposalRefused."""
    proposal = _step(connection, number, State.APPROVED, who)
    check_approver(connection, proposal.programme, who, at_ms)
    tables = rules.load(connection, proposal.programme)
    check(tables, proposal.table, local_day(at_ms))
    check_base(tables, proposal)
    check_examples(proposal.programme, proposal.table)
    rules.add(
        connection,
        proposal.programme,
        proposal.table,
        proposal.proposed_by,
        at_ms,
        approved_by=who,
        why=proposal.why,
    )
    _decide(connection, proposal, State.APPROVED, why, who, at_ms)


def reject(connection: sa.Connection, number: int, why: str, who: str, at_ms: int) -> None:
    """Send a proposed table back, with the reason. Raises ProposalRefused."""
    proposal = _step(connection, number, State.REJECTED, who)
    _decide(connection, proposal, State.REJECTED, why, who, at_ms)


def load(connection: sa.Connection, number: int) -> Proposal | None:
    """Return one proposal."""
    wanted = sa.select(rule_proposal).where(rule_proposal.c.id == number)
    row = connection.execute(wanted).one_or_none()
    return None if row is None else _proposal(row)


def of_programme(connection: sa.Connection, programme: str) -> list[Proposal]:
    """Return a programme's proposals, the newest first."""
    rows = connection.execute(
        sa.select(rule_proposal)
        .where(rule_proposal.c.programme == programme)
        .order_by(rule_proposal.c.id.desc())
        .limit(HISTORY_MAX)
    )
    return [_proposal(row) for row in rows]


def _proposal(row: Any) -> Proposal:
    return Proposal(
        row.id,
        row.programme,
        RuleTable(row.version, row.valid_from, row.parameters),
        row.base,
        row.why,
        State(row.state),
        row.proposed_at_ms,
        row.proposed_by,
        row.decided_at_ms,
        row.decided_by,
        row.decided_why,
    )


def _step(connection: sa.Connection, number: int, to: State, who: str) -> Proposal:
    """Return the proposal when this person may take it to this state."""
    proposal = load(connection, number)
    if proposal is None:
        raise ProposalRefused("gone")
    if to not in MOVES[proposal.state]:
        raise ProposalRefused("decided", by=proposal.decided_by or proposal.proposed_by)
    if (to in _BY_PROPOSER) != (proposal.proposed_by == who):
        raise ProposalRefused("not-yours" if to in _BY_PROPOSER else "own")
    return proposal


def _decide(
    connection: sa.Connection, proposal: Proposal, to: State, why: str, who: str, at_ms: int
) -> None:
    decided = {"decided_at_ms": at_ms, "decided_by": who, "decided_why": why}
    _set(connection, proposal.id, state=to, **decided)
    if proposal.state is not State.DRAFT:
        _note(connection, proposal, to, who, at_ms, why)


def _set(connection: sa.Connection, number: int, **values: object) -> None:
    changed = rule_proposal.update().where(rule_proposal.c.id == number).values(**values)
    connection.execute(changed)


def _note(
    connection: sa.Connection, proposal: Proposal, what: str, who: str, at_ms: int, why: str = ""
) -> None:
    detail = " ".join(filter(None, (proposal.programme, why or proposal.why)))
    audit.note(connection, at_ms, who, f"rules.{what}", proposal.table.version, detail)
