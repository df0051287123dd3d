# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._object import task
from ansible_collections.sandboxed.containers.tests.unit.plugins.modules.support import run

SANDBOX: dict[str, Any] = {"layout": "kata_store", "sandbox_id": "unit-1"}
BUNDLE: dict[str, Any] = {"layout": "containerd_v2", "container_id": "unit-1"}
OCI: dict[str, Any] = {"layout": "oci", "container_id": "unit-1"}
ONE: dict[str, Any] = {"container_id": "unit-1"}
GONE = {"state": "absent"}
PLACES = [
    *((name, {**SANDBOX, **more}, option) for name, more in (("sandbox_state", GONE), ("sandbox_state_info", {}))
      for option in ("run_root", "config_root", "host_root")),
    *((name, {**BUNDLE, **more}, option) for name, more in (("container_bundle", GONE), ("container_bundle_info", {}))
      for option in ("state_root", "work_root", "host_root")),
    ("container_bundle", {**OCI, **GONE}, "path"),
    ("container_bundle_info", OCI, "path"),
    ("container_id_mapping", {**ONE, **GONE}, "root"),
    ("container_id_mapping_info", ONE, "root"),
    ("virtiofsd_daemon", {"name": "unit-1", "state": "stopped"}, "run_dir"),
    ("virtiofsd_daemon_info", {}, "run_dir"),
    ("sandbox_host_info", {}, "host_root"),
    ("sandbox_prune", {"scope": "all_leftovers"}, "host_root"),
]  # fmt: skip


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


@pytest.mark.parametrize(("value", "why"), [
    ("", "it is empty. Give a path that begins with '/'."),
    ("run", "'run' is no absolute path. Give a path that begins with '/'."),
    ("/a\0b", "it has a NUL, which neither a path nor a command can have. Leave that out."),
    ("/a\ud812", "it has '\\ud812', which neither a path nor a command can have. Leave that out."),
])  # fmt: skip
@pytest.mark.parametrize(
    ("module", "options", "option"), PLACES, ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_place_that_would_be_another_one_is_refused(
    module: str, options: dict[str, Any], option: str, value: str, why: str
) -> None:
    """An empty variable must not mean "/", nor the machine's own directories where host_root names an image."""
    refused = run(module, {"host_root": "/nowhere", **options, option: value})
    assert refused.failed and refused.msg == f"{option}: {why}"


@pytest.mark.parametrize(
    ("module", "options"), [(name, options) for name, options, option in PLACES if option == "host_root"]
)
def test_a_host_root_that_is_not_there_is_no_empty_host(tmp_path: Path, module: str, options: dict[str, Any]) -> None:
    (tmp_path / "file").touch()
    for path, why in (
        ("none", "No such file or directory. Give a directory that is there."),
        ("file/none", "Not a directory."),
    ):
        refused = run(module, {**options, "host_root": str(tmp_path / path)})
        assert refused.msg.startswith(f"host_root: {tmp_path / path}: {why}")
    assert "is no directory" in run(module, {**options, "host_root": str(tmp_path / "file")}).msg
    for seconds in (-1, "nan"):
        assert "lock_timeout: " in run(module, {**options, "lock_timeout": seconds}).msg
