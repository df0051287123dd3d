# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A process as a transient service unit of systemd, through systemd-run: it gets a cgroup of its own, which no ssh
session, timer or container takes down with it, and a command can follow its end.

The tool is used instead of the D-Bus interface below it: it is on every host that runs systemd, and it alone can give a
unit the standard descriptors of its caller without a D-Bus library.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import StateError, os_reason

if TYPE_CHECKING:
    import subprocess

_BOOTED = "/run/systemd/system"  # sd_booted(3)
_SECONDS = 20.0
_ENDED = ("inactive", "failed")
# systemd gives a service its three standard descriptors only: the shell puts the first one where it belongs.
_SHIFT = 'exec "$@" 3<&0 0</dev/null'


class Unit(NamedTuple):
    """A transient service. name: with its suffix. on_end: a command that follows when it ends, unless the file `unless`
    exists. network_namespace: the path of the one that it shall be in."""

    name: str
    description: str
    on_end: tuple[str, ...] = ()
    unless: str = ""
    network_namespace: str = ""


class Running(NamedTuple):
    """A unit that was started. client: systemd-run, which hands the descriptors over, and may end then."""

    unit: Unit
    client: subprocess.Popen[bytes]

    def main_pid(self) -> int:
        """The pid of its process, 0 where it has none (any more)."""
        shown = _ask("systemctl", "show", "--property=MainPID", "--value", self.unit.name)
        return int(shown) if shown.isdigit() else 0

    def ended(self) -> str:
        """How it ended, "with status 1", or could not begin; empty while it runs. What it said is in its output."""
        status = self.client.poll()
        return "" if status is None else f"with status {status}"

    def let_go(self) -> None:
        """End systemd-run: the unit does not need it."""
        self.client.kill()
        self.client.wait()


def is_booted() -> bool:
    """Whether systemd is this host's service manager, and its tool is there."""
    import shutil

    return os.path.isdir(_BOOTED) and shutil.which("systemd-run") is not None


def start(unit: Unit, arguments: Sequence[str], inherited: int, output: int) -> Running:
    """Start a program as a unit. inherited: what it gets as descriptor 3. output: where it writes.

    Raises StateError where systemd-run cannot be run. What systemd refuses is told in `output` as well.
    """
    import subprocess

    words = ["systemd-run", "--quiet", "--collect", "--pipe", "--service-type=exec", *_settings(unit), "--"]
    words += ["/bin/sh", "-c", _SHIFT, arguments[0], *(_plain(word) for word in arguments)]
    try:
        # AnsibleModule's run_command knows no descriptors, and this floor knows no Ansible.
        client = subprocess.Popen(  # pylint: disable=ansible-bad-function
            words, stdin=inherited, stdout=output, stderr=output, close_fds=True
        )
    except OSError as error:
        raise StateError(unit.name, f"systemd-run cannot be run: {os_reason(error)}") from error
    return Running(unit, client)


def _settings(unit: Unit) -> list[str]:
    words = [f"--unit={unit.name}", f"--description={unit.description}", "--property=TimeoutStopSec=10s"]
    if unit.network_namespace:
        words.append(f"--property=NetworkNamespacePath={unit.network_namespace}")
    if unit.on_end:
        words.append(f"--property=ExecStopPost={on_end_line(unit.on_end, unit.unless)}")
    return words


def on_end_line(command: Sequence[str], unless: str) -> str:
    """ExecStopPost's line: the command, unless a file exists that says that the end was wanted."""
    guard = 'test -e "$0" || exec "$@"'
    return " ".join(_quoted(word) for word in ("/bin/sh", "-c", _plain(guard), _plain(unless), *map(_plain, command)))


def _quoted(word: str) -> str:
    """One word of a command line, as systemd-run splits it: C-like escapes. Over D-Bus no "%" is a specifier."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{escaped}"'


def _plain(word: str) -> str:
    """systemd puts environment variables into every argument of a command; here none is meant."""
    return word.replace("$", "$$")


def stop(name: str) -> None:
    """Stop a unit and all of its processes, and forget it. Raises StateError where it is not stopped."""
    _ask("systemctl", "stop", name)
    if is_active(name):
        raise StateError(name, "systemctl stop did not end it", f"Look at it with systemctl status {name}.")
    forget_failure(name)


def forget_failure(name: str) -> None:
    """Let a name be used again whose unit failed and is still loaded."""
    _ask("systemctl", "reset-failed", name)


def is_active(name: str) -> bool:
    """Whether the unit runs, begins or ends just now. Raises StateError where that is not told."""
    state = _ask("systemctl", "show", "--property=ActiveState", "--value", name)
    if not state:  # of a unit that is not there it is "inactive"
        raise StateError(name, "systemctl does not tell whether it is active")
    return state not in _ENDED


def _ask(*words: str) -> str:
    import subprocess

    try:
        done = subprocess.run(  # pylint: disable=ansible-bad-function
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StateError(words[0], f"it does not answer: {error}") from error
    return done.stdout.decode("utf-8", "replace").strip()
