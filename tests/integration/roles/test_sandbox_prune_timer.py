# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role sandbox_prune_timer on a booted systemd, with the real ansible-pull, git, and leftovers of gVisor."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.tests.lab import ansible_pull, roles
from ansible_collections.sandboxed.containers.tests.lab.ansible_pull import Repository
from ansible_collections.sandboxed.containers.tests.lab.booted import Booted
from ansible_collections.sandboxed.containers.tests.lab.packages import Unavailable, checkout
from ansible_collections.sandboxed.containers.tests.lab.roles import changes, files, refusal
from ansible_collections.sandboxed.containers.tests.lab.workspace import Outcome

pytestmark = pytest.mark.real
ROLE = "sandbox_prune_timer"
RESULT, LOCK = "/var/lib/sandbox_prune_timer/result.json", "/run/sandbox_prune_timer.lock"
METRICS = "/var/lib/metrics/sandbox_prune.prom"
GONE = {"sandbox_prune_timer_state": "absent"}
# The modules see a container, in which they would take nothing for dead.
ASSERTED = {"sandbox_prune_sees_all_processes": True, "sandbox_prune_min_age": 0}
PRUNE = [{"name": "Prune", "ansible.builtin.import_playbook": "sandboxed.containers.prune"}]
NAMESPACE = {"ansible.builtin.command": {"argv": ["cp", "-P", "/proc/self/ns/mnt", "/srv/namespace"]}}
LOOK = [{"hosts": "localhost", "gather_facts": False, "tasks": [NAMESPACE]}]


def pruning() -> list[dict[str, Any]]:
    """What an operator's local.yml has."""
    if (checkout() / "playbooks/prune.yml").exists():
        return PRUNE
    names = ("scope", "max_removals", "sees_all_processes", "min_age")
    task = {"sandboxed.containers.sandbox_prune": {name: f"{{{{ sandbox_prune_{name} }}}}" for name in names}}
    limit = {"sandbox_prune_max_removals": 100, "sandbox_prune_scope": ""}  # which the timer's own ones override
    return [{"hosts": "all", "gather_facts": False, "tasks": [task], "vars": limit}]


@pytest.fixture
def pulling(system: Booted) -> Booted:
    """With ansible-core and git."""
    try:
        ansible_pull.install(system)
    except Unavailable as exc:
        pytest.skip(str(exc))
    return system


def variables(repository: str, limit: int = 5) -> dict[str, Any]:
    return {
        "sandbox_prune_timer_repository": repository,
        # As -e key=value gives them.
        "sandbox_prune_timer_max_removals": str(limit),
        "sandbox_prune_timer_timeout": "900",
        "sandbox_prune_timer_verify_commit": "false",
        "sandbox_prune_timer_accept_host_key": "no",
        "sandbox_prune_timer_variables": ASSERTED,
        "sandbox_prune_timer_environment": {"SECRET": "hidden-word"},
        "sandbox_prune_timer_textfile_dir": "/var/lib/metrics",
    }


def leave(system: Booted, *names: str) -> None:
    """What dead sandboxes leave."""
    system.must("mkdir", "-p", "-m", "711", "/run/runsc")
    for name in names:
        state = {"id": name, "status": "running", "sandbox": {"id": name, "pid": 4000000}, "goferPid": 4000001}
        path = system.path(f"/run/runsc/{name}_sandbox:{name}.state")
        path.write_text(json.dumps(state), encoding="utf-8")
        path.with_suffix(".lock").touch()


def left(system: Booted) -> list[str]:
    return sorted(name for name in system.must("ls", "/run/runsc").split() if name.endswith(".state"))


def start(system: Booted) -> Outcome:
    """Run the service to its end, and what it has said."""
    code = system.run("systemctl", "start", "sandbox-prune.service").code
    return Outcome(code, said(system))


def said(system: Booted) -> str:
    return system.must("journalctl", "--unit=sandbox-prune", "--output=cat", "--no-pager")


def result(system: Booted) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(system.must("cat", RESULT))
    return content


def metrics(system: Booted) -> dict[str, float]:
    lines = system.must("cat", METRICS).splitlines()
    rows = [line.split() for line in lines if not line.startswith("#")]
    return {name.replace("sandbox_prune_", ""): float(value) for name, value in rows}


