# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where systemd runs a daemon has a transient unit of its own: it outlives what started it, and on_quit follows it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.tests.lab import booted, processes
from ansible_collections.sandboxed.containers.tests.lab.booted import Booted
from ansible_collections.sandboxed.containers.tests.lab.file_daemon import EXECUTABLES
from ansible_collections.sandboxed.containers.tests.lab.guest import Guest, kernel
from ansible_collections.sandboxed.containers.tests.lab.packages import Unavailable

pytestmark = [pytest.mark.real, pytest.mark.long]
NAME = "unit-web"
SHARE, SOCKET, LOG, QUIT = "/srv/web", "/run/unit-web.sock", "/run/unit-web.log", "/run/it quit"
MODULE = "sandboxed.containers.virtiofsd_daemon"


@pytest.fixture(scope="module")
def system() -> Iterator[Booted]:
    """A booted Debian 12 with a directory to share."""
    why = booted.available()
    if why:
        pytest.skip(why)
    try:
        kernel()
        executables = {dialect: str(get()) for dialect, get in EXECUTABLES.items()}
        started = Booted()
    except Unavailable as exc:
        pytest.skip(str(exc))
    assert executables
    with started:
        started.must("mkdir", SHARE)
        (started.path(SHARE) / "hello").write_text("hello from the host\n", encoding="utf-8")
        yield started


def task(system: Booted, options: dict[str, Any], keep: bool = False) -> dict[str, Any]:
    """Run the module over ssh; what it answered."""
    dump = {"ansible.builtin.copy": {"content": "{{ done | to_json }}", "dest": "/run/answer"}}
    tasks = [{MODULE: options, "register": "done", "ignore_errors": True}, dump]
    outcome = system.play([{"hosts": "booted", "gather_facts": False, "tasks": tasks}], keep=keep)
    assert outcome.code == 0, outcome.output
    answer: dict[str, Any] = json.loads(system.must("cat", "/run/answer"))
    return answer


def options(dialect: str, **more: Any) -> dict[str, Any]:
    executable = str(EXECUTABLES[dialect]())
    given = {"name": NAME, "socket_path": SOCKET, "shared_dir": SHARE, "executable": executable, "log_file": LOG}
    return {**given, **more}


def unit_of(system: Booted) -> str:
    """The unit of the daemon that runs, by its record."""
    record = json.loads(system.must("cat", f"/run/sandboxed.containers/virtiofsd/{NAME}.json"))
    return str(record["unit"])


def is_there(system: Booted, path: str) -> bool:
    return system.run("test", "-e", path).code == 0


@pytest.fixture
def clean(system: Booted) -> Iterator[Booted]:
    """Nothing of a test stays in the system that they share."""
    yield system
    task(system, {"name": NAME, "state": "stopped", "force": True})
    system.must("rm", "-f", QUIT)
    assert "sandboxed-virtiofsd" not in system.must("systemctl", "list-units", "--all", "--no-legend")


# The one in C needs libraries that are not in the system; the role's tests have it there, from its package.
@pytest.mark.parametrize("dialect", ["rust"])
def test_a_daemon_is_a_unit_that_outlives_its_ssh_session(clean: Booted, dialect: str) -> None:
    first = task(clean, options(dialect))
    assert first["changed"], first
    unit = unit_of(clean)
    assert first["daemons"][0]["unit"] == unit
    pid = clean.must("systemctl", "show", "--property=MainPID", "--value", unit)
    assert pid == str(first["daemons"][0]["pid"])
    assert clean.must("cat", f"/proc/{pid}/cgroup").endswith(f"/system.slice/{unit}")
    assert not task(clean, options(dialect))["changed"]
    assert Guest(clean.path(SOCKET)).run() == "hello from the host"
    assert (clean.path(SHARE) / "written").read_text(encoding="utf-8") == "from-guest\n"
    processes.wait_until(lambda: clean.run("systemctl", "is-active", unit).output != "active", "the unit to end")
    assert task(clean, options(dialect))["changed"], "the next run cleans up and starts it again"
    done = task(clean, {"name": NAME, "state": "stopped"})
    assert done["changed"] and not is_there(clean, SOCKET)


def test_started_by_a_oneshot_unit_it_outlives_that(clean: Booted) -> None:
    """systemd kills what is left in the cgroup of a oneshot service, a timer's for example, when that has ended."""
    assert task(clean, options("rust"), keep=True)["changed"]
    assert task(clean, {"name": NAME, "state": "stopped"})["changed"]
    module = clean.must("find", "/tmp/.ansible", "-name", "AnsiballZ_virtiofsd_daemon.py")
    clean.must("systemd-run", "--wait", "--collect", "--service-type=oneshot", "python3", module)
    unit = unit_of(clean)
    assert clean.must("systemctl", "is-active", unit) == "active"
    assert not task(clean, options("rust"))["changed"]


def test_on_quit_follows_an_end_that_nobody_asked_for(clean: Booted) -> None:
    """With every sign that a unit file or a shell would take for its own, and not when the module ends the daemon."""
    awkward = "50% $HOME \"x\" 'y' \\z"
    command = shlex.join(["/bin/sh", "-c", 'printf %s "$1" > "$0"', QUIT, awkward])
    wish = options("rust", on_quit=command)
    assert task(clean, wish)["changed"]
    assert task(clean, {**wish, "state": "restarted"})["changed"]
    assert not is_there(clean, QUIT), "a restart is no end by itself"
    pid = task(clean, wish)["daemons"][0]["pid"]
    clean.must("kill", "-KILL", str(pid))
    processes.wait_until(lambda: is_there(clean, QUIT), "the command of on_quit")
    processes.wait_until(lambda: clean.must("cat", QUIT) == awkward, f"what it was told, not {clean.must('cat', QUIT)}")
    clean.must("rm", "-f", QUIT)
    assert task(clean, wish)["changed"]
    assert task(clean, {"name": NAME, "state": "stopped"})["changed"]
    assert not is_there(clean, QUIT)


def test_what_a_daemon_says_before_it_fails_is_told(clean: Booted) -> None:
    refused = task(clean, options("rust", extra_args=["--no-such-option"]))
    assert refused["failed"] and "--no-such-option" in refused["msg"] and "before it served" in refused["msg"], refused
    assert not is_there(clean, SOCKET)
    assert not is_there(clean, f"/run/sandboxed.containers/virtiofsd/{NAME}.json")
