"""The enrolment form as it was sent: read, judged, and looked at for who is there already."""

import datetime
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from aiohttp import web

from fleet import applicants, consent, rules
from fleet.applicants import Judged, Twin
from fleet.consent import Basis
from fleet.enrolment import Given
from fleet.members import NewMember
from fleet.paper import written_day
from fleet.schemes import DAYS
from fleet.web import desk_wait_page
from fleet.web.data import FLEET, PERSONS, change, read
from fleet.web.forms import Form, check_fields, empty_form
from fleet.web.pages import CLOCK
from fleet.web.session import account_of
from fleet.web.words import language_of
from programmes.calendar import age_on, local_day
from programmes.enrolment import Applicant, Condition
from programmes.register import RULEBOOKS
from programmes.texts import say

FIELDS: Final = {
    "registration_number": 32,
    "proposed": 32,
    "name": 60,
    "kana": 60,
    "birth_date": 24,
    "category": 40,
    "valid_from": 10,
    "valid_to": 10,
    "lives_with": 60,
    "resident": 3,
    "ground_seen": 3,
    "consent": 3,
    "basis": 18,
    "medium": 5,
    "different": 3,
    "card": 18,
    "how": 5,
    **desk_wait_page.FIELDS,
}
"""`how`: card, none or edit (back from the card); `card`: a row of the list of unknown cards."""


@dataclass
class Applied:
    """A form and all that it comes to."""

    form: Form
    programme: str
    today: datetime.date
    born: datetime.date | None
    valid_from: datetime.date | None
    valid_to: datetime.date | None
    judged: Judged
    basis: Basis | None
    categories: list[str]
    twins: list[Twin]
    mates: list[Twin]
    """Whom the household's field may mean."""

    def shown(self) -> dict[str, Any]:
        """Return what the templates of the form show."""
        return {
            "form": self.form,
            "programme": self.programme,
            "basis": self.basis,
            "categories": self.categories,
            "twins": self.twins,
            "mates": self.mates,
            "has_rules": RULEBOOKS[self.programme].enrolment is not None,
            "has_table": self.judged.table is not None,
            "asks_ground": any(one.ground != "none" for one in self.judged.conditions),
            "asks_residence": any(one.field == "resident" for one in self.judged.conditions),
            "conditions": [
                (one.is_met, self._sentence(one))
                for one in self.judged.conditions
                if one.field != "resident"
                and (self.born or self.form["birth_date"] or one.ground == "does")
            ],
            "born": self.born and written_day(self.born, self.form.language),
            "age": self.born and age_on(self.born, self.today),
        }

    def _sentence(self, one: Condition) -> str:
        return say(one.said, self.form.language, **self._written(one))

    def _written(self, one: Condition) -> dict[str, str | int]:
        language = self.form.language
        return {
            name: value if isinstance(value, int) else written_day(value, language)
            for name, value in one.arguments.items()
        }

    def may_be_enrolled(self) -> bool:
        """Put a sentence beside each field that is not right yet; True when all are."""
        form = self.form
        form.require("name", "kana", "registration_number")
        for one in self.judged.conditions:
            if not one.is_met:
                form.refuse(one.field, one.said, **self._written(one))
        if form["lives_with"] and len(self.mates) != 1:
            form.refuse("lives_with", f"web.enrol.lives-{'several' if self.mates else 'nobody'}")
        number = form["registration_number"]
        if any(one.registration_number == number for one in self.twins):
            form.refuse("registration_number", "web.triage.number-used", number=number)
        elif self.twins and form["different"] != "yes":
            form.refuse("different", "web.enrol.same-person")
        if self.basis is None or form["consent"] != "yes":
            form.refuse("consent", "web.enrol.tick-consent")
        elif form["basis"] != str(self.basis.id):
            form.values["consent"] = ""
            form.refuse("consent", "web.enrol.wording-changed")
        return not form.errors

    def new(self) -> NewMember:
        """Return who is to be enrolled."""
        form = self.form
        return NewMember(
            registration_number=form["registration_number"],
            name=form["name"],
            kana=form["kana"],
            birth_date=self.born,
            category=form["category"],
            valid_from=self.valid_from,
            valid_to=self.valid_to,
        )

    def given(self) -> Given:
        """Return the consent; only when all is right."""
        return Given(int(self.form["basis"]), "paper" if self.form["medium"] == "paper" else "desk")

    @property
    def lives_with(self) -> str:
        """The registration number of somebody of the same household; empty: nobody is named."""
        return self.mates[0].registration_number if self.form["lives_with"] else ""


