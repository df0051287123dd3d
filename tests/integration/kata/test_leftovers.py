# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""kill -9 to everything, and what is left is removed with all that belongs to it (README.md R9, R10)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.tests.integration.kata.conftest import Modules, gone, some_long
from ansible_collections.sandboxed.containers.tests.lab import kata, mounting, trees
from ansible_collections.sandboxed.containers.tests.lab import kata_documents as documents
from ansible_collections.sandboxed.containers.tests.lab.ansible import adhoc
from ansible_collections.sandboxed.containers.tests.lab.kata import Sandbox, Shared
from ansible_collections.sandboxed.containers.tests.lab.kata_documents import Facts
from ansible_collections.sandboxed.containers.tests.lab.stand_ins import Crowd

pytestmark = pytest.mark.real
HYPERVISORS = [
    ("kata_store", "qemu", "qemu"),
    ("kata_persist", "qemu", "qemu"),
    ("kata_persist", "clh", "cloud hypervisor"),
    ("kata_persist", "firecracker", "jailed firecracker"),
    ("kata_rs", "qemu", "qemu"),
    ("kata_rs", "clh", "cloud hypervisor"),
]


def crashed(crowd: Crowd, layout: str, hypervisor: str = "qemu", vmm: str = "qemu") -> tuple[Sandbox, Shared]:
    """A pod whose shim, machine and file daemon were killed at once; the engine has cleaned up its own."""
    facts = Facts(hypervisor=hypervisor, vmm_pid=4711, virtiofsd_pid=4712, container_pid=4713)
    box = kata.sandbox(layout, "lab-web-1", ["lab-web-1", "lab-app-1"], facts)
    box.write()
    owners = [
        crowd.start(box.program("shim"), pid=4713),
        crowd.start(box.program(vmm), pid=4711),
        crowd.start(box.program("virtiofsd"), pid=4712),
    ]
    shared = box.make_share()
    box.make_vm()
    if layout == "kata_persist":
        box.make_initdata()
    assert Modules(box).verdict == "live"
    for one in owners:
        one.kill()
    box.engine_cleans_up()
    return box, shared


@pytest.mark.parametrize(("layout", "hypervisor", "vmm"), HYPERVISORS)
def test_R10_everything_around_it_goes_with_it(crowd: Crowd, layout: str, hypervisor: str, vmm: str) -> None:
    mounts = mounting.table()
    box, shared = crashed(crowd, layout, hypervisor, vmm)
    modules = Modules(box)
    before = (trees.listing(Path("/run/vc"), Path("/run/kata"), Path("/var/lib/vc")), mounting.table())
    data = shared.checksum()
    found = modules.look()
    assert found["verdict"] == "leftover", found

    refused = modules.absent()
    assert refused.failed and "on_mounted=unmount" in refused.message
    planned = modules.absent(on_mounted="unmount", _ansible_check_mode=True, _ansible_diff=True)
    assert planned.changed and not planned.failed, planned.message
    assert (trees.listing(Path("/run/vc"), Path("/run/kata"), Path("/var/lib/vc")), mounting.table()) == before

    done = modules.absent(on_mounted="unmount", _ansible_diff=True)
    assert done.changed and not done.failed, done.message
    assert done.answer["diff"] == planned.answer["diff"]
    assert done.sandboxes == planned.sandboxes
    assert gone(box) == []
    assert mounting.table() == mounts
    assert shared.checksum() == data
    assert modules.absent().unchanged


@pytest.mark.parametrize(("layout", "hypervisor", "vmm"), HYPERVISORS)
def test_the_info_module_shows_what_belongs_to_it(crowd: Crowd, layout: str, hypervisor: str, vmm: str) -> None:
    box, _shared = crashed(crowd, layout, hypervisor, vmm)
    paths = Modules(box).look()["paths"]
    expected = [*box.trees, box.share_dir]
    if layout != "kata_rs":
        expected.append(box.firecracker_dir if hypervisor == "firecracker" else box.vm_dir)
    assert {str(path) for path in expected} <= set(paths)


