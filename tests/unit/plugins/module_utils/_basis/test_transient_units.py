# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What goes to systemd-run, read as systemd and the shell read it. Units themselves are run where systemd is."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis import transient_units
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import StateError
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.transient_units import Unit, on_end_line

GUARD = '"/bin/sh" "-c" "test -e \\"$$0\\" || exec \\"$$@\\""'


@pytest.mark.parametrize(
    ("word", "written"),
    [
        ("/bin/true", '"/bin/true"'),
        ("", '""'),
        ("two words", '"two words"'),
        ("a'b", '"a\'b"'),
        ('say "hi"', '"say \\"hi\\""'),
        ("back\\slash", '"back\\\\slash"'),
        ("\\", '"\\\\"'),
        ('\\"', '"\\\\\\""'),
        ("100%", '"100%"'),
        ("%n %%", '"%n %%"'),
        ("$HOME", '"$$HOME"'),
        ("${HOME}", '"$${HOME}"'),
        ("$$", '"$$$$"'),
        ("a;b", '"a;b"'),
        (";", '";"'),
        ("two\nlines\tand a tab", '"two\\nlines\\tand a tab"'),
        ("ä€", '"ä€"'),
        ("-x", '"-x"'),
    ],
)
def test_words_of_the_line_that_follows_the_end(word: str, written: str) -> None:
    """A percent sign stands for itself: the settings of a transient unit go over D-Bus, which knows no specifiers."""
    assert on_end_line([word], "/r/x.stopping") == f'{GUARD} "/r/x.stopping" {written}'
    assert on_end_line(["/p", word], word) == f'{GUARD} {written} "/p" {written}'


def as_systemd(line: str) -> list[str]:
    """The arguments of a process: quotes and escapes are undone, then variables are put in, of which there are none."""
    escapes = {"n": "\n", "t": "\t"}
    words = re.findall(r'"((?:[^"\\]|\\.)*)"', line)
    plain = [re.sub(r"\\(.)", lambda found: escapes.get(found[1], found[1]), word) for word in words]
    assert not any(re.search(r"(?<!\$)(?:\$\$)*\$(?!\$)", word) for word in plain), "a variable"
    return [word.replace("$$", "$") for word in plain]


STRANGE = "a b'c\"d\\e$HOME%n;\n\t$(id)`id`"


@pytest.mark.parametrize("wanted", [False, True], ids=["by itself", "wanted"])
def test_the_command_runs_unless_the_end_was_wanted(tmp_path: Path, wanted: bool) -> None:
    mark = tmp_path / STRANGE.replace("/", "")
    if wanted:
        mark.touch()
    line = on_end_line(["/bin/echo", "-n", STRANGE, "two"], str(mark))
    done = subprocess.run(as_systemd(line), stdout=subprocess.PIPE, check=True, timeout=60)
    assert done.stdout.decode() == ("" if wanted else f"{STRANGE} two")


