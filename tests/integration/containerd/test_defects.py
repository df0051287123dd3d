# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Defects of containerd's own code that container_bundle does not have (containerd-bundles.md), beside a real one."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.tests.lab import processes
from ansible_collections.sandboxed.containers.tests.lab.ansible import Result
from ansible_collections.sandboxed.containers.tests.lab.containerd import BUNDLES, NAMESPACE, STATE, WORK, Lab
from ansible_collections.sandboxed.containers.tests.lab.packages import tool

pytestmark = [pytest.mark.real, pytest.mark.parametrize("version", ["1.7"], indirect=True)]
OPTIONS = {"layout": "containerd_v2", "container_id": "a5", "namespace": NAMESPACE}
SPEC = {"ociVersion": "1.0.2", "process": {"args": ["/bin/true"], "cwd": "/"}, "root": {"path": "rootfs"}}
MAPPED = {**SPEC, "linux": {"gidMappings": [{"containerID": 0, "hostID": 4242, "size": 1}]}}
FREE = {**OPTIONS, "state": "absent", "force": True, "on_mounted": "unmount"}
WITHOUT_CHOWN = ["setpriv", "--bounding-set=-chown", "--inh-caps=-chown"]


def names(lab: Lab, place: str) -> list[str]:
    """What lies in a directory of the inner host, hidden names too."""
    return sorted(lab.host.must(["ls", "-A", place]).split())


def everything(lab: Lab) -> set[str]:
    """All paths of the state tree, and of the work tree of bundles."""
    return set(lab.host.must(["find", STATE, WORK["v2"], "-xdev"]).splitlines())


def test_C5_a_bundle_that_cannot_get_its_group_is_taken_back(lab: Lab) -> None:
    """containerd leaves the directory, and refuses the id for ever. The module may do all but give files away."""
    lab.run("other")
    before = everything(lab)
    failed = lab.start_under(WITHOUT_CHOWN, "container_bundle", **OPTIONS, spec=MAPPED)()
    assert failed.failed and not failed.changed and "Operation not permitted" in failed.message, failed.answer
    assert everything(lab) == before
    lab.run("a5")
    assert lab.tasks() == {"a5": "RUNNING", "other": "RUNNING"}


def test_C5_what_cannot_get_its_group_keeps_what_it_had_and_nothing_else(lab: Lab) -> None:
    """A bundle that lacks a part: the part is made, the mode cannot be, and the part goes again."""
    assert lab.module("container_bundle", **OPTIONS, spec=SPEC).changed
    bundle = lab.host_bundle("a5")
    lab.host.must(["rm", "-r", f"{bundle}/rootfs", f"{bundle}/work", f"{WORK['v2']}/{NAMESPACE}/a5"])
    lab.host.must(["sh", "-c", f"printf %s '{json.dumps(MAPPED)}' >{bundle}/config.json"])
    before = everything(lab)
    wish: dict[str, Any] = {**OPTIONS, "spec": MAPPED, "force": True}
    failed = lab.start_under(WITHOUT_CHOWN, "container_bundle", **wish)()
    assert failed.failed and not failed.changed and "Operation not permitted" in failed.message, failed.answer
    assert everything(lab) == before
    assert lab.module("container_bundle", **wish).changed
    assert names(lab, bundle) == ["config.json", "rootfs", "work"]


@contextmanager
def copy_of_all_mounts(lab: Lab) -> Iterator[int]:
    """A process with its own mount namespace, to which no unmount spreads; its pid as it is seen from here."""
    script = "echo ready; exec sleep infinity"
    running = lab.host.spawn(["unshare", "--mount", "--propagation", "private", "sh", "-c", script])
    try:
        processes.wait_until(lambda: "ready" in running.printed(), "the other namespace")
        (pid,) = [pid for pid in lab.host.pids("sleep") if mount_namespace(pid) != mount_namespace(lab.host.init)]
        yield pid
    finally:
        processes.kill(
            *[pid for pid in lab.host.pids("sleep") if mount_namespace(pid) != mount_namespace(lab.host.init)]
        )
        running.close()


def mount_namespace(pid: int) -> str:
    return os.readlink(f"/proc/{pid}/ns/mnt")


def mounted_in(pid: int, place: str) -> list[str]:
    """The mount points at or below a path, as a process has them."""
    rows = Path(f"/proc/{pid}/mountinfo").read_text(encoding="utf-8").splitlines()
    return sorted(point for row in rows if (point := row.split()[4]).startswith(place))


def test_C6_what_stays_mounted_is_looked_for_again_and_told(lab: Lab) -> None:
    """Every unmount here succeeds, and yet the copies of another namespace stay: a delete would detach them there."""
    lab.run("a5")
    lab.kill_all()
    rootfs = f"{lab.host_bundle('a5')}/rootfs"
    lab.host.must(["mount", "-t", "tmpfs", "lab", f"{rootfs}/tmp"])
    lab.host.must(["sh", "-c", f"echo keep >{rootfs}/tmp/data"])
    whole = [rootfs, f"{rootfs}/tmp"]
    with copy_of_all_mounts(lab) as pid:
        assert mounted_in(pid, rootfs) == mounted_in(lab.host.init, rootfs) == whole
        refused = lab.module("container_bundle", **FREE)
        assert refused.failed and refused.changed and "still mounted: " in refused.message, refused.answer
        assert all(f" on {point}" in refused.message for point in whole), refused.message
        assert str(lab.host.inside(pid)) in refused.message
        assert mounted_in(pid, rootfs) == whole and mounted_in(lab.host.init, rootfs) == []
        assert Path(f"/proc/{pid}/root{rootfs}/tmp/data").read_text(encoding="utf-8") == "keep\n"
        assert lab.bundles() == ["a5"]
    done = lab.module("container_bundle", **FREE)
    assert done.changed and not done.failed, done.message
    assert lab.bundles() == []


