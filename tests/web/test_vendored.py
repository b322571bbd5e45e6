"""What is vendored is what its manifest says, and what we wrote ourselves is written once."""

import json
import re
from hashlib import sha256
from pathlib import Path

import fleet.web
from fleet.alarms import AlarmKind
from fleet.attention import Urgency
from fleet.desk import Standing
from fleet.readers import TROUBLES, ReaderState
from fleet.scheme_facts import CHANGES, GROUND, SIGN, text_id
from fleet.web.schemes_page import MARKS
from programmes.register import RULEBOOKS
from programmes.texts import LANGUAGES, catalogue
from wire.credential import Scheme
from wire.messages import STAGES

WEB = Path(fleet.web.__file__).parent
VENDOR = WEB / "static" / "vendor"
LICENCES = {"0BSD", "MIT", "ISC", "BSD-2-Clause", "BSD-3-Clause"}


def test_every_vendored_file_has_the_hash_and_the_licence_that_the_manifest_names() -> None:
    manifest = json.loads((VENDOR / "manifest.json").read_text())
    named = {name: digest for package in manifest for name, digest in package["files"].items()}
    lying = {
        path.relative_to(VENDOR).as_posix(): sha256(path.read_bytes()).hexdigest()
        for path in VENDOR.rglob("*")
        if path.is_file() and path.name != "manifest.json"
    }
    assert lying == named
    for package in manifest:
        assert package["licence"] in LICENCES
        assert re.fullmatch(r"\d+\.\d+\.\d+", package["version"])
        assert any(name.endswith("/LICENSE") for name in package["files"])


def test_no_template_or_style_of_ours_names_another_host_or_holds_a_script() -> None:
    ours = [*WEB.glob("templates/*.html"), *WEB.glob("static/*.*")]
    assert len(ours) > 10
    for path in ours:
        text = path.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"(https?:)?//[a-z0-9-]+\.[a-z]", text), path.name
        if path.suffix == ".html":
            assert not re.search(r"<script(?! src=)|\son[a-z]+=|\sstyle=|javascript:", text), (
                path.name
            )


def _asked_for() -> set[str]:
    """Every message id that a template, or a page's code, names whole."""
    asked: set[str] = set()
    for path in [*WEB.glob("templates/*.html"), *WEB.glob("*.py")]:
        asked |= set(
            re.findall(r"""["'](web\.[a-z0-9.-]+[a-z0-9_])["'](?! ~)""", path.read_text("utf-8"))
        )
    return asked


def _made() -> set[str]:
    """Message ids that are made of a stable word, for every such word."""
    made = {f"web.state.{state}" for state in ReaderState}
    made |= {f"web.count.state.{state}" for state in ReaderState}
    made |= {f"web.reader.state.{state}" for state in ReaderState}
    made |= {f"web.urgency.{urgency.value}" for urgency in Urgency}
    made |= {f"web.stage.name.{stage}" for stage in STAGES}
    made |= {f"web.scheme.{scheme}" for scheme in Scheme}
    made |= {text_id(scheme, part) for scheme in Scheme for part in (GROUND, SIGN, CHANGES)}
    made |= {f"web.scheme.state.{state}" for state in MARKS}
    made |= {f"web.scheme.warning.{state}" for state in ("ends-soon", "ended")}
    made |= {f"web.scheme.kind.{kind}" for kind in ("stated", "taken-over", "ended")}
    made |= {f"web.moving.state.{state}" for state in ("running", "stopped", "over")}
    enrolling = ("not-stated", "not-yet", "ended")
    made |= {f"web.scheme.refused.{reason}" for reason in (*enrolling, "moving")}
    campaign = ("same", "deadline", "running", "not-running", "nobody", "why")
    made |= {f"web.moving.refused.{reason}" for reason in (*enrolling, *campaign)}
    made |= {f"web.members.{standing.value}" for standing in Standing}
    made |= {f"web.programme.{name}" for name in RULEBOOKS}
    made |= {f"web.alarm-kind.{kind}" for kind in AlarmKind}
    tasks = [f"alarm.{kind}" for kind in AlarmKind if kind is not AlarmKind.GAP]
    tasks += [f"not-ready.{trouble}" for trouble in (*TROUBLES, "other")]
    tasks += ["gap.declared-lost", "gap.not-arrived", "offline", "never", "waiting", "reported"]
    made |= {f"web.task.{task}.{part}" for task in tasks for part in ("what", "do")}
    return made | {f"web.trouble.{trouble}" for trouble in (*TROUBLES, "other")}


def test_every_sentence_that_a_page_asks_for_is_in_both_catalogues() -> None:
    asked = _asked_for() | _made()
    assert len(asked) > 250
    for language in LANGUAGES:
        assert sorted(asked - set(catalogue(language))) == []


def test_both_catalogues_name_the_same_arguments() -> None:
    japanese, english = (catalogue(language) for language in LANGUAGES)
    for message in (one for one in japanese if one.startswith("web.")):
        names = [set(re.findall(r"{(\w+)}", texts[message])) for texts in (japanese, english)]
        assert names[0] == names[1], message
