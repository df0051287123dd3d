# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who owns a sandbox: each kind of process alone, and those that only look like it (safety.md A1, A7, A8, B2, E)."""

from __future__ import annotations

import fcntl
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.sandboxed.containers.tests.integration.kata.conftest import Modules, gone, some_long
from ansible_collections.sandboxed.containers.tests.lab import kata, kata_cgroups, processes, trees
from ansible_collections.sandboxed.containers.tests.lab.kata import Sandbox
from ansible_collections.sandboxed.containers.tests.lab.kata_documents import Facts
from ansible_collections.sandboxed.containers.tests.lab.kata_programs import OWNERS, STRANGERS
from ansible_collections.sandboxed.containers.tests.lab.stand_ins import Crowd, Program

pytestmark = pytest.mark.real
EACH = [(layout, kind) for layout, kinds in OWNERS.items() for kind in kinds]
STOPPABLE = [(layout, kind) for layout, kind in EACH if kind not in ("shim", "runtime")]
GO = ["kata_store", "kata_persist"]


@pytest.mark.parametrize(("layout", "kind"), EACH)
def test_A7_each_owner_alone_makes_it_live(crowd: Crowd, modules: Modules, kind: str) -> None:
    """No document records its pid, and nobody else lives. force overrides unknown, never life."""
    owner = crowd.start(modules.box.program(kind))
    before = trees.listing(*modules.box.trees)
    refused = modules.absent(force=True)
    assert refused.failed, refused.answer
    assert f"(pid {owner.pid}," in refused.message and "in use" in refused.message
    assert owner.lives()
    assert trees.listing(*modules.box.trees) == before
    assert modules.verdict == "live"


@pytest.mark.parametrize(("layout", "kind"), STOPPABLE)
def test_E1_each_owner_is_stopped_and_nobody_else(crowd: Crowd, modules: Modules, kind: str) -> None:
    owner = crowd.start(modules.box.program(kind))
    others = [crowd.start(modules.box.program(one)) for one in STRANGERS]
    modules.box.engine_cleans_up()
    done = modules.absent(stop_processes=True, force=True)
    assert not done.failed, done.message
    assert not owner.lives()
    assert all(one.lives() for one in others)
    assert gone(modules.box) == []


@pytest.mark.parametrize("layout", list(OWNERS))
def test_an_engines_shim_is_left_to_its_engine(crowd: Crowd, modules: Modules) -> None:
    owner = crowd.start(modules.box.program("shim"))
    refused = modules.absent(stop_processes=True, force=True)
    assert refused.failed and "engine" in refused.message
    assert owner.lives()


@pytest.mark.parametrize("layout", some_long("kata_persist", "kata_store", "kata_rs"))
def test_a_stubborn_owner_is_killed(crowd: Crowd, modules: Modules) -> None:
    owner = crowd.start(replace(modules.box.program("qemu"), stubborn=True))
    modules.box.engine_cleans_up()
    done = modules.absent(stop_processes=True)
    assert not done.failed, done.message
    assert not owner.lives() and gone(modules.box) == []


@pytest.mark.parametrize("layout", list(OWNERS))
def test_A1_a_stopped_owner_is_alive(crowd: Crowd, modules: Modules) -> None:
    owner = crowd.start(modules.box.program("qemu"))
    owner.send(signal.SIGSTOP)
    processes.wait_until(lambda: " T " in Path(f"/proc/{owner.pid}/stat").read_text(), "the stop")
    assert modules.absent(force=True).failed
    assert modules.verdict == "live"


@pytest.mark.parametrize("kind", list(STRANGERS))
def test_A8_a_stranger_is_no_owner(crowd: Crowd, modules: Modules, kind: str) -> None:
    """Ids match whole; what only mentions the name may be asked about, and gets no signal (E2)."""
    stranger = crowd.start(modules.box.program(kind))
    assert modules.verdict != "live"
    if "longer id" in kind:
        assert modules.verdict == "leftover"
    done = modules.absent(force=True, stop_processes=True)
    assert not done.failed, done.message
    assert gone(modules.box) == []
    assert stranger.lives()


