"""The clerks' office: members, unknown cards and the day's attendance of their programmes.

The only process with a grant on persons; whoever looks at a person is written down.
"""

from dataclasses import replace
from typing import Final

from aiohttp import web

from fleet.config import Config
from fleet.grants import Role
from fleet.paper import Press
from fleet.report_counts import Counts
from fleet.rights import OfficeRole
from fleet.sealing import Sealer
from fleet.store import Store, open_fleet, open_persons
from fleet.web import (
    api,
    attendance_day,
    board_page,
    calendar_page,
    card_pin_page,
    card_sign_in_page,
    claim_page,
    claims_page,
    consent_page,
    desk_browsers_page,
    desk_page,
    desk_wait_page,
    enrol_page,
    feed_door,
    import_children,
    import_page,
    links_page,
    looks_page,
    member_data_page,
    member_exchange_page,
    member_own_page,
    member_replace_page,
    member_special_page,
    member_steps_page,
    member_terms_page,
    members_export_page,
    members_page,
    moving_page,
    office_rides_page,
    oidc,
    own_day_page,
    own_month_page,
    own_steps_page,
    people_page,
    proposal_page,
    replays,
    report_rows_page,
    reports_page,
    rides_page,
    rule_form_page,
    rules_page,
    schemes_page,
    school_day_page,
    school_gates_page,
    school_month_page,
    school_page,
    school_reach,
    school_requests_page,
    school_spares_page,
    school_substitutes_page,
    school_trips_page,
    second_factor,
    security_page,
    signin,
    start_page,
    statement_page,
    taxi_page,
    triage_page,
    uploads,
    vehicles_check_page,
    vehicles_lost_page,
    vehicles_page,
    vehicles_reach,
)
from fleet.web.app import build, run_until_stopped
from fleet.web.data import PERSONS
from fleet.web.own_data import PATH
from fleet.web.reports_page import COUNTS
from fleet.web.session import Page, Site, session_key
from fleet.web.sheets import PRESS
from programmes import attendance, senior_pass, taxi
from wire.clock import Clock

CLERK: Final = frozenset({OfficeRole.CLERK})
ADMIN: Final = frozenset({OfficeRole.ADMIN})
AUDITOR: Final = frozenset({OfficeRole.AUDITOR})
RULES: Final = frozenset(rules_page.READERS)
MINUTE_MS: Final = 60_000
COUNTER: Final = "web.group.counter"
"""What a clerk does with people at the counter."""
PROGRAMME: Final = "web.group.programme"
"""By what a programme goes: its rules, its grounds, its schemes, its files."""
COMPANIES: Final = "web.group.vehicles"
"""A transport company's vehicles and rides."""
SCHOOL: Final = "web.group.school"
"""A school's people and their days."""
FIGURES: Final = "web.group.figures"
"""What it came to."""
OVERSIGHT: Final = "web.group.oversight"
"""Who may do what, who looked at whom, other systems."""

REPORTS: Final = frozenset(reports_page.READERS)
COMPANY: Final = frozenset({OfficeRole.COMPANY, OfficeRole.CLERK})
VEHICLES: Final = vehicles_reach.READERS
SCHOOLS: Final = school_reach.READERS
BOARD: Final = board_page.READERS

