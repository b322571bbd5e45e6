"""What each operation of the HTTP API is made of: who asks, what may be sent, what goes wrong.

An operation is declared once, with the types of what it takes and gives; the routes and the OpenAPI
document (fleet.openapi) are made from that. An error is a problem of RFC 9457 with a stable code,
and says in Japanese and English what to do; it never repeats a value that was sent.
"""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, TypeVar

import msgspec
from aiohttp import web
from msgspec import Meta

from fleet.api_clients import Client, Scope
from fleet.web.data import FLEET, PERSONS
from fleet.web.pages import CLOCK
from programmes.texts import NoSuchText, say
from wire.individual_number import looks_like_individual_number

BASE: Final = "/api/1"
BODY_BYTES_MAX: Final = 16 * 1024
"""A member has some hundred characters."""
BUSY_S: Final = 5
"""After so long it is asked again: counting a month, or another writer, takes seconds."""
DEPTH_MAX: Final = 8
"""Of objects in one another; ours have two."""

Number = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=32,
        pattern=r"^[^\x00-\x1f\x7f]*$(?!\n)",
        description="A registration number, as it stands on the slip.",
    ),
]
Plain = r"^[^\x00-\x1f\x7f]*$(?!\n)"
"""Text without control characters."""
S = TypeVar("S", bound=msgspec.Struct)


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """What went wrong, and what to do (RFC 9457, application/problem+json)."""

    type: str
    """A name, not an address: urn:kazasu:problem:<code>."""
    title: str
    """What to do, in Japanese."""
    title_en: str
    status: int
    code: str
    """Stable."""
    field: str = ""
    """Which field it is about: its name, or a path into the body."""
    reason: str = ""
    """Of `refused`: which rule of the members' pages said no; stable."""
    reference: str = ""
    """Under which an unexpected failure stands in the office's log."""


CODES: Final[Mapping[str, int]] = {
    "malformed": 400,
    "unauthorized": 401,
    "scope": 403,
    "not-found": 404,
    "method": 405,
    "too-slow": 408,
    "refused": 409,
    "not-eligible": 409,
    "changed-meanwhile": 412,
    "too-large": 413,
    "media-type": 415,
    "invalid": 422,
    "individual-number": 422,
    "tag-missing": 428,
    "too-many": 429,
    "failed": 500,
    "busy": 503,
}
"""Every code, with its status; the sentences stand under `web.api.problem.<code>`."""


class Refused(Exception):
    """The request is answered with a problem."""

    def __init__(self, code: str, field: str = "", *, reason: str = "", sentence: str = "") -> None:
        """`sentence`: a message id that says it better than the code's own."""
        super().__init__(code)
        self.code: Final = code
        self.field: Final = field
        self.reason: Final = reason
        self.sentence: Final = sentence


def problem(
    code: str, field: str = "", *, reason: str = "", sentence: str = "", reference: str = ""
) -> web.Response:
    """Return the answer for what went wrong."""
    told = sentence if sentence and _is_said(sentence) else f"web.api.problem.{code}"
    body = Problem(
        type=f"urn:kazasu:problem:{code}",
        title=say(told, "ja"),
        title_en=say(told, "en"),
        status=CODES[code],
        code=code,
        field=field,
        reason=reason,
        reference=reference,
    )
    response = web.Response(
        body=msgspec.json.encode(body),
        status=CODES[code],
        content_type="application/problem+json",
    )
    if code == "busy":
        response.headers["Retry-After"] = str(BUSY_S)
    return response


def _is_said(sentence: str) -> bool:
    try:
        say(sentence, "ja")
    except (NoSuchText, KeyError):
        return False
    return True


# --- an operation --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Asked:
    """One request that is let in."""

    request: web.Request
    client: Client
    query: Any = None
    body: Any = None
    path: Mapping[str, str] = field(default_factory=dict)

    @property
    def programme(self) -> str:
        """The one programme of this client."""
        return self.client.programme

    @property
    def now_ms(self) -> int:
        """The office's time."""
        return self.request.app[CLOCK].now_ms()

    @property
    def persons(self) -> Any:
        """The database of persons."""
        return self.request.app[PERSONS]

    @property
    def fleet(self) -> Any:
        """The database without."""
        return self.request.app[FLEET]


Handler = Callable[[Asked], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path, as it is served and as it is documented."""

    name: str
    method: str
    path: str
    """Below BASE."""
    scope: Scope
    summary: str
    handler: Handler
    answers: Mapping[int, Any]
    """By status: a Struct, None for an empty answer, or `bytes` for CSV."""
    query: type[msgspec.Struct] | None = None
    body: type[msgspec.Struct] | None = None
    tagged: bool = False
    """It answers with an ETag; one that writes wants it back in If-Match."""
    problems: tuple[str, ...] = ()
    """Codes beside those that every operation has."""


def answer(body: msgspec.Struct | None, status: int = 200, *, tag: str = "") -> web.Response:
    """Return a JSON answer, or an empty one."""
    if body is None:
        return web.Response(status=status)
    response = web.Response(
        body=msgspec.json.encode(body), status=status, content_type="application/json"
    )
    if tag:
        response.headers["ETag"] = tag
    return response


def tag_of(body: msgspec.Struct) -> str:
    """Return the entity tag of an answer: another one as soon as a byte of it is another."""
    return f'"{hashlib.sha256(msgspec.json.encode(body)).hexdigest()[:32]}"'


def require_tag(asked: Asked, present: str) -> None:
    """Let nothing be overwritten blindly. Raises Refused unless If-Match names the present tag."""
    sent = asked.request.headers.get("If-Match", "")
    if not sent:
        raise Refused("tag-missing")
    if present not in [one.strip() for one in sent.split(",")]:
        raise Refused("changed-meanwhile")


# --- what is sent --------------------------------------------------------------------------------


def read_struct(kind: type[S], plain: object, *, strict: bool = True) -> S:
    """Return what was sent as a struct. Raises Refused, naming where it is wrong."""
    refuse_numbers(plain)
    try:
        return msgspec.convert(plain, kind, strict=strict)
    except msgspec.ValidationError as error:
        raise Refused("invalid", _place(str(error))) from None


def _place(error: str) -> str:
    """Return where msgspec says it is, without what was sent there."""
    _, found, place = error.rpartition(" - at `$")
    if found:
        return place.rstrip("`").lstrip(".")[:100]
    for start in ("Object missing required field `", "Object contains unknown field `"):
        if error.startswith(start):
            return error.removeprefix(start).partition("`")[0][:100]
    return ""


def refuse_numbers(plain: object, place: str = "", depth: int = 0) -> None:
    """Raise Refused when any text in what was sent is an individual number, names of fields too."""
    if depth > DEPTH_MAX:
        raise Refused("malformed")
    if isinstance(plain, dict):
        for name, value in plain.items():
            refuse_numbers(name, place, depth + 1)
            refuse_numbers(value, f"{place}.{name}".lstrip(".")[:100], depth + 1)
    elif isinstance(plain, list):
        for value in plain:
            refuse_numbers(value, place, depth + 1)
    elif isinstance(plain, str | int) and looks_like_individual_number(str(plain)):
        raise Refused("individual-number", place)
