"""Lists of members in: a file is chosen, looked at, and taken in when its report was read.

Every step is a page of its own, so that a clerk may go away meanwhile and come back; what takes
long is done by `fleet.web.import_children`. Wrong cells are shown in their lines.
"""

from collections.abc import Iterator
from typing import Final

import sqlalchemy as sa
from aiohttp import web

from fleet import consent, import_jobs, members_csv, tables
from fleet.consent import Basis
from fleet.import_jobs import Job, JobRefused, State
from fleet.web.data import PERSONS, change, read
from fleet.web.exports import download, format_of, send
from fleet.web.forms import Form, empty_form, read_form, read_post
from fleet.web.import_children import CHILDREN
from fleet.web.pages import CLOCK, render
from fleet.web.reach import number, programme_of, programmes_of, require
from fleet.web.session import ACCOUNT, Flash, account_of, flash
from fleet.web.uploads import Upload
from fleet.web.words import language_of
from programmes.calendar import local_day
from programmes.texts import say
from wire.individual_number import looks_like_individual_number

FILE_BYTES_MAX: Final = 20 * 1024 * 1024
"""100,000 members with cards and readings make 13 MB of CSV, and 8 MB as a workbook."""
PATH: Final = "/import"
_SAMPLE: Final = (
    ("registration_number", "S-0001"),
    ("name", "見本 花子"),
    ("kana", "ミホン ハナコ"),
    ("birth_date", "1950-02-28"),
    ("category", ""),
    ("valid_from", "2026-04-01"),
    ("valid_to", ""),
    ("household", ""),
)
"""One line of the empty list: nobody's."""
routes = web.RouteTableDef()


def file_bytes_of(request: web.Request) -> int:
    """Return how large a file may come with this request: with none but a clerk's upload."""
    parts = request.path.split("/")
    if request.method != "POST" or len(parts) != 3 or f"/{parts[1]}" != PATH:
        return 0
    return FILE_BYTES_MAX if request.get(ACCOUNT) is not None else 0


async def _job(request: web.Request) -> Job:
    """Return the job in the address. Raises HTTPNotFound when it is out of reach."""
    found = await read(request.app[PERSONS], import_jobs.get, number(request, "job"))
    if found is None:
        raise web.HTTPNotFound
    require(request, found.programme)
    now_ms = request.app[CLOCK].now_ms()
    if not found.is_silent(now_ms):
        return found
    await change(request.app[PERSONS], import_jobs.cut, found.id, now_ms)
    return found._replace(state=State.CUT)


def _by(request: web.Request) -> tuple[str, int]:
    return account_of(request).name, request.app[CLOCK].now_ms()


# --- choosing a file -----------------------------------------------------------------------------


def _runs(job: Job, at_ms: int) -> bool:
    return job.state in import_jobs.RUNNING and not job.is_silent(at_ms)


async def _page(
    request: web.Request, programme: str, form: Form, status: int = 200
) -> web.Response:
    jobs = await read(request.app[PERSONS], import_jobs.newest, programme)
    return await render(
        request,
        "import.html",
        status,
        section=PATH,
        programmes=programmes_of(request),
        programme=programme,
        form=form,
        jobs=jobs,
        running=next((one for one in jobs if _runs(one, request.app[CLOCK].now_ms())), None),
        headings=members_csv.HEADINGS,
        mb=FILE_BYTES_MAX // 1024 // 1024,
    )


@routes.get(PATH)
async def show(request: web.Request) -> web.Response:
    """Where a file is chosen, and what came of the last ones."""
    return await _page(request, programme_of(request), empty_form(request))


@routes.get(PATH + "/empty")
async def empty(request: web.Request) -> web.StreamResponse:
    """An empty list with the right headings, to be filled in."""
    headings = {name: heading for heading, name in members_csv.HEADINGS.items()}
    japanese = language_of(request) == "ja"
    heads = [headings[name] if japanese else name for name, _ in _SAMPLE]
    return await download(request, "members", heads, [[value for _, value in _SAMPLE]])


@routes.post(PATH + r"/{programme:[a-z0-9-]{1,32}}")
async def upload(request: web.Request) -> web.Response:
    """Take a file, and have it looked at."""
    programme = require(request, request.match_info["programme"])
    form = await read_form(request, {})
    sent = (await read_post(request)).get("file")
    if not isinstance(sent, Upload) or not sent.body:
        form.refuse("file", "web.import.no-file")
        return await _page(request, programme, form, 422)
    stem = sent.name.rpartition(".")[0] or sent.name
    name = say("web.import.nameless", form.language)
    if not looks_like_individual_number(stem) and sent.name.isprintable():
        name = sent.name
    try:
        job = await change(request.app[PERSONS], import_jobs.begin, programme, name, *_by(request))
    except JobRefused as error:
        form.refuse("file", f"web.import.refused.{error.reason}")
        return await _page(request, programme, form, 409)
    await request.app[CHILDREN].start(job, request.app[CLOCK].now_ms(), sent.body)
    raise web.HTTPSeeOther(f"{PATH}/jobs/{job}")