def test_C6_a_deep_mount_that_stays_is_not_hidden_by_the_shallow_one(lab: Lab) -> None:
    """containerd goes on, and tells of the shallowest alone, which it cannot unmount for what lies in it."""
    lab.run("a5")
    lab.kill_all()
    rootfs = f"{lab.host_bundle('a5')}/rootfs"
    for place in ("tmp", "tmp/inner", "etc"):
        lab.host.must(["mkdir", "-p", f"{rootfs}/{place}"])
        lab.host.must(["mount", "-t", "tmpfs", "lab", f"{rootfs}/{place}"])
    # The kernel's own use of a mount is one that no process shows.
    lab.host.must(["sh", "-c", f"truncate -s 1M {rootfs}/tmp/inner/image && mkfs.ext2 -q {rootfs}/tmp/inner/image"])
    lab.host.must(["mkdir", "/run/elsewhere"])
    lab.host.must(["mount", "-o", "loop", f"{rootfs}/tmp/inner/image", "/run/elsewhere"])
    try:
        refused = lab.module("container_bundle", **FREE)
        assert refused.failed and f"{rootfs}/tmp/inner: the mount is in use by" in refused.message, refused.answer
        left = mounted_in(lab.host.init, rootfs)
        assert left == [rootfs, f"{rootfs}/tmp", f"{rootfs}/tmp/inner"] and refused.changed, (left, refused.answer)
        assert lab.bundles() == ["a5"]
    finally:
        lab.host.must(["umount", "/run/elsewhere"])
    done = lab.module("container_bundle", **FREE)
    assert done.changed and not done.failed and mounted_in(lab.host.init, rootfs) == [], done.message


def killed_at(lab: Lab, call: str, number: int, **options: Any) -> Result | None:
    """Run container_bundle with SIGKILL before the how-manieth system call of a name; None if that came to pass."""
    inject = ["-e", "signal=none", "-e", f"trace={call}", "-e", f"inject={call}:signal=SIGKILL:when={number}"]
    strace = [*tool("strace", "strace", "libunwind8"), "-qq", "-o", "/dev/null"]
    try:
        return lab.start_under([*strace, *inject], "container_bundle", **options)()
    except RuntimeError:
        return None


def test_C8_nothing_of_ours_lies_where_containerd_sweeps(lab: Lab) -> None:
    """At no moment: after each change of a delete it is killed, and run again. What is hidden in the state tree is a
    rest that containerd passes over, and in the work tree one that it may delete, as it does at its next start."""
    lab.run("other")
    before = everything(lab)
    lab.run("a5")
    lab.host.must(["touch", *[f"{WORK['v2']}/{NAMESPACE}/a5/log-{number}" for number in range(5)]])
    state, work = f"{BUNDLES['v2']}/{NAMESPACE}", f"{WORK['v2']}/{NAMESPACE}"
    rest = re.compile(r"\.a5\.[0-9a-f]{16}")
    lab.kill_all()
    swept = False
    for _time in range(30):
        ended = killed_at(lab, "unlinkat", 4, **FREE)  # an entry or two are gone by then
        hidden = {path for path in everything(lab) - before if "/." in path or "lock" in path}
        assert [path for path in hidden if not re.match(f"({state}|{work})/{rest.pattern}(/|$)", path)] == []
        if ended is not None:
            break
        if not swept and any(rest.fullmatch(name) for name in names(lab, work)):
            swept = True
            lab.start()
            assert not [name for name in names(lab, work) if name.startswith(".")]
            lab.kill_all()
    assert swept and ended is not None and not ended.failed, ended
    assert "a5" not in names(lab, state) and not [one for one in names(lab, work) if rest.fullmatch(one)]


def test_C8_a_creation_that_is_killed_needs_nothing_that_containerd_sweeps(lab: Lab) -> None:
    """It is hidden in the state tree until it is whole; its work directory has its own name, and is made again."""
    before = everything(lab)
    state, work = f"{BUNDLES['v2']}/{NAMESPACE}", f"{WORK['v2']}/{NAMESPACE}"
    assert killed_at(lab, "renameat2", 1, **OPTIONS, spec=SPEC) is None
    assert [name for name in names(lab, state) if not re.fullmatch(r"\.a5\.[0-9a-f]{16}", name)] == []
    assert names(lab, work) == ["a5"]
    lab.kill_daemon()
    lab.start()
    assert names(lab, work) == []
    assert lab.module("container_bundle", **OPTIONS, spec=SPEC).changed
    assert names(lab, state) == names(lab, work) == ["a5"]
    assert lab.module("container_bundle", **FREE).changed
    assert everything(lab) - before <= {state, work}
