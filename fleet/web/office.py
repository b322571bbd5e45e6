"""The clerks' office: members, unknown cards and the day's attendance of their programmes.

The only process with a grant on persons; whoever looks at a person is written down.
"""

from typing import Final

from aiohttp import web

from fleet.config import Config
from fleet.grants import Role
from fleet.paper import Press
from fleet.report_counts import Counts
from fleet.rights import OfficeRole
from fleet.store import Store, open_fleet, open_persons
from fleet.web import (
    attendance_day,
    member_data_page,
    member_exchange_page,
    member_replace_page,
    member_steps_page,
    members_page,
    moving_page,
    proposal_page,
    replays,
    report_rows_page,
    reports_page,
    rule_form_page,
    rules_page,
    schemes_page,
    triage_page,
)
from fleet.web.app import build, run_until_stopped
from fleet.web.data import PERSONS
from fleet.web.reports_page import COUNTS
from fleet.web.session import Page, Site
from fleet.web.sheets import PRESS
from programmes import attendance
from wire.clock import Clock

CLERK: Final = frozenset({OfficeRole.CLERK})
RULES: Final = frozenset(rules_page.READERS)
COUNTER: Final = "web.group.counter"
"""What a clerk does with people at the counter."""
PROGRAMME: Final = "web.group.programme"
"""By what a programme goes: its rules, its grounds, its schemes, its files."""
FIGURES: Final = "web.group.figures"
"""What it came to."""
OVERSIGHT: Final = "web.group.oversight"
"""Who may do what, who looked at whom, other systems."""

REPORTS: Final = frozenset(reports_page.READERS)

SITE = Site(
    name="office",
    role="clerk",
    pages=(
        Page("/", "web.triage.title", CLERK, group=COUNTER),
        Page("/members", "web.members.title", CLERK, group=COUNTER),
        Page("/attendance", "web.attendance.title", CLERK, attendance.NAME, COUNTER),
        Page("/rules", "web.rules.title", RULES, group=PROGRAMME),
        Page("/schemes", "web.schemes.title", CLERK, group=PROGRAMME),
        Page("/moving", "web.moving.title", CLERK, group=PROGRAMME),
        Page("/reports", "web.report.title", REPORTS, group=FIGURES),
    ),
    needs={
        "/": frozenset(),
        "/cards": CLERK,
        "/members": CLERK,
        "/attendance": CLERK,
        "/rules": RULES,
        "/schemes": CLERK,
        "/moving": CLERK,
        "/moving.csv": CLERK,
        "/reports": REPORTS,
        "/logout": frozenset(),
    },
)
ROUTES = (
    triage_page.routes,
    members_page.routes,
    member_steps_page.routes,
    member_exchange_page.routes,
    member_replace_page.routes,
    member_data_page.routes,
    attendance_day.routes,
    rules_page.routes,
    rule_form_page.routes,
    proposal_page.routes,
    schemes_page.routes,
    moving_page.routes,
    reports_page.routes,
    report_rows_page.routes,
)


def application(config: Config, store: Store, persons: Store, clock: Clock) -> web.Application:
    """Return the office's application on its two open databases."""
    app = build(SITE, ROUTES, store, config, clock)
    app[PERSONS] = persons
    app[PRESS] = Press()
    app.cleanup_ctx.append(replays.keep)
    app[COUNTS] = Counts(store, persons)
    return app


def run(config: Config, clock: Clock) -> None:
    """Serve the office on its port until the process is told to stop."""
    store = open_fleet(config.databases, Role.OFFICE)
    persons = open_persons(config.databases, Role.OFFICE)
    try:
        run_until_stopped(application(config, store, persons, clock), config.office_port)
    finally:
        persons.close()
        store.close()