async def apply(
    request: web.Request, programme: str, form: Form, *, looking: bool = True
) -> Applied:
    """Return what a form comes to; what cannot be read is refused beside its field.

    Whoever is found is a person looked at, and noted. `looking` False: of a fresh form.
    """
    now_ms = request.app[CLOCK].now_ms()
    today = local_day(now_ms)
    _tidy(form)
    born = form.born("birth_date", today)
    valid_from, valid_to = _validity(form)
    tables = await read(request.app[FLEET], rules.load, programme)
    applicant = Applicant(born, form["resident"] == "yes", form["ground_seen"] == "yes")
    judged = applicants.judge(programme, tables, applicant, valid_from or today)
    asked = (programme, form, born, today, account_of(request).name, now_ms)
    if looking:
        found = await change(request.app[PERSONS], _look, *asked)
    else:
        found = await read(request.app[PERSONS], _ground, programme, today)
    return Applied(form, programme, today, born, valid_from, valid_to, judged, *found)


Found = tuple[Basis | None, list[str], list[Twin], list[Twin]]


def _ground(connection: sa.Connection, programme: str, today: datetime.date) -> Found:
    basis = consent.basis_on(connection, programme, today)
    return basis, applicants.categories(connection, programme), [], []


def _look(
    connection: sa.Connection,
    programme: str,
    form: Form,
    born: datetime.date | None,
    today: datetime.date,
    who: str,
    at_ms: int,
) -> Found:
    basis, categories, twins, mates = _ground(connection, programme, today)
    number = form["registration_number"]
    typed = "" if number == form["proposed"] else number  # another desk's: the next will do
    name, kana, lives_with = form["name"], form["kana"], form["lives_with"]
    if typed or name or kana:
        twins = applicants.twins(connection, programme, typed, name, kana, born, who, at_ms)
    if lives_with:
        mates = applicants.housemates(connection, programme, lives_with, who, at_ms)
    return basis, categories, twins, mates


def _tidy(form: Form) -> None:
    for name in ("name", "category", "lives_with"):
        form.values[name] = applicants.tidy_name(form[name])
    if form["kana"]:
        kana = applicants.tidy_kana(form["kana"])
        if kana:
            form.values["kana"] = kana
        else:
            form.refuse("kana", "web.enrol.no-kana")


def _validity(form: Form) -> tuple[datetime.date | None, datetime.date | None]:
    days = {name: form.day(name) for name in ("valid_from", "valid_to")}
    for name, day in days.items():
        if day and not DAYS[0] <= day <= DAYS[1]:
            limits = {"first": DAYS[0].isoformat(), "last": DAYS[1].isoformat()}
            form.refuse(name, "web.enrol.days-outside", **limits)
            days[name] = None
    first, last = days["valid_from"], days["valid_to"]
    if first and last and last < first:
        form.refuse("valid_to", "web.form.ends-before-start")
    return first, last


async def proposed_form(
    request: web.Request, programme: str, typed: NewMember | None = None
) -> Form:
    """Return the form with what the programme proposes, or with what was typed before."""
    today = local_day(request.app[CLOCK].now_ms())
    tables = await read(request.app[FLEET], rules.load, programme)
    ends = applicants.judge(programme, tables, Applicant(None), today).ends
    number = await read(request.app[PERSONS], applicants.propose_number, programme)
    asked = check_fields(language_of(request), request.query, {"card": FIELDS["card"]})
    form = empty_form(
        request,
        registration_number=number,
        proposed=number,
        valid_from=today.isoformat(),
        valid_to=ends.isoformat() if ends else "",
        medium="desk",
        card=asked["card"],
    )
    if typed is not None:
        days = (typed.birth_date, typed.valid_from, typed.valid_to)
        born, first, last = ("" if day is None else day.isoformat() for day in days)
        form.values |= {"name": typed.name, "kana": typed.kana, "category": typed.category}
        form.values |= {"birth_date": born, "valid_from": first, "valid_to": last}
        form.values["registration_number"] = typed.registration_number
    return form
