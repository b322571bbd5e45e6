"""The form for a new rule table: one field for each parameter, starting from a table that stands.

What was typed stays when something is wrong; a good table is kept as a draft of its author.
"""

import datetime
import re
from typing import Final, NamedTuple

from aiohttp import web

from fleet import proposals, rules
from fleet.proposals import Proposal, ProposalRefused
from fleet.rule_words import (
    TEXT_MAX,
    WHOLE,
    Item,
    NotRead,
    Value,
    amount,
    items,
    parameters_of,
    typed,
    values,
)
from fleet.rule_words import read as read_value
from fleet.web.data import FLEET, change, read
from fleet.web.forms import Form, read_form
from fleet.web.pages import CLOCK, render
from fleet.web.reach import require
from fleet.web.rules_page import context
from fleet.web.session import account_of
from fleet.web.words import language_of, today
from programmes.calendar import fiscal_year, read_day
from programmes.register import RULEBOOKS
from programmes.rulebook import NotTogether, Rulebook, RuleTableRefused, check_table
from programmes.texts import Language, say
from wire.roster import RuleTable

VERSION_MAX: Final = 64
"""As wire.entries.RuleVersion."""
_VERSION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*\Z", re.ASCII)
_FIELD_OF: Final = {
    "past": "valid_from",
    "far": "valid_from",
    "version": "version",
    "order": "version",
    "same": "valid_from",
    "many": "version",
}
"""Beside which field a refusal stands (fleet.proposals)."""
routes = web.RouteTableDef()


class Field(NamedTuple):
    """One parameter in the form."""

    item: Item
    label: str
    hints: str
    options: list[tuple[str, str]]


# --- the form ------------------------------------------------------------------------------------


def _fields(book: Rulebook, language: Language) -> list[Field]:
    return [
        Field(item, item.say("", language), _hints(item, language), _options(item, language))
        for item in items(book)
    ]


def _hints(item: Item, language: Language) -> str:
    said = [item.say("help", language)]
    if item.kind in WHOLE:
        low, high = (amount(item.kind, one, language) for one in (item.low, item.high))
        said.append(say("web.rules.form.bounds", language, low=low, high=high))
    if item.is_optional:
        said.append(say("web.rules.form.empty", language, none=item.say("none", language)))
    return " ".join(said)


def _options(item: Item, language: Language) -> list[tuple[str, str]]:
    words = ("yes", "no") if item.kind == "yes-no" else item.words
    return [(word, item.say(word, language)) for word in words]


class _Start(NamedTuple):
    """What a new table starts from."""

    table: RuleTable | None
    draft: Proposal | None
    standing: list[RuleTable]


async def _start(request: web.Request, programme: str) -> _Start:
    """Return the author's own draft, the table that was named, or the one in force."""
    standing = await read(request.app[FLEET], rules.load, programme)
    wish = request.query.get("draft", "")
    if wish.isascii() and wish.isdigit() and len(wish) < VERSION_MAX // 4:
        draft = await read(request.app[FLEET], proposals.load, int(wish))
        if draft and (draft.programme, draft.proposed_by) == (programme, account_of(request).name):
            return _Start(draft.table, draft, standing)
        raise web.HTTPNotFound
    named = next((one for one in standing if one.version == request.query.get("from")), None)
    day = today(request.app[CLOCK].now_ms())
    return _Start(named or proposals.base_of(standing, day), None, standing)


def _first_form(request: web.Request, book: Rulebook, start: _Start) -> Form:
    known = values(book, start.table)
    fields = {item.name: typed(item, known[item.name]) for item in items(book)}
    if start.draft is not None:
        table, why = start.draft.table, start.draft.why
        day, version = table.valid_from, table.version
    else:
        year = fiscal_year(today(request.app[CLOCK].now_ms())) + 1
        day, why = datetime.date(year, 4, 1), ""
        version = proposals.propose_version(book.name, start.standing, day)
    fields |= {"valid_from": day.isoformat(), "version": version, "why": why}
    return Form(language_of(request), fields)


async def _form_page(
    request: web.Request, book: Rulebook, start: _Start, form: Form, status: int = 200
) -> web.Response:
    return await render(
        request,
        "rule_new.html",
        status,
        **await context(request, book.name),
        fields=_fields(book, form.language),
        start=start,
        form=form,
        text_max=TEXT_MAX,
    )


def _book(request: web.Request) -> Rulebook:
    return RULEBOOKS[require(request, request.match_info["programme"])]


@routes.get(r"/rules/{programme}/new")
async def show_form(request: web.Request) -> web.Response:
    """The form for a new table, with the values of the one that it starts from."""
    book = _book(request)
    start = await _start(request, book.name)
    return await _form_page(request, book, start, _first_form(request, book, start))


@routes.post(r"/rules/{programme}/new")
async def write_down(request: web.Request) -> web.Response:
    """Keep a table as a draft, and show what it would do."""
    book = _book(request)
    start = await _start(request, book.name)
    form, table = await _read_table(request, book, start)
    if table is None:
        return await _form_page(request, book, start, form, 422)
    who, now_ms = account_of(request).name, request.app[CLOCK].now_ms()
    old = start.draft.id if start.draft else None
    try:
        kept = await change(
            request.app[FLEET], proposals.draft, book.name, table, form["why"], who, now_ms, old
        )
    except ProposalRefused as error:
        field = _FIELD_OF.get(error.reason, "version")
        form.refuse(field, f"web.rules.refused.{error.reason}", **error.arguments)
        return await _form_page(request, book, start, form, 422)
    raise web.HTTPSeeOther(f"/rules/proposals/{kept}")


async def _read_table(
    request: web.Request, book: Rulebook, start: _Start
) -> tuple[Form, RuleTable | None]:
    """Return the form as it was typed, and the table when all of it is good."""
    language = language_of(request)
    labels = {item.name: item.say("", language) for item in items(book)}
    labels |= {name: say(f"web.rules.field.{name}", language) for name in ("version", "valid_from")}
    limits = dict.fromkeys(labels, TEXT_MAX) | {"version": VERSION_MAX, "valid_from": 40}
    form = await read_form(request, limits | {"why": proposals.WHY_MAX}, labels)
    form.require("why")
    found = _values(book, start, form)
    day = None
    try:
        day = read_day(form["valid_from"])
    except ValueError:
        form.refuse("valid_from", "web.rules.refused.day", field=labels["valid_from"])
    if not _VERSION.match(form["version"]):
        form.refuse("version", "web.rules.refused.name")
    if form.errors or day is None:
        return form, None
    try:
        made = parameters_of(book, found)
        return form, check_table(book, form["version"], day.isoformat(), made)
    except RuleTableRefused as error:
        _refuse_together(book, form, error)
        return form, None


def _values(book: Rulebook, start: _Start, form: Form) -> dict[str, Value]:
    before = values(book, start.table)
    found: dict[str, Value] = {}
    for item in items(book):
        try:
            found[item.name] = read_value(item, form[item.name], before[item.name], form.language)
        except NotRead as error:
            form.refuse(item.name, error.code, **error.arguments)
    return found


def _refuse_together(book: Rulebook, form: Form, error: RuleTableRefused) -> None:
    """Say which of the values, each good by itself, do not go together."""
    cause = error.__cause__.__cause__ if error.__cause__ else None
    if isinstance(cause, NotTogether):
        form.refuse(cause.field, f"rule.{book.name}.{cause.field}.not-together")
    else:
        form.refuse("version", "web.rules.refused.table", said=str(error))
