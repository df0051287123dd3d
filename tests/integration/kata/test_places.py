# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The same sandboxes elsewhere: at roots of the user's on the machine itself, in a host's image, in a namespace."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.sandboxed.containers.tests.integration.kata.conftest import Modules, gone
from ansible_collections.sandboxed.containers.tests.integration.kata.test_leftovers import shapes, wanted
from ansible_collections.sandboxed.containers.tests.lab import kata, mounting, own_host, trees
from ansible_collections.sandboxed.containers.tests.lab.kata import Places, Sandbox
from ansible_collections.sandboxed.containers.tests.lab.kata_programs import OWNERS
from ansible_collections.sandboxed.containers.tests.lab.stand_ins import Crowd

pytestmark = pytest.mark.real
NAME = f"kata-{secrets.token_hex(8)}"  # no other process on this machine carries it
KINDS = [
    pytest.param(layout, kind, marks=[] if kind == "qemu" else pytest.mark.long)
    for layout, kinds in OWNERS.items()
    for kind in kinds
    if kind not in ("shim", "runtime")
]


@pytest.fixture
def machine(layout: str) -> Iterator[tuple[Modules, Crowd]]:
    """On the machine itself, in its own namespaces: nothing is asserted about the processes, and nothing is mounted."""
    if os.readlink("/proc/self/ns/pid") != "pid:[4026531836]":
        pytest.skip("this is not the initial pid namespace; run it outside of a container")
    with tempfile.TemporaryDirectory(prefix="kata-") as folder:  # short, so that a socket's address holds its path
        box = kata.sandbox(layout, NAME, [NAME, f"{NAME}-app"], places=Places(Path(folder)))
        box.write()
        with Crowd(Path(folder, "programs")) as crowd:
            yield Modules(box, sees_all=None), crowd


@pytest.mark.parametrize(("layout", "kind"), KINDS)
def test_A2_on_the_machine_itself_nothing_need_be_asserted(machine: tuple[Modules, Crowd], kind: str) -> None:
    modules, crowd = machine
    owner = crowd.start(modules.box.program(kind))
    refused = modules.absent(force=True)
    assert refused.failed and f"(pid {owner.pid}," in refused.message
    assert modules.verdict == "live"
    owner.kill()
    modules.box.engine_cleans_up()
    found = modules.look()
    assert found["verdict"] == "leftover", found["evidence"]
    done = modules.absent()
    assert done.changed and not done.failed, done.message
    assert gone(modules.box) == []


@pytest.fixture
def image(host: None, layout: str) -> Modules:
    """Another host's tree, seen through host_root. Its documents name its own paths."""
    box = kata.sandbox(layout, "lab-web-1", ["lab-web-1", "lab-app-1"], places=Places(Path("/var/lib/image"), told=""))
    box.write()
    box.make_vm()
    return Modules(box)


def options_of(modules: Modules) -> dict[str, object]:
    return {"layout": modules.box.layout, "host_root": "/var/lib/image", "run_root": None, "config_root": None}


def test_A2_the_processes_of_an_image_are_not_here(image: Modules) -> None:
    """Nothing is dead there until the user says so, and nothing is live because of a namesake here."""
    blind = image._replace(sees_all=None)
    refused = blind.start("absent", **options_of(image)).result()
    assert refused.failed and image.box.state_dir.exists()
    done = image.start("absent", **options_of(image)).result()
    assert done.changed and not done.failed, done.message
    assert gone(image.box) == []


def test_an_image_is_made_as_it_would_be_on_its_host(image: Modules) -> None:
    box = image.box
    expected = {
        path: shape for path, shape in shapes(box).items() if not path.endswith(("/root", ".sock", ".sock.pid"))
    }
    for path in (*box.trees, box.vm_dir):
        if path.exists():
            trees.remove(path)
    made = image.make(wanted(box), **options_of(image))
    assert made.changed and not made.failed, made.message
    assert shapes(box) == expected


@pytest.mark.parametrize("name", ["run", "run/vc", "run/kata", "var", "var/lib"])
def test_an_absolute_link_is_taken_inside_the_image(image: Modules, name: str) -> None:
    """With a live tree of the same paths outside."""
    box = image.box
    link = Path("/var/lib/image") / name
    if not link.exists():
        return
    moved = Path("/var/lib/image/moved")
    link.rename(moved)
    link.symlink_to("/moved")
    outside = kata.sandbox(box.layout, "lab-web-1", ["lab-web-1", "lab-app-1"])
    outside.write()
    before = shapes(outside)
    done = image.start("absent", **options_of(image)).result()
    assert done.changed and not done.failed, done.message
    assert shapes(outside) == before
    assert not any("lab-web-1" in path.name for path in moved.rglob("*"))


def test_D3_another_mount_namespace_than_pid_1s_may_not_delete(modules: Modules, box: Sandbox) -> None:
    """What is mounted for the host is not seen from there."""
    before = shapes(box)
    receive, send = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            own_host.leave_mount_namespace()
            answers = [modules._replace(sees_all=None).absent(force=True), modules.info()]
            told = [str(answers[0].failed), answers[0].message, str(answers[1].failed)]
            os.write(send, "\n".join(told).encode())
        finally:
            os._exit(0)
    os.close(send)
    with os.fdopen(receive) as told_by:
        failed, message, looked = told_by.read().split("\n")
    os.waitpid(pid, 0)
    assert (failed, looked) == ("True", "False")
    assert "mount namespace" in message
    assert shapes(box) == before


def test_roots_of_the_users_own(host: None, layout: str) -> None:
    """XDG_RUNTIME_DIR of a rootless runtime, for example; what surrounds a sandbox lies beside them."""
    places = Places(Path("/run/user/1000"))
    box, usual = kata.sandbox(layout, places=places), kata.sandbox(layout)
    for one in (box, usual):
        one.write()
    shared = box.make_share()
    box.engine_cleans_up()
    data, before = shared.checksum(), shapes(usual)
    done = Modules(box).absent(on_mounted="unmount")
    assert done.changed and not done.failed, done.message
    assert gone(box) == [] and mounting.below(box.share_dir) == [] and shared.checksum() == data
    assert shapes(usual) == before
