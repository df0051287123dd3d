# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the playbooks audit and prune say of a fleet, and the plan files that they write."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).resolve().parents[2] / "playbooks" / "files" / "fleet.py"
SUMMARY = {"total": 1, "live": 1, "leftover": 0, "unknown": 0, "foreign": 0}
UNKNOWN = {"kind": "sandbox", "id": "web-1", "verdict": "unknown", "evidence": ["it is\n locked"]}


def say(job: str, directory: Path, hosts: dict[str, Any], dry: bool = False) -> tuple[list[str], dict[str, str]]:
    """Run it as the playbook does: the lines without the first and the last, and the hosts that failed."""
    given = json.dumps({"directory": str(directory), "dry": dry, "hosts": hosts})
    environment = {**os.environ, "LC_ALL": "C"}
    done = subprocess.run(
        [sys.executable, str(PROGRAM), job], input=given.encode(), stdout=-1, check=True, env=environment
    )
    told = json.loads(done.stdout)
    return told["lines"], told["failed"]


def looked(leftover: int = 0, unknown: int = 0, **more: Any) -> dict[str, Any]:
    """The result of a look at a host."""
    objects = [UNKNOWN] if unknown else []
    summary = {**SUMMARY, "leftover": leftover, "unknown": unknown}
    return {"summary": summary, "objects": objects, "problems": [], "plan": {"steps": []}, "msg": "…", **more}


UNREACHABLE = {"unreachable": True, "msg": "Task failed: no route"}


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (looked(), None),
        (looked(leftover=1), "1 leftover."),
        (looked(leftover=2, unknown=1), "2 leftovers, 1 unknown (sandbox web-1: it is locked)."),
        (looked(unknown=1, objects=[]), "1 unknown."),
        (looked(problems=["/run/vc: no permission"]), "not all could be looked at: /run/vc: no permission."),
        ({"failed": True, "msg": "x" * 400}, f"could not be looked at: {'x' * 299}…"),
        ({"failed": True}, "could not be looked at: no reason is known"),
        (UNREACHABLE, "could not be looked at: unreachable: no route"),
    ],
)
def test_audit_tells_of_a_host(tmp_path: Path, result: dict[str, Any], words: str | None) -> None:
    lines, failed = say("audit", tmp_path, {"wéb": result})
    assert lines[1:-1] == ([] if words is None else [f"wéb: {words}"])
    assert list(failed) == (["wéb"] if "summary" not in result else [])


def test_audit_counts_hosts(tmp_path: Path) -> None:
    hosts = {"a": looked(), "b": looked(leftover=3), "c": looked(leftover=1, unknown=1), "d": UNREACHABLE}
    lines, _failed = say("audit", tmp_path, hosts)
    assert lines[0] == "4 hosts: 1 clean, 2 with leftovers, 1 with something unknown, 1 that could not be looked at."


def test_audit_writes_one_file_a_host_and_none_of_a_failed_one(tmp_path: Path) -> None:
    plans = tmp_path / "new" / "plans"
    hosts = {"a": looked(plan={"steps": [1]}), "../b é": looked(), "c": looked()}
    say("audit", plans, hosts)
    assert sorted(one.name for one in plans.iterdir()) == ["..%2Fb%20%C3%A9.json", "a.json", "c.json"]
    assert {stat.S_IMODE(one.stat().st_mode) for one in plans.iterdir()} == {0o600}
    assert stat.S_IMODE(plans.stat().st_mode) == 0o700
    assert json.loads((plans / "a.json").read_text(encoding="utf-8"))["plan"] == {"steps": [1]}
    (plans / "a.json").chmod(0o644)
    say("audit", plans, {"a": looked(), "c": UNREACHABLE})
    assert sorted(one.name for one in plans.iterdir()) == ["..%2Fb%20%C3%A9.json", "a.json"]
    assert stat.S_IMODE((plans / "a.json").stat().st_mode) == 0o600


def test_audit_in_check_mode_writes_nothing(tmp_path: Path) -> None:
    lines, _failed = say("audit", tmp_path / "plans", {"a": looked(leftover=1)}, dry=True)
    assert lines[1:] == ["a: 1 leftover.", "Check mode: no plan was written."]
    assert not (tmp_path / "plans").exists()


def pruned(*skips: str, changed: bool = True) -> dict[str, Any]:
    """The result of a prune of a host."""
    objects = [
        {"kind": "sandbox", "id": f"w{number}", "action": "skipped", "msg": msg} for number, msg in enumerate(skips)
    ]
    count = f" {len(skips)} skipped: see msg of each in objects." if skips else ""
    return {"changed": changed, "objects": objects, "msg": f"2 leftovers removed (2 sandboxes).{count}"}


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (pruned(), "2 leftovers removed (2 sandboxes)."),
        (pruned(changed=False), None),
        (pruned("It is gone.", changed=False), None),
        (pruned("It is gone."), "2 leftovers removed (2 sandboxes)."),
        (pruned("It is gone.", "Why."), "2 leftovers removed (2 sandboxes). 1 skipped: sandbox w1: Why."),
        (
            pruned(*("W.",) * 5, changed=False),
            "2 leftovers removed (2 sandboxes). 5 skipped: sandbox w0: W. sandbox w1: W. sandbox w2: W. And 2 more.",
        ),
        ({"failed": True, "changed": True, "msg": "no"}, "failed: no"),
        (UNREACHABLE, "failed: unreachable: no route"),
        ({"skipped": True, "changed": False}, None),
    ],
)
def test_prune_tells_of_a_host(tmp_path: Path, result: dict[str, Any], words: str | None) -> None:
    (tmp_path / "a.json").touch()
    lines, failed = say("prune", tmp_path, {"a": result})
    assert lines[1:] == ([] if words is None else [f"a: {words}"])
    assert list(failed) == (["a"] if "objects" not in result and "skipped" not in result else [])


