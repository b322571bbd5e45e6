"""The slip: what stands on the paper, what never does, and a press that is not overrun."""

import asyncio
import datetime
from collections.abc import Iterator

import sqlalchemy as sa
from weasyprint import HTML

from fleet import consent, paper, slips
from fleet.schema import person_audit
from fleet.slips import Slip
from programmes.texts import Language
from tests.fleet.test_consent import BASIS, PASS
from tests.fleet.test_enrolment import HANA, enrol, new_card, undo
from tests.fleet.virtual import NOON_MS, VirtualFleet
from wire.credential import Scheme

D = datetime.date
GIVEN = consent.Consent(
    "given",
    "desk",
    NOON_MS,
    "hana",
    "",
    BASIS.ordinance,
    BASIS.article,
    BASIS.ordinance_date,
    BASIS.wording,
    "I consent to the use of my card's identifier.",
    BASIS.contact,
)
SLIP = Slip(
    7,
    PASS,
    "S-0042",
    "渡邉 舞",
    "ワタナベ マイ",
    D(1940, 4, 1),
    "市内線",
    D(2026, 6, 3),
    D(2027, 3, 31),
    (Scheme.COMMON_AP.value,),
    GIVEN,
    D(2026, 6, 3),
    D(2026, 6, 3),
)


def pages(slip: Slip, language: Language = "ja") -> list[str]:
    """Return what is drawn on each page, as WeasyPrint has laid it out."""
    laid_out = HTML(string=paper.to_html(slips.TEMPLATE, language, slip=slip)).render()
    return ["".join(_texts(page._page_box)) for page in laid_out.pages]


def _texts(box: object) -> Iterator[str]:
    if isinstance(text := getattr(box, "text", None), str):
        yield text
    for child in getattr(box, "children", ()):
        yield from _texts(child)


def test_one_sheet_says_what_on_what_ground_until_when_and_whom_to_call() -> None:
    (page,) = pages(SLIP)
    for said in (
        "敬老バス 登録のお知らせ",
        "渡邉 舞 様",
        "S-0042",
        "ワタナベ マイ",
        "1940年4月1日（昭和15年）",
        "市内線",
        "2026年6月3日（令和8年） から 2027年3月31日（令和9年） まで",
        "マイナンバーカード",
        BASIS.wording,
        "かざす市敬老乗車証条例 第5条第1項（2026年3月20日（令和8年））",
        "同意した日: 2026年6月3日（令和8年）",
        "この制度の利用だけが終わり",
        BASIS.contact,
    ):
        assert said in page


def test_in_english_the_citys_own_words_stay_beside_english_ones() -> None:
    (page,) = pages(SLIP, "en")
    for said in ("Enrolment", "from 3 June 2026 to 31 March 2027", "渡邉 舞", BASIS.contact):
        assert said in page
    assert "I consent to the use of my card's identifier." in page
    assert BASIS.wording not in page


def test_a_slip_without_card_consent_birth_date_and_end_is_whole() -> None:
    bare = SLIP._replace(schemes=(), consent=None, birth_date=None, category="", valid_to=None)
    (page,) = pages(bare)
    assert "まだありません" in page
    assert "2026年6月3日（令和8年） から" in page
    assert "同意" not in page
    (page,) = pages(bare._replace(valid_from=None))
    assert "期限なし" in page


def test_the_longest_names_stay_on_the_paper() -> None:
    long = SLIP._replace(name="寿" * 60, kana="ジュ" * 30, registration_number="9" * 32)
    assert len(pages(long)) <= 2
    assert "寿" * 60 in "".join(pages(long))


def test_what_was_enrolled_is_printed_without_what_the_card_is_known_as(
    fleet: VirtualFleet,
) -> None:
    held = new_card(Scheme.FELICA_IDM)
    member_id = enrol(fleet, HANA, [held])
    with fleet.people.write() as connection:
        slip = slips.slip(connection, member_id, "umi", NOON_MS)
        (line,) = connection.execute(
            sa.select(person_audit.c.what, person_audit.c.subject).where(
                person_audit.c.who == "umi"
            )
        )
    assert slip is not None
    assert slip[:8] == (member_id, PASS, "A-1", *HANA[1:7][:3], "all", D(2026, 6, 3))
    assert slip.schemes == ("felica-idm",)
    assert slip.consent is not None
    assert slip.consent.article == BASIS.article
    assert held.credential not in paper.to_html(slips.TEMPLATE, "ja", slip=slip)
    assert tuple(line) == ("slip.printed", f"{PASS} A-1")


def test_nobody_gets_a_slip_who_is_not_there_or_was_taken_back(fleet: VirtualFleet) -> None:
    member_id = enrol(fleet)
    undo(fleet, member_id)
    with fleet.people.write() as connection:
        assert slips.slip(connection, member_id, "hana", NOON_MS) is None
        assert slips.slip(connection, 99, "hana", NOON_MS) is None


def test_a_name_is_text_whatever_stands_in_it() -> None:
    evil = '<img src="file:///etc/hostname">'
    assert evil in "".join(pages(SLIP._replace(name=evil)))


async def test_only_so_many_pages_are_made_at_once_and_the_rest_is_told_to_wait() -> None:
    press = paper.Press()
    some = [press.pdf("paper.html", "ja") for _ in range(paper.WAITING_MAX + 3)]
    done = await asyncio.gather(*some, return_exceptions=True)
    assert sum(isinstance(one, bytes) and one.startswith(b"%PDF-") for one in done) == (
        paper.WAITING_MAX
    )
    assert sum(isinstance(one, paper.PaperBusy) for one in done) == 3
    assert (await press.pdf(slips.TEMPLATE, "ja", slip=SLIP)).startswith(b"%PDF-")
