# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The real virtiofsd and QEMU as owners: their children, namespaces and locks (safety.md B1, D3; V2, V3)."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from ansible_collections.sandboxed.containers.tests.integration.kata.conftest import Modules, fetched, gone
from ansible_collections.sandboxed.containers.tests.lab import kata, mounting, processes, real_programs
from ansible_collections.sandboxed.containers.tests.lab.kata import Sandbox, Shared
from ansible_collections.sandboxed.containers.tests.lab.kata_programs import for_real_qemu
from ansible_collections.sandboxed.containers.tests.lab.real_programs import Real, as_real
from ansible_collections.sandboxed.containers.tests.lab.stand_ins import Crowd, Started

pytestmark = pytest.mark.real
DAEMONS = [
    pytest.param("kata_persist", "old virtiofsd", real_programs.old_virtiofsd, id="C"),
    pytest.param("kata_persist", "virtiofsd", real_programs.virtiofsd, id="Rust"),
    pytest.param("kata_rs", "virtiofsd", real_programs.virtiofsd, id="Rust with a socket path"),
]


def serving(crowd: Crowd, layout: str, kind: str, get: Callable[[], Real]) -> tuple[Sandbox, Shared, Started]:
    """A sandbox of which only the file daemon is left, and which it serves still."""
    real = fetched(get)
    box = kata.sandbox(layout, "lab-web-1", ["lab-web-1", "lab-app-1"])
    box.write()
    shared = box.make_share()
    program = box.program(kind)
    owner = crowd.start_real(*as_real(program, real))
    processes.wait_until(program.sockets[0].is_socket, "the socket")
    if kind == "virtiofsd":  # the one in Rust has a child in namespaces of its own from the start, which dies with it
        processes.wait_until(lambda: len(family(owner)) == 2, "its child")
    box.engine_cleans_up()
    return box, shared, owner


def family(owner: Started) -> list[int]:
    """The pids of a daemon and of its children, by their common command line."""
    wanted = processes.argv(owner.pid) or owner.program.argv
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and processes.argv(int(name)) == wanted]


@pytest.mark.parametrize(("layout", "kind", "real"), DAEMONS)
def test_B1_looking_ends_no_daemon(crowd: Crowd, layout: str, kind: str, real: Callable[[], Real]) -> None:
    """One connection to its socket, opened and closed, would end it."""
    box, shared, owner = serving(crowd, layout, kind, real)
    modules, data = Modules(box), shared.checksum()
    for _time in range(2):
        assert modules.verdict == "live"
        refused = modules.absent(on_mounted="unmount", force=True)
        assert refused.failed and f"(pid {owner.pid}," in refused.message
    assert not owner.wait(0.2)
    assert shared.checksum() == data


@pytest.mark.parametrize(("layout", "kind", "real"), DAEMONS)
def test_V3_a_daemon_without_a_machine_is_stopped(
    crowd: Crowd, layout: str, kind: str, real: Callable[[], Real]
) -> None:
    """Kata leaves it when QEMU is dead. Its own mount namespace has a copy of every mount, which goes with it."""
    box, shared, owner = serving(crowd, layout, kind, real)
    data = shared.checksum()
    done = Modules(box).absent(on_mounted="unmount", stop_processes=True)
    assert done.changed and not done.failed, done.message
    assert owner.wait() and family(owner) == []
    assert gone(box) == [] and mounting.below(box.share_dir) == [] and shared.checksum() == data


@pytest.mark.parametrize(("layout", "kind", "real"), DAEMONS)
def test_V2_a_killed_daemon_leaves_what_can_be_removed(
    crowd: Crowd, layout: str, kind: str, real: Callable[[], Real]
) -> None:
    """A socket that nobody serves, and a pid file that nobody locks."""
    box, shared, owner = serving(crowd, layout, kind, real)
    data = shared.checksum()
    processes.kill(*(set(family(owner)) - {owner.pid}))
    owner.kill()
    assert Modules(box).verdict == "leftover"
    done = Modules(box).absent(on_mounted="unmount")
    assert done.changed and not done.failed, done.message
    assert gone(box) == [] and mounting.below(box.share_dir) == [] and shared.checksum() == data


@pytest.mark.long
@pytest.mark.parametrize("layout", ["kata_store", "kata_persist", "kata_rs"])
def test_a_real_qemu_is_an_owner(crowd: Crowd, layout: str) -> None:
    box = kata.sandbox(layout)
    box.write()
    program = box.program("qemu")
    owner = crowd.start_real(*as_real(for_real_qemu(program), fetched(real_programs.qemu)))
    for path in program.sockets:
        processes.wait_until(path.is_socket, f"{path}")
    box.engine_cleans_up()
    refused = Modules(box).absent(force=True)
    assert refused.failed and f"(pid {owner.pid}," in refused.message and not owner.wait(0)
    done = Modules(box).absent(stop_processes=True)
    assert done.changed and not done.failed, done.message
    assert owner.wait() and gone(box) == []