def fake(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder


def test_the_unit_has_what_it_is_told_and_the_program_its_descriptors(tools: Path, tmp_path: Path) -> None:
    """The stand-in takes its options, and does with the command what systemd does: each $$ is one $."""
    take = 'while [ "$1" != -- ]; do echo "$1" >>"$0.options"; shift; done; shift'
    run = 'for word; do shift; set -- "$@" "$(printf %s "$word" | sed \'s/\\$\\$/$/g\')"; done; exec "$@"'
    fake(tools, "systemd-run", f"{take}\n{run}")
    unit = Unit("unit-x.service", "virtiofsd x: /srv", ("/bin/true",), "/r/x.stopping", "/run/netns/n")
    code = 'readlink /proc/self/fd/0 /proc/self/fd/3; printf "%s\\n" "$0" "$@"'
    (tmp_path / "inherited").touch()
    with open(tmp_path / "inherited") as inherited, open(tmp_path / "output", "wb") as output:
        words = ["/bin/sh", "-c", code, "$HOME", "a b", "${X}$$"]
        running = transient_units.start(unit, words, inherited.fileno(), output.fileno())
        try:
            assert running.client.wait(timeout=60) == 0
            assert running.ended() == "with status 0"
        finally:
            running.let_go()
    # "exec "$@"" gives the program its own path as argv[0].
    assert (tmp_path / "output").read_text().splitlines() == [
        "/dev/null", str(tmp_path / "inherited"), "$HOME", "a b", "${X}$$",
    ]  # fmt: skip
    assert (tools / "systemd-run.options").read_text().splitlines() == [
        "--quiet", "--collect", "--pipe", "--service-type=exec", "--unit=unit-x.service",
        "--description=virtiofsd x: /srv", "--property=TimeoutStopSec=10s",
        "--property=NetworkNamespacePath=/run/netns/n",
        f"--property=ExecStopPost={on_end_line(unit.on_end, unit.unless)}",
    ]  # fmt: skip


def test_a_unit_without_more_has_no_more_settings() -> None:
    assert transient_units._settings(Unit("unit-x.service", "x")) == [
        "--unit=unit-x.service", "--description=x", "--property=TimeoutStopSec=10s",
    ]  # fmt: skip


def test_what_systemd_run_says_is_its_end(tools: Path, tmp_path: Path) -> None:
    fake(tools, "systemd-run", "echo Failed to start transient service unit; exit 4")
    with open("/dev/null") as null, open(tmp_path / "output", "wb") as output:
        running = transient_units.start(Unit("unit-x.service", "x"), ["/bin/true"], null.fileno(), output.fileno())
        running.client.wait(timeout=60)
        assert running.ended() == "with status 4"
    assert (tmp_path / "output").read_text() == "Failed to start transient service unit\n"


def test_letting_go_ends_the_client_alone(tools: Path) -> None:
    fake(tools, "systemd-run", "exec sleep 60")
    with open("/dev/null", "r+") as null:
        running = transient_units.start(Unit("unit-x.service", "x"), ["/bin/true"], null.fileno(), null.fileno())
        assert running.ended() == ""
        running.let_go()
        assert not os.path.exists(f"/proc/{running.client.pid}")


def test_without_the_tools_it_is_said(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tools))
    monkeypatch.setattr(transient_units, "_BOOTED", str(tools))
    assert not transient_units.is_booted()
    unit = Unit("unit-x.service", "x")
    with open("/dev/null") as null:
        with pytest.raises(
            StateError, match=r"unit-x\.service: systemd-run cannot be run: No such file or directory\."
        ):
            transient_units.start(unit, ["/bin/true"], null.fileno(), null.fileno())
    with pytest.raises(StateError, match="systemctl: it does not answer: "):
        transient_units.is_active(unit.name)
    fake(tools, "systemd-run", "")
    assert transient_units.is_booted()
    monkeypatch.setattr(transient_units, "_BOOTED", str(tools / "nothing"))
    assert not transient_units.is_booted()


@pytest.mark.parametrize(("shown", "pid"), [("4711", 4711), ("0", 0), ("", 0), ("-1", 0)])
def test_the_main_pid(tools: Path, tmp_path: Path, shown: str, pid: int) -> None:
    fake(tools, "systemd-run", "")
    fake(tools, "systemctl", f'echo "$@" >{shlex.quote(str(tmp_path))}/asked; echo {shown}')
    with open("/dev/null", "r+") as null:
        running = transient_units.start(Unit("unit-x.service", "x"), ["/bin/true"], null.fileno(), null.fileno())
    try:
        assert running.main_pid() == pid
    finally:
        running.let_go()
    assert (tmp_path / "asked").read_text() == "show --property=MainPID --value unit-x.service\n"


@pytest.mark.parametrize(
    ("state", "active"),
    [
        ("active", True),
        ("activating", True),
        ("deactivating", True),
        ("reloading", True),
        ("maintenance", True),
        ("failed", False),
        ("inactive", False),
    ],
)
def test_whether_it_runs(tools: Path, state: str, active: bool) -> None:
    fake(tools, "systemctl", f"echo {state}")
    assert transient_units.is_active("unit-x.service") is active


@pytest.mark.parametrize(
    ("state", "text"),
    [
        ("active", "unit-x.service: systemctl stop did not end it. Look at it with systemctl status unit-x.service."),
        ("", "unit-x.service: systemctl does not tell whether it is active."),
        ("inactive", ""),
        ("failed", ""),
    ],
)
def test_E3_only_what_is_seen_to_have_ended_was_stopped(tools: Path, state: str, text: str) -> None:
    """systemctl stop fails for a unit that is gone as well as for one that it could not stop."""
    fake(tools, "systemctl", f'[ "$1" = show ] && echo {state}; exit 1')
    if not text:
        transient_units.stop("unit-x.service")
        return
    with pytest.raises(StateError) as refused:
        transient_units.stop("unit-x.service")
    assert str(refused.value) == text
