"""The command as a person types it, in a process of its own."""

import subprocess
import sys
from pathlib import Path

from tests.provisioning.test_town import TOWN

DEADLINE_S = 30


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    code = "from provisioning.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


def test_from_a_town_to_credentials(tmp_path: Path) -> None:
    town, folder = tmp_path / "town.toml", tmp_path / "local"
    town.write_text(TOWN, "utf-8")
    made = run("local", folder, "--town", town)
    assert made.returncode == 0, made.stderr
    assert "kazasu-shi: 1 readers" in made.stdout

    source, target = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text("scheme,identifier\ncommon-ap,123456789012345\n")
    keys = folder / "keys" / "programme-keys.json"
    arguments = ("credentials", source, target, "--keys", keys, "--programme", "senior-pass")
    done = run(*arguments)
    assert done.returncode == 0, done.stderr
    assert "1 credentials of senior-pass, key epoch 1" in done.stdout
    assert "123456789012345" not in done.stdout + done.stderr + target.read_text()

    again = run(*arguments)
    assert again.returncode == 1
    assert "is there already" in again.stderr


def test_a_refusal_is_one_sentence_for_each_line_and_no_traceback(tmp_path: Path) -> None:
    town, folder = tmp_path / "town.toml", tmp_path / "local"
    town.write_text(TOWN, "utf-8")
    run("local", folder, "--town", town)
    source = tmp_path / "in.csv"
    source.write_text("scheme,identifier\ncommon-ap,1\n[bold]x[/],1\n")
    keys = folder / "keys" / "programme-keys.json"
    done = run("credentials", source, tmp_path / "o", "--keys", keys, "--programme", "senior-pass")
    assert done.returncode == 1
    assert "line 2" in done.stderr
    assert "line 3" in done.stderr
    assert "Traceback" not in done.stderr
    unknown = run("credentials", source, tmp_path / "o", "--keys", keys, "--programme", "taxi")
    assert unknown.returncode == 1
    assert "senior-pass" in unknown.stderr


def test_a_new_epoch_is_begun_and_used(tmp_path: Path) -> None:
    town, folder = tmp_path / "town.toml", tmp_path / "local"
    town.write_text(TOWN, "utf-8")
    run("local", folder, "--town", town)
    assert run("epoch", folder, "--programme", "senior-pass").stdout == "senior-pass: epoch 2\n"
    refused = run("epoch", folder, "--programme", "senior-pass")
    assert refused.returncode == 1
    assert "members unmoved senior-pass" in refused.stderr
    again = run("epoch", folder, "--programme", "senior-pass", "--yes")
    assert again.stdout == "senior-pass: epoch 3\n"
    source = tmp_path / "in.csv"
    source.write_text("scheme,identifier\ncommon-ap,123456789012345\n")
    keys, target = folder / "keys" / "programme-keys.json", tmp_path / "out.csv"
    run("credentials", source, target, "--keys", keys, "--programme", "senior-pass")
    assert target.read_text().splitlines()[1].endswith(",common-ap,3")


def test_the_broker_alone_is_written_for_other_ports(tmp_path: Path) -> None:
    town, folder = tmp_path / "town.toml", tmp_path / "local"
    town.write_text(TOWN, "utf-8")
    run("local", folder, "--town", town)
    town.write_text(TOWN.replace("2001", "4001"), "utf-8")
    assert run("broker", folder, "--town", town).returncode == 0
    conf = (folder / "broker" / "mosquitto.conf").read_text("utf-8")
    assert "listener 4001 127.0.0.1" in conf
    assert "2001" in (folder / "readers" / "bus-1" / "edge.toml").read_text("utf-8")


def test_a_file_that_is_not_there_is_named_with_what_to_do(tmp_path: Path) -> None:
    for path, told in ((tmp_path / "none.toml", "there is no such file"), (tmp_path, "a folder")):
        done = run("local", tmp_path / "local", "--town", path)
        assert done.returncode == 1
        assert f"{path}: " in done.stderr
        assert told in done.stderr
        assert "Errno" not in done.stderr
