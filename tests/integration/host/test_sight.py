# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What /proc proves on the machine itself (safety.md A2): the unit tests run in pid namespaces of their own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis import host, processes

pytestmark = pytest.mark.real
SIGHT = "from ansible_collections.sandboxed.containers.plugins.module_utils._basis import host\nprint(host.sight())\n"


def sight_below(*prefix: str, before: str = "", code: str = SIGHT) -> str:
    """What sight() says in a process started below prefix, after a shell command in its namespaces."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    shell = f'{before or ":"} && exec "$0" "$@"'
    command = [*prefix, "sh", "-c", shell, sys.executable, "-c", code]
    return subprocess.run(command, check=True, env=environment, timeout=60, stdout=subprocess.PIPE, text=True).stdout


def test_A2_root_in_the_initial_namespace_sees_all() -> None:
    assert host.sight() == host.Sight(True, "")


def test_A2_another_pid_namespace_hides_processes() -> None:
    assert "initial pid namespace" in sight_below("unshare", "-p", "-f", "--mount-proc")
    # Here /proc still shows the outer processes, yet we are not among them.
    assert "all=False" in sight_below("unshare", "-p", "-f")


@pytest.mark.parametrize(
    ("option", "all_seen"),
    [
        ("0", True),
        ("off", True),
        ("1", False),
        ("2", False),
        ("4", False),
        ("noaccess", False),
        ("invisible", False),
        ("ptraceable", False),
    ],
)
def test_A2_hidepid(option: str, all_seen: bool) -> None:
    answer = sight_below("unshare", "-m", before=f"mount -t proc -o hidepid={option} proc /proc")
    assert f"all={all_seen}" in answer
    assert all_seen or "hidepid=" in answer


def test_A2_what_lies_over_proc_counts() -> None:
    assert "type proc" in host._mount_doubt("/tmp")
    hidden_below = "mount -t proc -o hidepid=2 proc /proc && mount -t proc -o hidepid=0 proc /proc"
    assert "all=True" in sight_below("unshare", "-m", before=hidden_below)


def test_A2_a_user_does_not_see_all() -> None:
    code = SIGHT.replace("print", "import os; os.setgroups([]); os.setgid(65534); os.setuid(65534)\nprint")
    answer = sight_below(code=code)
    assert "all=False" in answer and "without root" in answer


def test_A2_root_of_another_user_namespace_does_not_see_all() -> None:
    answer = sight_below("unshare", "-U", "-r")
    assert "all=False" in answer and "without root" in answer


def test_kernel_threads_are_complete() -> None:
    process = processes.read(2)
    assert process and process.program == "kthreadd"
    assert process.complete and process.exe is None and process.argv == ()