@pytest.mark.parametrize("layout", some_long("kata_store", "kata_persist", "kata_rs"))
def test_as_a_user_runs_it(crowd: Crowd, layout: str) -> None:
    """Ansible itself, with AnsiballZ: check mode, and the run."""
    box, shared = crashed(crowd, layout)
    data = shared.checksum()
    options = {
        **Modules(box).options,
        "state": "absent",
        "sandbox_id": ["lab-web-1", "not-there"],
        "on_mounted": "unmount",
    }
    planned = adhoc("sandbox_state", options, "--check", "--diff")
    assert planned.changed and not planned.failed
    assert str(box.state_dir) in planned.shown
    done = adhoc("sandbox_state", options, "--diff")
    assert done.changed and done.shown == planned.shown
    assert done.sandboxes == planned.sandboxes
    assert [one["action"] for one in done.sandboxes] == ["deleted", "unchanged"]
    assert gone(box) == [] and shared.checksum() == data


def wanted(box: Sandbox) -> list[dict[str, Any]]:
    """The entries that make a sandbox and its containers."""
    if box.layout == "kata_store":
        outer = documents.store_sandbox(box.id, box.facts, box.run_root)
        inner = [documents.store_container(box.id, one, box.facts) for one in box.containers]
        outer["devices"] = []
    elif box.layout == "kata_persist":
        outer = {"persist": documents.persist_sandbox(box.id, box.facts, box.run_root)}
        inner = [{"persist": documents.persist_container(box.id, one, box.facts)} for one in box.containers]
    else:
        return [{"sandbox_id": box.id, "documents": {"state": documents.rs_sandbox(box.id, box.facts, box.run_root)}}]
    entries: list[dict[str, Any]] = [{"sandbox_id": box.id, "documents": outer}]
    return entries + [
        {"sandbox_id": box.id, "container_id": one, "documents": found} for one, found in zip(box.containers, inner)
    ]


def shapes(box: Sandbox) -> dict[str, tuple[int, bytes]]:
    """Every name of its trees with mode and content."""
    return {
        str(path): (path.lstat().st_mode, path.read_bytes() if path.is_file() else b"")
        for tree in box.trees
        for path in [tree, *sorted(tree.rglob("*"))]
    }


def test_what_is_made_is_what_kata_makes(modules: Modules) -> None:
    """Names, modes and bytes; after a removal the name is free again."""
    box = modules.box
    expected = shapes(box)
    if box.layout == "kata_rs":  # its `root` is the hypervisor's, not the documents'
        expected.pop(f"{box.state_dir}/root")
    assert modules.absent().changed
    made = modules.make(wanted(box), fail_if_exists=True)
    assert made.changed and not made.failed, made.message
    assert {one["action"] for one in made.sandboxes} == {"created"}
    assert shapes(box) == expected
    again = modules.make(wanted(box))
    assert not again.changed and not again.failed, again.message
    assert modules.verdict == "leftover"


def test_one_container_of_a_dead_sandbox_is_removed(modules: Modules) -> None:
    box = modules.box
    if box.layout == "kata_rs":
        refused = modules.absent(container_id="lab-app-1")
        assert not refused.changed
        return
    done = modules.absent(container_id="lab-app-1")
    assert done.changed and not done.failed, done.message
    assert not any((tree / "lab-app-1").exists() for tree in box.trees)
    assert all((tree / "lab-web-1").exists() for tree in box.trees)
    assert modules.absent(container_id="lab-app-1").unchanged


def test_RS8_many_at_once_and_one_of_them_lives(crowd: Crowd, layout: str) -> None:
    """A refusal in the middle does not stop the others, and is told at the end."""
    boxes = [kata.sandbox(layout, f"lab-web-{number}") for number in range(30)]
    for box in boxes:
        box.write()
    owner = crowd.start(boxes[10].program("qemu"))
    done = Modules(boxes[0]).absent(sandbox_id=[box.id for box in boxes])
    assert done.failed and done.changed and "lab-web-10" in done.message
    assert [box.id for box in boxes if box.state_dir.exists()] == ["lab-web-10"]
    assert owner.lives()
