# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.processes import Process
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.bundle_processes import BundleSigns, claim
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.bundle_reading import BundleReading
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.cgroup_hierarchies import Hierarchy
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.cgroup_paths import Cgroup, Place

TASKS = "/run/containerd/io.containerd.runtime.v2.task/k8s.io"
WORK = "/var/lib/containerd/io.containerd.runtime.v2.task/k8s.io/web-1"
SHIM = ("containerd-shim-runc-v2", "-namespace", "k8s.io", "-address", "/run/containerd/containerd.sock", "-id")
OWN = BundleReading("web-1")
POD = BundleReading("web-1", sandbox_ids=("pod-1",), group="pod-1")


def signs(**more: Any) -> BundleSigns:
    given = BundleSigns("k8s.io", f"{TASKS}/web-1", WORK, (), engine_runs=True)
    return given._replace(**more)


def process(*argv: str, cwd: str = "/", cgroups: tuple[str, ...] = ("/",)) -> Process:
    program = argv[0].rpartition("/")[2]
    return Process(4711, 1, "S", 100, program, None, argv, cwd, "/", cgroups, 0, complete=True, dead=False)


def cgroup(inside: str, owner: str, form: str = "plain") -> Cgroup:
    return Cgroup(Hierarchy(("memory",), "/sys/fs/cgroup/memory"), Place(inside, form, owner))


# What is expected: None for nothing, else whether it is proved, and how its sentence goes on.
@pytest.mark.parametrize(
    ("one", "reading", "expected"),
    [
        (process(*SHIM, "web-1", cwd=f"{TASKS}/web-1"), OWN, (True, "serves it")),
        (process(*SHIM, "pod-1", cwd=f"{TASKS}/pod-1"), POD, (True, "serves its pod pod-1")),
        (process(*SHIM, "pod-1", cwd=f"{TASKS}/pod-1"), OWN, None),
        # A6: whatever it is called, a shim's working directory is a live bundle.
        (process(*SHIM, "pod-1", cwd=f"{TASKS}/web-1"), OWN, (True, "serves it")),
        (process(*SHIM, "pod-2", cwd=f"{TASKS}/pod-2"), POD, None),
        # While the delete has it under its hidden name, the kernel shows that.
        (process(*SHIM, "web-1", cwd=f"{TASKS}/.web-1.0123456789abcdef"), OWN, (True, "serves it")),
        (process(*SHIM, "web-1", "delete", cwd=f"{TASKS}/web-1"), OWN, (True, "is cleaning up after it")),
        # The same id in another namespace, and another engine's container of the same name.
        (process(SHIM[0], "-namespace", "moby", "-id", "web-1", cwd="/run/b/moby/web-1"), OWN, None),
        (process(*SHIM, "web-1", cwd="/run/k3s/containerd/io.containerd.runtime.v2.task/k8s.io/web-1"), OWN, None),
        (process(*SHIM, "web-1", cwd="/elsewhere"), OWN, (False, "names it, and works in another directory")),
        (process("containerd-shim", "-namespace", "k8s.io", "-workdir", WORK), OWN, (True, "serves it")),
        (process("runc", "exec", "--bundle", f"{TASKS}/web-1", "web-1"), OWN, (True, "is at work on it")),
        (process("runc", "exec", "--bundle", f"{TASKS}/web-10", "web-1"), OWN, (False, "names it in its arguments")),
        (process("vi", "notes on web-1"), OWN, None),
        (process("vi", "web-1"), OWN, (False, "names it in its arguments")),
        (process("sh", cwd=f"{TASKS}/web-1/rootfs"), OWN, (False, f"works in {TASKS}/web-1/rootfs")),
        (process("sh", cgroups=("/x/web-1",)), OWN, (False, "is in the cgroup /x/web-1, which carries its name")),
        (process("nginx"), OWN, None),
    ],
)
def test_what_a_process_has_to_do_with_a_bundle(
    one: Process, reading: BundleReading, expected: tuple[bool, str] | None
) -> None:
    found = claim(one, reading, signs())
    assert (None if found is None else (found.proved, found.why)) == expected


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        (cgroup("/k8s.io/web-1", "web-1"), (True, "runs in its cgroup /k8s.io/web-1")),
        (cgroup("/k8s.io/web-1", "other"), (False, "is in the cgroup /k8s.io/web-1, which its spec names")),
        (
            cgroup("/k8s.io/web-1", "pod-1", "overhead"),
            (False, "is in the cgroup /k8s.io/web-1, which carries its name"),
        ),
        (cgroup("/k8s.io/web-10", "web-1"), (False, "is in the cgroup /k8s.io/web-1, which carries its name")),
    ],
)
def test_A8_the_cgroup_that_the_spec_names(place: Cgroup, expected: tuple[bool, str]) -> None:
    found = claim(process("nginx", cgroups=("/k8s.io/web-1",)), OWN, signs(cgroups=(place,)))
    assert found is not None
    assert (found.proved, found.why) == expected


@pytest.mark.parametrize("engine_runs", [True, False])
def test_E1_a_shim_is_ours_to_stop_only_where_its_engine_is_dead(engine_runs: bool) -> None:
    shim = process(*SHIM, "web-1", cwd=f"{TASKS}/web-1")
    found = claim(shim, OWN, signs(engine_runs=engine_runs))
    assert found is not None
    assert (found.stop_order is None) == engine_runs
    pods = claim(process(*SHIM, "pod-1", cwd=f"{TASKS}/pod-1"), POD, signs(engine_runs=engine_runs))
    assert pods is not None
    assert pods.stop_order is None, "it serves others as well"


def test_E1_a_shim_of_containerds_never_serves_a_bundle_without_an_engine() -> None:
    """It has no work directory, and neither has the shim an option of that name."""
    shim = process(*SHIM, "web-1", cwd=f"{TASKS}/web-1")
    assert claim(shim, OWN, BundleSigns("", "/srv/bundles/web-1", "", (), engine_runs=False)) is None