SITE = Site(
    name="office",
    role="clerk",
    pages=(
        Page("/", "web.start.title", group=COUNTER),
        Page(PATH, "web.own.title", is_own=True),
        Page("/members", "web.members.title", CLERK, group=COUNTER),
        Page("/desk", "web.desk-find.title", CLERK, group=COUNTER),
        Page("/enrol", "web.enrol.title", CLERK, group=COUNTER),
        Page("/attendance", "web.attendance.title", CLERK, attendance.NAME, COUNTER),
        Page("/rules", "web.rules.title", RULES, group=PROGRAMME),
        Page("/consent", "web.consent.title", CLERK, group=PROGRAMME),
        Page("/schemes", "web.schemes.title", CLERK, group=PROGRAMME),
        Page("/moving", "web.moving.title", CLERK, group=PROGRAMME),
        Page("/import", "web.import.title", CLERK, group=PROGRAMME),
        Page("/vehicles", "web.vehicles.title", VEHICLES, taxi.NAME, COMPANIES),
        Page("/vehicles/check", "web.check.title", VEHICLES, taxi.NAME, COMPANIES),
        Page("/vehicles/enter", "web.office-ride.title", COMPANY, taxi.NAME, COMPANIES),
        Page("/claims", "web.claims.title", VEHICLES, taxi.NAME, COMPANIES),
        Page("/school", "web.school.title", SCHOOLS, attendance.NAME, SCHOOL),
        Page("/school/requests", "web.school.requests.title", SCHOOLS, attendance.NAME, SCHOOL),
        Page("/school/spares", "web.school.spares.title", SCHOOLS, attendance.NAME, SCHOOL),
        Page("/school/trips", "web.school.trips.title", SCHOOLS, attendance.NAME, SCHOOL),
        Page("/school/month", "web.school.month.title", SCHOOLS, attendance.NAME, SCHOOL),
        Page("/school/gates", "web.school.gates.title", SCHOOLS, attendance.NAME, SCHOOL),
        Page("/board", "web.board.title", BOARD, attendance.NAME, SCHOOL),
        Page("/reports", "web.report.title", REPORTS, group=FIGURES),
        Page("/taxi", "web.taxi.nav", REPORTS, taxi.NAME, FIGURES),
        Page("/rides", "web.rides.title", CLERK, senior_pass.NAME, FIGURES),
        Page("/looks", "web.looks.title", AUDITOR, group=OVERSIGHT),
        Page("/people", "web.people.title", ADMIN, group=OVERSIGHT),
        Page("/links", "web.links.title", ADMIN, group=OVERSIGHT),
    ),
    needs={
        "/": frozenset(),
        PATH: frozenset(),
        "/cards": CLERK,
        "/desk": CLERK,
        "/members": CLERK,
        "/members.csv": CLERK,
        "/enrol": CLERK,
        "/consent": CLERK,
        "/attendance": CLERK,
        "/rules": RULES,
        "/schemes": CLERK,
        "/moving": CLERK,
        "/moving.csv": CLERK,
        "/import": CLERK,
        "/reports": REPORTS,
        "/vehicles": VEHICLES,
        "/claims": VEHICLES,
        "/school": SCHOOLS,
        "/board": BOARD,
        "/looks": AUDITOR,
        "/people": ADMIN,
        "/links": ADMIN,
        "/rides": CLERK,
        "/taxi": REPORTS,
        "/security": frozenset(),
        "/second": frozenset(),
        "/held": frozenset(),
        "/logout": frozenset(),
    },
    own=PATH,
)
ROUTES = (
    start_page.routes,
    triage_page.routes,
    members_page.routes,
    members_export_page.routes,
    member_steps_page.routes,
    member_exchange_page.routes,
    member_own_page.routes,
    member_terms_page.routes,
    member_special_page.routes,
    member_replace_page.routes,
    member_data_page.routes,
    enrol_page.routes,
    consent_page.routes,
    attendance_day.routes,
    desk_page.routes,
    desk_browsers_page.routes,
    desk_wait_page.routes,
    rules_page.routes,
    rule_form_page.routes,
    proposal_page.routes,
    schemes_page.routes,
    moving_page.routes,
    import_page.routes,
    reports_page.routes,
    report_rows_page.routes,
    statement_page.routes,
    looks_page.routes,
    people_page.routes,
    links_page.routes,
    rides_page.routes,
    taxi_page.routes,
    security_page.routes,
    card_pin_page.routes,
    card_sign_in_page.routes,
    calendar_page.routes,
    school_page.routes,
    school_requests_page.routes,
    school_spares_page.routes,
    school_gates_page.routes,
    school_substitutes_page.routes,
    school_trips_page.routes,
    school_day_page.routes,
    school_month_page.routes,
    board_page.routes,
    vehicles_page.routes,
    claims_page.routes,
    claim_page.routes,
    vehicles_check_page.routes,
    vehicles_lost_page.routes,
    office_rides_page.routes,
    own_month_page.routes,
    own_day_page.routes,
    own_steps_page.routes,
    second_factor.routes,
    oidc.routes,
)


def application(config: Config, store: Store, persons: Store, clock: Clock) -> web.Application:
    """Return the office's application on its two open databases."""
    site = replace(SITE, idle_ms=config.office_idle_minutes * MINUTE_MS)
    app = build(site, ROUTES, store, config, clock)
    app[PERSONS] = persons
    api.open_door(app)
    feed_door.open_door(app)
    app[second_factor.SEALER] = Sealer(session_key(config.state_folder / "office-secrets.key"))
    app[second_factor.ORIGIN], app[second_factor.TENANT] = config.office_origin, config.tenant
    if provider := oidc.provider_of(config, clock):
        app[oidc.OIDC], app[signin.PROVIDER_LABEL] = provider, provider.label
    app[PRESS] = Press()
    app[board_page.KEPT] = board_page.Kept()
    app[uploads.LIMIT] = import_page.file_bytes_of
    app[import_children.CHILDREN] = import_children.Children(config, persons, clock)
    app.cleanup_ctx.append(import_children.keep)
    app.cleanup_ctx.append(replays.keep)
    app.cleanup_ctx.append(school_gates_page.keep_sealed)
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
