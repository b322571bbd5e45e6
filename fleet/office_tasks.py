"""What waits for somebody in the office: counts and where to go, never a name.

Each role is told of its own: who approves of proposals, who enrols of grounds that are missing or
end, who sees to rights of approvers that cannot approve yet.
"""

import datetime
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import sqlalchemy as sa

from fleet import consent, schemes, terms, webhooks
from fleet.accounts import Account
from fleet.import_jobs import State as JobState
from fleet.proposals import State as ProposalState
from fleet.rights import OfficeRole
from fleet.schema import (
    account_right,
    import_job,
    member,
    rule_proposal,
    second_factor,
)
from programmes.calendar import local_day

CAMPAIGN_DAYS: Final = 30
"""Before a campaign's deadline: time for a letter to those who are missing, and for an answer."""


@dataclass(frozen=True, slots=True)
class OfficeTask:
    """One thing that waits: `web.office-task.<kind>` says what, `path` is where it is done."""

    kind: str
    mark: str
    """The shape of fleet/web/templates/_marks.html: bad, warn or info."""
    path: str
    programme: str = ""
    arguments: dict[str, str | int] = field(default_factory=dict)


def of_fleet(connection: sa.Connection, account: Account) -> list[OfficeTask]:
    """Return what waits in the database without persons."""
    found = []
    for programme in account.rights.programmes(OfficeRole.APPROVER):
        if waiting := _proposals(connection, programme, account.name):
            path = f"/rules?programme={programme}"
            found.append(OfficeTask("proposal", "warn", path, programme, {"n": waiting}))
    if OfficeRole.ADMIN in account.rights.roles and (unready := _unready(connection)):
        found.append(OfficeTask("no-second-factor", "warn", "/people", "", {"n": unready}))
    return found


def _proposals(connection: sa.Connection, programme: str, name: str) -> int:
    return connection.execute(
        sa.select(sa.func.count(rule_proposal.c.id)).where(
            rule_proposal.c.programme == programme,
            rule_proposal.c.state == ProposalState.WAITING,
            rule_proposal.c.proposed_by != name,
        )
    ).scalar_one()


def _unready(connection: sa.Connection) -> int:
    """Return how many approvers have no second factor, and so cannot approve."""
    confirmed = sa.select(second_factor.c.account).where(
        second_factor.c.confirmed_at_ms.is_not(None)
    )
    return connection.execute(
        sa.select(sa.func.count(account_right.c.account.distinct())).where(
            account_right.c.role == OfficeRole.APPROVER, account_right.c.account.not_in(confirmed)
        )
    ).scalar_one()


def of_persons(connection: sa.Connection, account: Account, at_ms: int) -> list[OfficeTask]:
    """Return what waits for a clerk of these programmes."""
    day = local_day(at_ms)
    return [
        task
        for programme in account.rights.programmes(OfficeRole.CLERK)
        for task in _of_programme(connection, programme, day)
    ]


def _of_programme(
    connection: sa.Connection, programme: str, day: datetime.date
) -> Iterator[OfficeTask]:
    here = f"?programme={programme}"
    if consent.basis_on(connection, programme, day) is None and _is_used(connection, programme):
        yield OfficeTask("no-consent-basis", "bad", f"/consent{here}", programme)
    for row in schemes.warnings(connection, day, programme):
        mark = "bad" if row.state == "ended" else "warn"
        path = f"/schemes/{programme}/{row.scheme}"
        yield OfficeTask(f"scheme-{row.state}", mark, path, programme, {"n": row.cards})
    if waiting := _looked(connection, programme):
        yield OfficeTask("import", "info", f"/import{here}", programme, {"n": waiting})
    of = terms.latest(connection).get(programme)
    if of and of.is_running and 0 <= (left := (of.until - day).days) <= CAMPAIGN_DAYS:
        yield OfficeTask("campaign", "warn", f"/moving{here}", programme, {"n": left})
    hooks = webhooks.everyone(connection, [programme])
    if stuck := sum(one.state == "given-up" for one in hooks):
        yield OfficeTask("webhook", "bad", "/links", programme, {"n": stuck})


def _is_used(connection: sa.Connection, programme: str) -> bool:
    """True when the programme has a member, or says by which scheme it knows cards."""
    there = sa.select(member.c.id).where(member.c.programme == programme).limit(1)
    return connection.scalar(there) is not None or bool(schemes.statements(connection, programme))


def _looked(connection: sa.Connection, programme: str) -> int:
    return connection.execute(
        sa.select(sa.func.count(import_job.c.id)).where(
            import_job.c.programme == programme, import_job.c.state == JobState.LOOKED
        )
    ).scalar_one()
