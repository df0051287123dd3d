# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What each role refuses before it has looked at the host: with the name of the variable, its value, and what to do.

All in one play, in check mode on this machine, so that what is not refused does no harm.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.tests.lab.booted import run_playbook
from ansible_collections.sandboxed.containers.tests.lab.roles import changes
from ansible_collections.sandboxed.containers.tests.lab.workspace import Outcome

pytestmark = pytest.mark.real
HERE = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
HEX = "0" * 64
JSON = "With -e, give it as JSON: -e '"
SHARES = "sandbox_virtiofsd_shares"
ROLES = ("host", "containerd", "gvisor", "kata", "virtiofsd", "prune_timer")
LIMIT = {"sandbox_prune_timer_repository": "https://x/y.git", "sandbox_prune_timer_max_removals": "50"}
# The role, what is wrong, and a piece of the message.
WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("host", {"sandbox_host_kernel_modules": "overlay"}, f"sandbox_host_kernel_modules is no list. {JSON}"),
    ("host", {"sandbox_host_runtimes": "kata"}, "sandbox_host_runtimes is no list. "),
    ("host", {"sandbox_host_limits": [{"name": "a.b", "minimum": "-1"}]}, "Limit 'a.b': minimum must not be negative"),
    (
        "containerd",
        {"sandbox_containerd_handlers": [{"name": "a b", "runtime_type": "x"}]},
        "sandbox_containerd_handlers: 'a b': a name has letters, digits",
    ),
    ("gvisor", {"sandbox_gvisor_options": "platform=kvm"}, f"sandbox_gvisor_options is no dictionary. {JSON}"),
    ("gvisor", {"sandbox_gvisor_runsc": "/bin/true"}, 'sandbox_gvisor_runsc_checksum is \\"\\", and must be sha256:'),
    (
        "gvisor",
        {
            "sandbox_gvisor_runsc": "/bin/true",
            "sandbox_gvisor_runsc_checksum": f"sha256:{HEX}",
            "sandbox_gvisor_shim": "/bin/false",
            "sandbox_gvisor_shim_checksum": "sha256:1",
        },
        'sandbox_gvisor_shim_checksum is \\"sha256:1\\", and must be sha256:',
    ),
    ("gvisor", {"sandbox_gvisor_shim": "/bin/sh"}, "sandbox_gvisor_shim: /bin/sh wants the sandbox_gvisor_runsc of"),
    ("gvisor", {"sandbox_gvisor_handler": "a b"}, "sandbox_gvisor_handler: 'a b': a name has letters"),
    ("gvisor", {"sandbox_gvisor_extra_options": {"a b": "1"}}, '\\"a b\\": the name of an option has letters'),
    ("kata", {"sandbox_kata_runtimes": "go"}, f"sandbox_kata_runtimes is no list. {JSON}"),
    ("kata", {"sandbox_kata_snapshotters": "x=y"}, "sandbox_kata_snapshotters is no dictionary. "),
    ("virtiofsd", {"sandbox_virtiofsd_dialect": "C"}, "value of sandbox_virtiofsd_dialect must be one of: rust, c"),
    ("virtiofsd", {SHARES: [{"name": "a", "shared_dir": "srv"}]}, "Share 'a': shared_dir is \\\"srv\\\", and must be"),
    (
        "virtiofsd",
        {SHARES: [{"name": "b", "shared_dir": "/", "socket_path": "b.sock"}]},
        "Share 'b': its socket_path is \\\"b.sock\\\", and must be",
    ),
    (
        "virtiofsd",
        {SHARES: [{"name": "c", "shared_dir": "/", "socket_mode": 384}]},
        "Share 'c': socket_mode is 384, and must be four octal digits",
    ),
    ("prune_timer", {"sandbox_prune_timer_variables": "a=b"}, "sandbox_prune_timer_variables is no dictionary. "),
    ("prune_timer", {**LIMIT, "sandbox_prune_timer_timeout": "0"}, "sandbox_prune_timer_timeout is 0 and must be more"),
    ("prune_timer", {**LIMIT, "sandbox_prune_timer_max_removals": "0"}, "are both required. Nobody looks on"),
]


def refused(role: str, variables: dict[str, Any], mark: str) -> dict[str, Any]:
    """Run a role that fails, and go on."""
    include = {"ansible.builtin.include_role": {"name": f"sandboxed.containers.sandbox_{role}"}, "vars": variables}
    return {"block": [include], "rescue": [{"ansible.builtin.debug": {"msg": f"refused {mark}"}}]}


def play(folder: Path, tasks: list[dict[str, Any]], **more: Any) -> Outcome:
    book = [{"hosts": "here", "gather_facts": False, "tasks": tasks, **more}]
    return run_playbook(folder, book, {"here": HERE}, "--check")


def test_wrong_input_is_refused_with_its_name_and_value(tmp_path: Path) -> None:
    outcome = play(tmp_path, [refused(role, given, str(number)) for number, (role, given, _said) in enumerate(WRONG)])
    assert changes(outcome, "here") == 0
    assert [n for n in range(len(WRONG)) if f'"msg": "refused {n}"' not in outcome.output] == []
    assert [message for _role, _variables, message in WRONG if message not in outcome.output] == [], outcome.output


def test_nobody_but_root_is_let_in(tmp_path: Path) -> None:
    """In check mode as well, where nothing else would tell."""
    if not shutil.which("su"):
        pytest.skip("no su: apt-get install util-linux")
    nobody = {"become": True, "become_user": "nobody", "become_method": "su", "become_flags": "-s /bin/sh"}
    tasks = [refused(role, {f"sandbox_{role}_state": state}, role) for role in ROLES for state in ("present", "absent")]
    with tempfile.TemporaryDirectory() as scratch:
        os.chmod(scratch, 0o777)  # pytest's own folder is root's
        known = {"ansible_python_interpreter": "/usr/bin/python3", "ansible_remote_tmp": scratch}
        outcome = play(tmp_path, tasks, vars=known, **nobody)
    assert changes(outcome, "here") == 0
    said = '"msg": "here: the role wants root, and runs as user 65534. Set become: true."'
    assert outcome.output.count(said) == 11, outcome.output
    assert "root: the tasks run as nobody, who cannot see what else is lacking; set become: true" in outcome.output