def test_prune_counts_hosts_and_names_those_without_a_plan(tmp_path: Path) -> None:
    (tmp_path / "b.json").touch()
    skipped = {"skipped": True, "changed": False}
    hosts = {"a": pruned(), "b": skipped, "c": skipped, "d": UNREACHABLE}
    lines, _failed = say("prune", tmp_path, hosts)
    counts = [
        "leftovers were removed on 1",
        "nothing was to be done on 1",
        "1 skipped because they have no plan",
        "1 failed",
    ]
    assert lines[0] == f"4 hosts: {', '.join(counts)}."
    assert lines[2] == f"c: it has no plan in {tmp_path}, so it was not touched. Audit it first."


def ask(job: str, **given: Any) -> dict[str, Any]:
    """What it says before the hosts are reached."""
    done = subprocess.run([sys.executable, str(PROGRAM), job], input=json.dumps(given).encode(), stdout=-1, check=True)
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b'{"plan": {"steps": [1]}}', None),
        (b'{"plan": {"steps": []}}', None),
        (b'{"plan":,', "it is no JSON (line 1, column 9)"),
        (b"", "it is no JSON (line 1, column 1)"),
        (b"[" * 100_000, "it is no JSON of an audit"),
        (b'"\xff"', "it is no text in UTF-8"),
        (b"{}", "it has no plan"),
        (b"[]", "it has no plan"),
        (b'{"plan": {"steps": "x"}}', "its plan has no list of steps"),
    ],
)
def test_a_plan_that_is_none_is_told_of_with_its_file(tmp_path: Path, text: bytes, why: str | None) -> None:
    path = tmp_path / "h1.json"
    path.write_bytes(text)
    told = ask("plans", directory=str(tmp_path), hosts=["h1", "without"])
    said = f"{path}: {why}. Mend it, or audit the host again."
    assert told == {"due": ["h1"] if b"[1]" in text else [], "faults": {} if why is None else {"h1": said}}


def test_a_host_with_a_plan_that_is_none_has_failed(tmp_path: Path) -> None:
    (tmp_path / "h1.json").touch()
    skipped = {"skipped": True, "changed": False}
    given = {"directory": str(tmp_path), "dry": False, "faults": {"h1": "h1.json: why", "h2": "h2.json: why"}}
    told = ask("prune", hosts={"h1": skipped, "h2": pruned()}, **given)
    assert told["failed"] == {"h1": "h1.json: why"} and told["lines"][1] == "h1: failed: h1.json: why", told


def test_a_plan_of_another_boot_wants_another_audit(tmp_path: Path) -> None:
    module = PROGRAM.parents[2] / "plugins" / "module_utils" / "_object" / "host_plan.py"
    advice = "Nothing was changed. Make a new plan with sandbox_host_info with_plan=true."
    assert advice in module.read_text(encoding="utf-8")
    result = {"failed": True, "msg": f"plan: it was made for boot_id 1, and here it is 2. {advice}"}
    _lines, failed = say("prune", tmp_path, {"a": result})
    assert failed["a"].endswith("here it is 2. Nothing was changed. Audit the host again.")


@pytest.mark.parametrize("directory", ["/etc/passwd", "/proc/nope"])
def test_a_directory_that_cannot_be_written_to_is_told_of_and_so_is_the_fleet(directory: str) -> None:
    hosts = {"a": looked(leftover=1), "b": UNREACHABLE}
    lines, failed = say("audit", Path(directory), hosts)
    assert lines[1] == "a: 1 leftover." and lines[-1].startswith(f"The plans could not be written to {directory}: ")
    assert failed["a"].startswith(f"the plans could not be written to {directory}: ")
    assert failed["b"] == "unreachable: no route"
    assert ask("ready", directory=directory, dry=False) == {"problem": failed["a"]}


def test_whether_plans_can_be_written_is_seen_before(tmp_path: Path) -> None:
    plans = tmp_path / "new" / "plans"
    assert ask("ready", directory=str(plans), dry=True) == {"problem": ""} and not plans.exists()
    assert ask("ready", directory="/etc/passwd", dry=True)["problem"].endswith(
        "Set sandbox_plans to another directory."
    )
    assert ask("ready", directory=str(plans), dry=False) == {"problem": ""}
    assert [*plans.iterdir()] == [] and stat.S_IMODE(plans.stat().st_mode) == 0o700