@pytest.mark.parametrize("layout", ["kata_rs"])
def test_A8_a_directory_of_the_machine_is_no_container(crowd: Crowd, modules: Modules) -> None:
    """Firecracker's `run`, `root` of all: names that half of all processes have in a path."""
    stranger = crowd.start(Program("/usr/bin/dbus-daemon", ["--address=unix:path=/run/dbus/root/hooks/socket"]))
    for name in ("run", "root", "hooks"):
        trees.directory(modules.box.state_dir / name, 0o750)
    found = modules.look()
    assert found["verdict"] == "leftover", found["evidence"]
    assert modules.absent().changed and gone(modules.box) == []
    assert stranger.lives()


@pytest.mark.parametrize(("layout", "kind"), [pair for pair in EACH if pair[1] in ("shim", "qemu")])
def test_K12_an_owner_without_any_document_is_found(crowd: Crowd, modules: Modules, kind: str) -> None:
    """kata#2198: what a torn delete leaves is a process and an empty directory."""
    box = modules.box
    owner = crowd.start(box.program(kind))
    for path in [path for tree in box.trees for path in tree.rglob("*.json")]:
        path.unlink()
    refused = modules.absent()
    assert refused.failed and f"(pid {owner.pid}," in refused.message
    assert owner.lives()


def test_B2_whoever_listens_there_uses_it(crowd: Crowd, modules: Modules) -> None:
    """In a network namespace of its own, as Kata starts QEMU, and with arguments that tell nothing."""
    path = (
        modules.box.vm_dir / "qmp.sock" if modules.box.layout != "kata_rs" else modules.box.state_dir / "console.sock"
    )
    trees.directory(path.parent, 0o750)
    owner = crowd.start(Program("/usr/bin/something", listens=[path], own_network=True))
    refused = modules.absent(force=True)
    assert refused.failed and str(path) in refused.message
    assert path.is_socket() and owner.lives()


def test_a_monitor_socket_alone_is_dead(modules: Modules) -> None:
    """kata#2805, kata#6427: a directory with only shim-monitor.sock, on which nobody listens."""
    box = modules.box
    for tree in box.trees:
        trees.remove(tree)
    trees.leave_socket(box.state_dir / "shim-monitor.sock")
    assert modules.verdict == "leftover"
    done = modules.absent()
    assert not done.failed and done.changed, done.message
    assert gone(box) == []


def test_A7_a_process_in_its_cgroup_may_own_it(crowd: Crowd, modules: Modules) -> None:
    if why := kata_cgroups.available():
        pytest.skip(why)
    owner = crowd.start(Program("/usr/bin/renamed", cgroups=kata_cgroups.overhead("lab-web-1")))
    assert modules.verdict in ("live", "unknown")
    refused = modules.absent()
    assert refused.failed and f"(pid {owner.pid}," in refused.message and "cgroup" in refused.message


@pytest.mark.parametrize("layout", GO)
@pytest.mark.parametrize("kind", ["qemu", "virtiofsd"])
def test_A7_a_factorys_machine_knows_its_own_name_alone(crowd: Crowd, layout: str, kind: str) -> None:
    """Its sandbox is named in no argument; the links and the document's VMid lead to it."""
    box = kata.sandbox(layout, facts=Facts(vm_id="2f6a1a6e-77f7-4b8e"))
    box.write()
    box.make_vm()
    trees.remove(box.vm_dir.parent / box.facts.vm_id)
    owner = crowd.start(box.program(kind))
    assert "lab-web-1" not in " ".join(processes.argv(owner.pid))
    refused = Modules(box).absent(force=True)
    assert refused.failed and f"(pid {owner.pid}," in refused.message


@pytest.mark.parametrize("layout", ["kata_persist"])
def test_A8_firecrackers_directory_is_that_of_every_sandbox_with_its_prefix(crowd: Crowd, layout: str) -> None:
    prefix = "0123456789abcdef0123456789abcdef"
    dead, alive = (
        kata.sandbox(layout, f"{prefix}-{name}", facts=Facts(hypervisor="firecracker")) for name in ("dead", "alive")
    )
    for box in (dead, alive):
        box.write()
    owner = crowd.start(alive.program("jailed firecracker"))
    assert dead.firecracker_dir == alive.firecracker_dir
    refused = Modules(dead).absent()
    assert refused.failed and f"(pid {owner.pid}," in refused.message
    owner.kill()
    done = Modules(dead).absent()
    assert not done.failed, done.message
    assert not dead.state_dir.exists()
    assert alive.firecracker_dir.exists() and alive.state_dir.exists()
    last = Modules(alive).absent()
    assert not last.failed and gone(alive) == [], last.message