@pytest.mark.long
def test_host_pulls_and_prunes_within_its_limit_under_its_lock(pulling: Booted) -> None:
    system = pulling
    repository = Repository(system, "/srv/hosts")
    repository.commit([*LOOK, *pruning()])
    system.must("mkdir", "/var/lib/metrics")
    leave(system, "one", "two", "three")
    before, known = files(system), variables(repository.url)
    ahead = roles.play(system, ROLE, known, "--check", "--diff")
    assert changes(ahead) > 0 and "hidden-word" not in ahead.output
    assert files(system) == before
    assert "hidden-word" not in roles.play(system, ROLE, known, "--diff").output
    assert changes(roles.play(system, ROLE, known)) == 0
    settings = json.loads(system.must("cat", "/etc/sandbox_prune_timer/settings.json"))
    assert settings["timeout"] == 900 and not {"--verify-commit", "--accept-host-key"} & {*settings["command"]}
    assert json.loads(system.must("cat", "/etc/sandbox_prune_timer/variables.json"))["sandbox_prune_max_removals"] == 5
    assert "TimeoutStartUSec=16min" in system.must("systemctl", "show", "sandbox-prune.service")
    assert "sandbox-prune.timer" in system.must("systemctl", "list-timers", "--no-legend")
    assert system.must("systemctl", "is-enabled", "sandbox-prune.timer") == "enabled"

    done = start(system)
    assert done.code == 0, done.output
    found = result(system)
    assert (found["outcome"], found["removed"], found["exit_code"]) == ("success", 3, 0), found
    assert left(system) == [] and "3 leftovers removed" in found["msg"]
    assert system.must("readlink", "/srv/namespace") == system.must("readlink", "/proc/1/ns/mnt")
    assert system.must("stat", "-c", "%a", RESULT, METRICS, "/etc/sandbox_prune_timer").split() == ["600", "644", "700"]
    shown = metrics(system)
    assert (shown["success"], shown["removed_objects"], shown["failed_objects"]) == (1, 3, 0)
    success = found["last_success"]

    leave(system, *(f"box-{number}" for number in range(6)))
    assert start(system).code == 1
    found = result(system)
    assert (found["outcome"], found["removed"], found["last_success"]) == ("failed", 0, success), found
    assert "max_removals" in found["msg"] and len(left(system)) == 6
    assert (metrics(system)["success"], metrics(system)["last_success_timestamp_seconds"]) == (0, success)

    repository.commit(LOOK)
    assert start(system).code == 1
    assert (result(system)["outcome"], result(system)["exit_code"]) == ("not_pruned", 0)

    before_lock = result(system)
    hold = f"import fcntl, os; lock = open('{LOCK}'); fcntl.flock(lock, 2); os.system('systemctl start sandbox-prune')"
    system.must("python3", "-c", hold)
    assert result(system) == before_lock
    assert "another run has the lock" in said(system)

    assert changes(roles.play(system, ROLE, GONE, "--check")) > 0
    assert changes(roles.play(system, ROLE, GONE)) > 0
    others = {
        path
        for path in files(system) ^ before
        if not path.startswith(("/srv", "/run/runsc", LOCK, "/usr/local/libexec"))
    }
    assert others == set()
    assert changes(roles.play(system, ROLE, GONE)) == 0


@pytest.mark.long
def test_another_place_of_the_metrics_leaves_no_old_ones(pulling: Booted) -> None:
    system = pulling
    Repository(system, "/srv/hosts").commit(pruning())
    system.must("mkdir", "/var/lib/metrics", "/var/lib/other")
    known = variables("file:///srv/hosts")
    changes(roles.play(system, ROLE, known))
    assert start(system).code == 0
    moved = {**known, "sandbox_prune_timer_textfile_dir": "/var/lib/other", "sandbox_prune_timer_on_calendar": "hourly"}
    assert changes(roles.play(system, ROLE, moved)) > 0
    assert system.must("ls", "/var/lib/metrics") == ""
    assert start(system).code == 0
    assert system.must("ls", "-A", "/var/lib/other") == "sandbox_prune.prom"
    assert "OnCalendar=hourly" in system.must("systemctl", "show", "sandbox-prune.timer").replace(
        "*-*-* *:00:00", "hourly"
    )
    assert changes(roles.play(system, ROLE, moved)) == 0
    changes(roles.play(system, ROLE, GONE))
    assert system.must("ls", "-A", "/var/lib/other") == ""


@pytest.mark.long
def test_a_host_without_ansible_is_told_so(system: Booted) -> None:
    before = files(system)
    message = refusal(roles.play(system, ROLE, {**variables("https://git.example.com/hosts.git")}))
    assert "booted lacks ansible-core 2.19 or newer, with ansible-pull, and git: the timer runs ansible-pull" in message
    old = system.path("/usr/local/bin/ansible-pull")
    old.write_text("#!/bin/sh\necho 'ansible-pull [core 2.14.18]'\n", encoding="utf-8")
    old.chmod(0o755)
    message = refusal(roles.play(system, ROLE, {**variables("https://git.example.com/hosts.git")}))
    assert "lacks ansible-core 2.19 or newer, with ansible-pull (it is 2.14), and git:" in message
    assert files(system) - before == {str(old).partition("/root")[2]}


@pytest.mark.long
def test_wrong_input_is_refused(pulling: Booted) -> None:
    known = variables("https://git.example.com/hosts.git")
    for wrong, text in (
        ({"sandbox_prune_timer_max_removals": 0}, "are both required. Nobody looks on"),
        ({"sandbox_prune_timer_repository": ""}, "are both required. Nobody looks on"),
        ({"sandbox_prune_timer_repository": "https://x/$(reboot)"}, "must not have blanks, quotes or other signs"),
        ({"sandbox_prune_timer_repository": "https://me:word@x/hosts"}, "has a password, or a token"),
        ({"sandbox_prune_timer_repository": "https://token@x/hosts"}, "or a token as its user, which every user"),
        ({"sandbox_prune_timer_playbook": "a; b"}, "must not have blanks, quotes or other signs"),
        ({"sandbox_prune_timer_on_calendar": "now and then"}, '_on_calendar: \\"now and then\\" is not what'),
        ({"sandbox_prune_timer_textfile_dir": "/nowhere"}, "_textfile_dir: /nowhere is no directory of the host"),
    ):
        assert text in refusal(roles.play(pulling, ROLE, {**known, "sandbox_prune_timer_textfile_dir": "", **wrong}))
