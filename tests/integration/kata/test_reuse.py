# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Recorded pids that are somebody else's now, for real: the kernel gave the number again (R7, V4, RS2)."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.sandboxed.containers.tests.integration.kata.conftest import Modules, gone
from ansible_collections.sandboxed.containers.tests.lab import kata, processes
from ansible_collections.sandboxed.containers.tests.lab.kata import GENERATIONS, Sandbox
from ansible_collections.sandboxed.containers.tests.lab.kata_documents import Facts
from ansible_collections.sandboxed.containers.tests.lab.stand_ins import Crowd, Program

pytestmark = pytest.mark.real
PIDS = Facts(vmm_pid=4711, virtiofsd_pid=4712, proxy_pid=4713, container_pid=4714)
ROLES = [
    ("kata_store", 4713, "proxy"),
    ("kata_store", 4714, "container shim"),
    ("kata_persist", 4711, "qemu"),
    ("kata_persist", 4712, "virtiofsd"),
    ("kata_persist", 4714, "shim"),
    ("kata_rs", 4711, "qemu"),
    ("kata_rs", 4712, "virtiofsd"),
]


def recorded(layout: str, sandbox_id: str = "lab-web-1") -> Sandbox:
    """A sandbox whose documents name all the pids that the generation records."""
    box = kata.sandbox(layout, sandbox_id, facts=PIDS)
    box.write()
    return box


@pytest.mark.parametrize("stop_processes", [False, True], ids=["plain", "stop"])
@pytest.mark.parametrize(("layout", "pid", "kind"), ROLES)
def test_R7_a_reused_pid_survives(crowd: Crowd, layout: str, pid: int, kind: str, stop_processes: bool) -> None:
    box = recorded(layout)
    owner = crowd.start(box.program(kind), pid=pid)
    assert Modules(box).verdict == "live"
    owner.kill()
    box.engine_cleans_up()
    stranger = crowd.start(Program("/usr/sbin/sshd", ["-D"]), pid=pid)
    found = Modules(box).look()
    assert found["verdict"] == "leftover", found
    assert any(f"recorded pid {pid}" in one and "sshd" in one for one in found["evidence"]), found
    done = Modules(box).absent(stop_processes=stop_processes)
    assert not done.failed, done.message
    assert gone(box) == []
    assert stranger.lives()


@pytest.mark.parametrize(("layout", "pid", "kind"), ROLES)
def test_R7_the_pid_is_now_another_sandboxs(crowd: Crowd, layout: str, pid: int, kind: str) -> None:
    """The hardest reuse: the same program, in the same role, of a sandbox that lives."""
    box, other = recorded(layout), recorded(layout, "lab-web-2")
    neighbour = crowd.start(other.program(kind), pid=pid)
    assert Modules(box).verdict == "leftover"
    done = Modules(box).absent(stop_processes=True)
    assert not done.failed, done.message
    assert gone(box) == []
    assert neighbour.lives() and Modules(other).verdict == "live"


@pytest.mark.parametrize(("layout", "pid", "kind"), ROLES)
def test_R7_the_pid_is_now_a_thread_of_another(crowd: Crowd, layout: str, pid: int, kind: str) -> None:
    """A number that is a thread's is no process's; nobody is signalled."""
    box = recorded(layout)
    threaded = crowd.start_thread(pid)
    done = Modules(box).absent(stop_processes=True)
    assert not done.failed, done.message
    assert gone(box) == [] and threaded.lives()


def test_E1_an_owner_younger_than_the_record_is_not_the_one_it_means(crowd: Crowd) -> None:
    """It proves life, since it names the sandbox; it is not proved to be what was recorded, so it gets no signal."""
    boxes = [recorded(layout, f"lab-web-{layout}") for layout in GENERATIONS]
    newest = boxes[-1].state_dir
    processes.wait_until(lambda: processes.seconds_since_change(newest) > 2.5, "the records to be older")
    owners = [crowd.start(box.program("qemu")) for box in boxes]
    for box in boxes:
        box.engine_cleans_up()
        refused = Modules(box).absent(stop_processes=True)
        assert refused.failed and "older than its state" in refused.message
        assert box.state_dir.exists()
    assert all(owner.lives() for owner in owners)


@pytest.mark.parametrize("layout", ["kata_rs"])
def test_RS2_the_bundles_shim_pid_is_never_trusted(crowd: Crowd, layout: str) -> None:
    """runtime-rs kills whoever has the number in shim.pid when state.json is torn."""
    box = recorded(layout)
    (box.state_dir / "state.json").write_bytes(b"")
    stranger = crowd.start(Program("/usr/sbin/sshd", ["-D"]))
    bundle = Path("/run/containerd/io.containerd.runtime.v2.task/k8s.io/lab-web-1")
    bundle.mkdir(parents=True)
    (bundle / "shim.pid").write_text(str(stranger.pid))
    for options in ({"stop_processes": True}, {"stop_processes": True, "force": True}):
        Modules(box).absent(**options)
    assert stranger.lives() and (bundle / "shim.pid").exists()
    assert not box.state_dir.exists()


@pytest.mark.parametrize("layout", ["kata_rs"])
def test_RS7_a_live_daemon_keeps_its_socket_and_pid_file(crowd: Crowd, layout: str) -> None:
    """runtime-rs deletes both while virtiofsd still runs, and then nobody finds it."""
    box = recorded(layout)
    owner = crowd.start(box.program("virtiofsd"))
    assert Modules(box).absent(force=True).failed
    assert (box.state_dir / "root/virtiofsd.sock").is_socket()
    assert (box.state_dir / "root/virtiofsd.sock.pid").read_text() == f"{owner.pid}\n"
    done = Modules(box).absent(stop_processes=True, force=True)
    assert not done.failed and not owner.lives(), done.message


@pytest.mark.parametrize("content", ["4711", "4711\n21\n", "-1\n", "x", "99999999999\n", ""])
@pytest.mark.parametrize("layout", ["kata_persist", "kata_rs"])
def test_V9_a_pid_file_is_a_hint_whatever_it_says(crowd: Crowd, layout: str, content: str) -> None:
    """virtiofsd does not truncate its own: digits of a longer number may stand behind the newline."""
    box = kata.sandbox(layout)
    box.write()
    box.make_vm()
    name = box.state_dir / "root/virtiofsd.sock.pid" if layout == "kata_rs" else box.vm_dir / "pid"
    name.write_text(content)
    stranger = crowd.start(Program("/usr/sbin/sshd", ["-D"]), pid=4711)
    done = Modules(box).absent(stop_processes=True)
    assert not done.failed, done.message
    assert gone(box) == [] and stranger.lives()