@pytest.mark.parametrize("hypervisor", ["dragonball", "remote"])
def test_A7_a_machine_without_a_process_here_is_unknown(host: None, layout: str, hypervisor: str) -> None:
    box = kata.sandbox(layout, facts=Facts(hypervisor=hypervisor))
    box.write()
    modules = Modules(box)
    found = modules.look()
    assert found["verdict"] == "unknown" and hypervisor in str(found)
    assert modules.absent().failed
    assert modules.absent(force=True).changed
    assert gone(box) == []


def test_other_hypervisors_are_processes(host: None, layout: str) -> None:
    kinds = ["clh", "cloud-hypervisor", "firecracker", "stratovirt", "something-new"]
    boxes = [kata.sandbox(layout, f"lab-web-{kind}", facts=Facts(hypervisor=kind)) for kind in kinds]
    for box in boxes:
        box.write()
    assert {one["verdict"] for one in Modules(boxes[0]).info().sandboxes} == {"leftover"}


def test_A2_silence_proves_nothing_where_processes_are_hidden(modules: Modules) -> None:
    """A host of its own is not the initial pid namespace; without the assertion nothing is dead there."""
    blind = modules._replace(sees_all=None)
    assert blind.verdict == "unknown"
    refused = blind.absent()
    assert refused.failed and "pid namespace" in refused.message
    assert modules.verdict == "leftover"


@pytest.mark.parametrize("place", ["state", "container", "config"])
def test_D8_nobody_stands_in_what_is_removed(crowd: Crowd, modules: Modules, place: str) -> None:
    box = modules.box
    folder = {"state": box.state_dir, "container": box.state_dir / "lab-app-1", "config": box.trees[0]}[place]
    trees.directory(folder, 0o750)
    someone = crowd.start(Program("/bin/someone", cwd=folder))
    before = trees.listing(*box.trees)
    refused = modules.absent(force=True)
    assert refused.failed and f"(pid {someone.pid}" in refused.message
    assert trees.listing(*box.trees) == before


def test_D8_nobody_has_a_file_of_it_open(crowd: Crowd, modules: Modules) -> None:
    document = next(modules.box.state_dir.rglob("*.json"))
    someone = crowd.start(Program("/bin/someone", opens=[document]))
    refused = modules.absent(force=True)
    assert refused.failed and f"(pid {someone.pid}" in refused.message
    assert document.exists()


@pytest.mark.parametrize("layout", ["kata_store"])
def test_C3_a_runtime_that_has_the_lock_open_is_waited_for(crowd: Crowd, modules: Modules) -> None:
    """Kata 1.x never compares the inode after waiting, so a lock that somebody may wait for stays (K5, K6)."""
    lock = modules.box.state_dir / "lock"
    runtime = crowd.start(Program("/usr/bin/kata-other", opens=[lock]))
    refused = modules.absent(force=True, lock_timeout=1)
    assert refused.failed and f"(pid {runtime.pid}" in refused.message
    assert lock.exists() and modules.box.trees[0].exists()


@pytest.mark.parametrize("layout", GO)
def test_the_runtimes_own_lock_is_respected(crowd: Crowd, modules: Modules) -> None:
    """R1: the store's lock file, and with persist the directory itself; the holder is named."""
    lock = modules.box.state_dir / "lock" if modules.box.layout == "kata_store" else modules.box.state_dir
    handle = os.open(lock, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    refused = modules.absent(lock_timeout=0.3)
    assert refused.failed and f"pid {os.getpid()}" in refused.message
    assert modules.box.state_dir.exists()
    os.close(handle)
    assert modules.absent().changed


def test_F3_the_documents_of_a_live_sandbox_are_never_written(crowd: Crowd, modules: Modules, box: Sandbox) -> None:
    crowd.start(box.program("qemu"))
    path = box.state_dir / ("persist.json" if box.layout == "kata_persist" else "state.json")
    before = path.read_bytes()
    name = path.stem
    refused = modules.present(documents={name: {"state": "stopped"}}, force=True, stop_processes=True)
    assert refused.failed and "in use" in refused.message
    assert path.read_bytes() == before