# --- one file ------------------------------------------------------------------------------------


async def _show_job(request: web.Request, job: Job, form: Form, status: int = 200) -> web.Response:
    if job.shows_people:  # a look is written down, and waits while a list is being written
        seen = await change(request.app[PERSONS], import_jobs.see, job.id, *_by(request))
        job = seen or job
    return await render(
        request,
        "import_job.html",
        status,
        section=PATH,
        job=job,
        report=job.report,
        form=form,
        basis=await read(request.app[PERSONS], _basis, request, job.programme),
        errors_by_line=job.report.errors_by_line() if job.report else {},
        columns=job.report.columns if job.report else [],
        running=job.state in import_jobs.RUNNING,
        shown_max=import_jobs.SHOWN_MAX,
    )


def _basis(connection: sa.Connection, request: web.Request, programme: str) -> Basis | None:
    day = local_day(request.app[CLOCK].now_ms())
    return consent.basis_on(connection, programme, day)


@routes.get(PATH + r"/jobs/{job:\d+}")
async def show_job(request: web.Request) -> web.Response:
    """How far a file is, and what would be done or was done."""
    return await _show_job(request, await _job(request), empty_form(request))


@routes.get(PATH + r"/jobs/{job:\d+}/now")
async def now(request: web.Request) -> web.Response:
    """The bar alone; when the work has ended the page is to be loaded again."""
    job = await _job(request)
    if job.state in import_jobs.RUNNING:
        return await render(request, "_import_now.html", job=job)
    return web.Response(headers={"HX-Refresh": "true"})


@routes.post(PATH + r"/jobs/{job:\d+}/take")
async def take(request: web.Request) -> web.Response:
    """Take a file in, as it was looked at."""
    job = await _job(request)
    form = await read_form(request, {"consent": 10})
    basis = await read(request.app[PERSONS], _basis, request, job.programme)
    basis_id = basis.id if basis is not None and form["consent"] == "yes" else None
    return await _step(request, job, import_jobs.begin_taking, basis_id, *_by(request), work=True)


@routes.post(PATH + r"/jobs/{job:\d+}/drop")
async def drop(request: web.Request) -> web.Response:
    """Give a file up; nothing of it was taken in."""
    now_ms = request.app[CLOCK].now_ms()
    return await _step(request, await _job(request), import_jobs.drop, now_ms, work=False)


async def _step(
    request: web.Request, job: Job, step: object, *arguments: object, work: bool
) -> web.Response:
    form = empty_form(request)
    try:
        await change(request.app[PERSONS], step, job.id, *arguments)  # type: ignore[arg-type]
    except JobRefused as error:
        form.refuse("job", f"web.import.refused.{error.reason}")
        return await _show_job(request, job, form, 409)
    if work:
        await request.app[CHILDREN].start(job.id, request.app[CLOCK].now_ms(), b"")
    raise web.HTTPSeeOther(f"{PATH}/jobs/{job.id}")


@routes.post(PATH + r"/jobs/{job:\d+}/undo")
async def undo(request: web.Request) -> web.Response:
    """Look at the file that takes an import back; it is taken in like any other."""
    job = await _job(request)
    who, now_ms = _by(request)

    def begin(connection: sa.Connection) -> tuple[int, bytes]:
        _, held = import_jobs.save(connection, job.id, who, now_ms)
        name = say("web.import.undo-of", language_of(request), name=job.file_name)
        return import_jobs.begin(connection, job.programme, name, who, now_ms), held

    try:
        if job.state is not State.TAKEN:
            raise JobRefused("state", "only what was taken in can be taken back")
        new, held = await change(request.app[PERSONS], begin)
    except JobRefused as error:
        form = empty_form(request)
        form.refuse("job", f"web.import.refused.{error.reason}")
        return await _show_job(request, job, form, 409)
    await request.app[CHILDREN].start(new, now_ms, held)
    raise web.HTTPSeeOther(f"{PATH}/jobs/{new}")


@routes.get(PATH + r"/jobs/{job:\d+}/file")
async def save(request: web.Request) -> web.StreamResponse:
    """The lines of the file with what is wrong in each, or the file that takes an import back."""
    job = await _job(request)
    try:
        found, held = await change(request.app[PERSONS], import_jobs.save, job.id, *_by(request))
    except JobRefused as error:
        await flash(request, Flash("bad", f"web.import.refused.{error.reason}"))
        raise web.HTTPSeeOther(f"{PATH}/jobs/{job.id}") from error
    heads, rows = import_jobs.marked(found, held, language_of(request))
    name = "undo" if found.state is State.TAKEN else "errors"
    pieces: Iterator[bytes] = tables.write(format_of(request), heads, rows)
    return await send(request, f"{name}-{found.id}", format_of(request), pieces)
