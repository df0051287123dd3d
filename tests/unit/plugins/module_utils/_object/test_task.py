# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

from ansible_collections.sandboxed.containers.plugins.module_utils._object import task


def test_shared_options_are_those_of_the_design() -> None:
    forms = {name: (rule.get("type"), rule.get("default")) for name, rule in task.SHARED_OPTIONS.items()}
    assert forms == {
        "host_root": ("path", "/"),
        "sees_all_processes": ("bool", None),
        "lock_timeout": ("float", 10),
        "durable": ("bool", True),
    }


def test_the_seam_to_ansible_is_one_file() -> None:
    """Everything else in the object floor is plain Python, and is tested as such."""
    folder = Path(task.__file__).parent
    users = [path.name for path in folder.glob("*.py") if "ansible.module_utils" in path.read_text(encoding="utf-8")]
    assert users == ["task.py"]
