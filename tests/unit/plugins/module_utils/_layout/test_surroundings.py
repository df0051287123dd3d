# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import cast

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import Unreadable
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory, open_given
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.plain_files import MOST_BYTES
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import RecordedProcess
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.beside import signs_in
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.registry import LAYOUTS
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.surroundings import (
    Beside,
    find_surroundings,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.trees import TreeLayout
from ansible_collections.sandboxed.containers.plugins.module_utils._object.tree import Tree
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._layout.support_kata import (
    KATA,
    NAME,
    SHARE,
    SID,
    VM,
    layout_of,
    put,
    read,
    roots_of,
)

TASKS = "io.containerd.runtime.v2.task"
NEEDS_NO_ROOT = pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")


def beside(layout: str, host: Path, name: str = NAME, aliases: frozenset[str] = frozenset()) -> Beside:
    with roots_of(layout, host) as roots:
        return find_surroundings(layout_of(layout).places, roots).of(name, aliases)


# What R10 lists for each runtime: the layouts that sweep it, its kind, and its place with the sandbox's name.
PLACES = [
    ({"kata_store", "kata_persist"}, "vm", f"{VM}/{{}}"),
    ({"kata_store", "kata_persist"}, "firecracker", "run/vc/firecracker/{}"),
    (set(KATA), "share", f"{SHARE}/{{}}"),
    ({"kata_persist"}, "initdata", "run/kata-containers/shared/initdata/{}"),
    ({"kata_rs"}, "jail", "run/kata/firecracker/{}"),
]


@pytest.mark.parametrize("layout", KATA)
@pytest.mark.parametrize(("layouts", "role", "place"), PLACES, ids=[role for _layouts, role, _place in PLACES])
def test_R10_what_belongs_to_a_sandbox_beside_its_state(
    tmp_path: Path, layout: str, layouts: set[str], role: str, place: str
) -> None:
    for name in (NAME, f"{NAME}0", "other"):
        put(tmp_path / place.format(name) / "some-file")
    found = beside(layout, tmp_path)
    wanted = [(role, f"{tmp_path}/{place.format(NAME)}")] if layout in layouts else []
    assert [(part.role, part.path) for part in found.parts] == wanted
    assert (found.problems, found.doubts, found.sockets, found.pids) == ((), (), (), ())


@pytest.mark.parametrize("layout", KATA)
def test_D5_what_is_not_a_sandboxs_is_no_part_of_one(tmp_path: Path, layout: str) -> None:
    for place in (
        f"{VM}/template/memory",
        "run/kata-containers/shared/direct-volumes/template/mountInfo.json",
        "run/kata-containers/shared/sandboxes/other/mounts/x",
        "run/peerpod/template/x",
        "var/run/kata-containers/cache.sock",
    ):
        put(tmp_path / place)
    assert beside(layout, tmp_path, "template").parts == ()
    assert beside(layout, tmp_path).parts == ()


def test_nothing_beside_costs_nothing_and_says_nothing(tmp_path: Path) -> None:
    assert beside("kata_persist", tmp_path) == Beside()


def test_A8_firecrackers_directory_has_the_first_32_characters(tmp_path: Path) -> None:
    put(tmp_path / "run/vc/firecracker" / SID[:32] / "root/firecracker.pid", b"4711")
    found = beside("kata_persist", tmp_path, SID)
    assert [part.name for part in found.parts] == [SID[:32]] and found.aliases == frozenset()
    assert found.pids == (RecordedProcess("hypervisor", 4711, ""),)
    for other in (SID[:31], SID[:32] + "x" * 8, SID[:32]):
        wanted = other[:32] == SID[:32]
        assert bool(beside("kata_persist", tmp_path, other).parts) is wanted


@pytest.mark.parametrize("target", ["/run/vc/vm/{}", "{}", "../vm/{}", "/run/vc/vm/{}/"])
def test_R6_a_link_to_a_factorys_machine_is_a_part_and_its_target_is_none(tmp_path: Path, target: str) -> None:
    """The machine is looked at for signs of life alone: its sockets and its pid are those of this sandbox."""
    put(tmp_path / VM / "vm-1" / "pid", b"4711\n")
    put(tmp_path / VM / "vm-1" / "qmp.sock")
    (tmp_path / VM / NAME).symlink_to(target.format("vm-1").rstrip("/"))
    found = beside("kata_persist", tmp_path)
    assert [(part.role, part.path) for part in found.parts] == [("vm", f"{tmp_path}/{VM}/{NAME}")]
    assert found.aliases == {"vm-1"} and found.sockets == (f"{tmp_path}/{VM}/vm-1/qmp.sock",)
    assert found.pids == (RecordedProcess("hypervisor", 4711, ""),)


def test_R6_the_linked_mounts_of_a_share_name_the_machine_too(tmp_path: Path) -> None:
    (tmp_path / SHARE / NAME).mkdir(parents=True)
    (tmp_path / SHARE / NAME / "mounts").symlink_to("/run/vc/vm/vm-1/shared")
    put(tmp_path / VM / "vm-1" / "pid", b"4711\n")
    found = beside("kata_persist", tmp_path)
    assert [part.role for part in found.parts] == ["share"]
    assert found.aliases == {"vm-1"} and [pid.pid for pid in found.pids] == [4711]


def test_R6_a_machine_that_only_a_document_names_is_looked_at_too(tmp_path: Path) -> None:
    put(tmp_path / VM / "vm-1" / "pid", b"4711\n")
    found = beside("kata_persist", tmp_path, aliases=frozenset({"vm-1", "gone"}))
    assert (found.parts, [pid.pid for pid in found.pids]) == ((), [4711])


def test_D5_the_template_is_no_machine_of_a_sandbox_that_links_to_it(tmp_path: Path) -> None:
    put(tmp_path / VM / "template" / "pid", b"4711\n")
    (tmp_path / VM / NAME).symlink_to("template")
    assert [part.path for part in beside("kata_persist", tmp_path).parts] == [f"{tmp_path}/{VM}/{NAME}"]


def test_a_link_in_the_place_of_a_share_is_a_part_and_not_followed(tmp_path: Path) -> None:
    put(tmp_path / "else" / "x.sock")
    (tmp_path / SHARE).mkdir(parents=True)
    (tmp_path / SHARE / NAME).symlink_to(tmp_path / "else")
    found = beside("kata_rs", tmp_path)
    assert [part.path for part in found.parts] == [f"{tmp_path}/{SHARE}/{NAME}"]
    assert found.sockets == () and found.problems == ()


@pytest.mark.parametrize("layout", KATA)
@pytest.mark.parametrize("state", ["containerd", "k3s/containerd", "docker/containerd"])
@pytest.mark.parametrize("namespace", ["k8s.io", "moby"])
def test_A4_A10_a_bundle_of_any_engine_means_that_it_may_know_the_sandbox(
    tmp_path: Path, layout: str, state: str, namespace: str
) -> None:
    for name in (NAME, f"{NAME}0"):
        (tmp_path / f"run/{state}/{TASKS}/{namespace}/{name}").mkdir(parents=True)
    path = f"{tmp_path}/run/{state}/{TASKS}/{namespace}/{NAME}"
    assert beside(layout, tmp_path).doubts == (f"its engine may still know it: the bundle {path} exists",)
    assert read(layout, tmp_path).doubts == beside(layout, tmp_path).doubts


def test_A4_a_bundle_of_the_host_is_not_looked_for_in_an_image(tmp_path: Path) -> None:
    """An absolute link inside the image stays inside it (promise 5)."""
    outside = tmp_path / "outside" / TASKS / "k8s.io" / NAME
    outside.mkdir(parents=True)
    (tmp_path / "image/run").mkdir(parents=True)
    (tmp_path / "image/run/containerd").symlink_to(tmp_path / "outside")
    assert beside("kata_persist", tmp_path / "image") == Beside()


@pytest.mark.parametrize(
    ("place", "words"),
    [
        (VM, "whether a vm of it is left cannot be told: {}/run/vc/vm: Not a directory"),
        (
            SHARE,
            "whether a share of it is left cannot be told: {}/run/kata-containers/shared/sandboxes: Not a directory",
        ),
        (f"run/containerd/{TASKS}/k8s.io", ""),
    ],
)
def test_promise_7_a_place_that_cannot_be_listed_is_told_once_in_plain_words(
    tmp_path: Path, place: str, words: str
) -> None:
    """A file in a namespace's place is no namespace; in the place of a whole directory nothing is known."""
    put(tmp_path / place)
    assert beside("kata_persist", tmp_path).problems == ((words.format(tmp_path),) if words else ())


@NEEDS_NO_ROOT
def test_promise_7_a_closed_place_is_told(tmp_path: Path) -> None:
    put(tmp_path / VM / NAME / "pid")
    (tmp_path / VM).chmod(0)
    try:
        (problem,) = beside("kata_persist", tmp_path).problems
    finally:
        (tmp_path / VM).chmod(0o755)
    assert "Permission denied" in problem


def test_promise_7_a_machine_that_cannot_be_read_is_a_problem_of_its_sandbox_alone(tmp_path: Path) -> None:
    put(tmp_path / VM / NAME)
    put(tmp_path / VM / "other" / "pid", b"5")
    (problem,) = beside("kata_persist", tmp_path).problems
    assert problem == f"{tmp_path}/{VM}/{NAME} cannot be read: it is no directory"
    assert beside("kata_persist", tmp_path, "other").problems == ()


@pytest.mark.parametrize(
    ("name", "data", "role", "pid"),
    [
        ("pid", b"4711", "hypervisor", 4711),
        ("pid", b"4711\n", "hypervisor", 4711),
        ("firecracker.pid", b" 4711 \n", "hypervisor", 4711),
        ("virtiofsd.sock.pid", b"4712\n", "virtiofsd", 4712),
        ("virtiofsd.sock.pid", b"47\n11", "virtiofsd", 47),
        ("pid", b"", "", 0),
        ("pid", b"0\n", "", 0),
        ("pid", b"-1\n", "", 0),
        ("pid", b"4711x", "", 0),
        ("pid", b"\n4711", "", 0),
        ("pid", b"9" * 20, "", 0),
        ("pid", b"\xd9\xa1", "", 0),
        ("a.pid.txt", b"4711", "", 0),
        ("pidfile", b"4711", "", 0),
    ],
)
def test_pid_files(tmp_path: Path, name: str, data: bytes, role: str, pid: int) -> None:
    put(tmp_path / name, data)
    found = signs_in(Directory(-1, str(tmp_path))).pids
    assert found == ((RecordedProcess(role, pid, ""),) if pid else ())


def test_signs_of_an_open_a_closed_and_a_missing_directory(tmp_path: Path) -> None:
    for name in ("qmp.sock", "kata.hvsock", "a.socket", "sock"):
        put(tmp_path / name)
    wanted = (f"{tmp_path}/kata.hvsock", f"{tmp_path}/qmp.sock")
    with open_given(str(tmp_path)) as opened:
        assert signs_in(opened).sockets == wanted and opened.exists
    assert signs_in(Directory(-1, str(tmp_path))).sockets == wanted
    assert signs_in(Directory(-1, f"{tmp_path}/none")) == ((), ())


@pytest.mark.parametrize("kind", ["fifo", "directory", "link"])
def test_B6_what_is_no_plain_pid_file_is_unreadable_and_not_waited_for(tmp_path: Path, kind: str) -> None:
    if kind == "fifo":
        os.mkfifo(tmp_path / "pid")
    elif kind == "directory":
        (tmp_path / "pid").mkdir()
    else:
        (tmp_path / "pid").symlink_to(put(tmp_path / "else", b"5"))
    with pytest.raises(Unreadable, match="not a plain file"):
        signs_in(Directory(-1, str(tmp_path)))


def test_B6_a_pid_file_of_any_size_is_not_read_whole(tmp_path: Path) -> None:
    put(tmp_path / "pid")
    os.truncate(tmp_path / "pid", MOST_BYTES + 1)
    with pytest.raises(Unreadable, match="more than"):
        signs_in(Directory(-1, str(tmp_path)))


def test_A1_a_directory_that_cannot_be_listed_is_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it can be opened: a disk may fail at any time."""

    def broken(_self: Directory) -> list[str]:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(Directory, "names", broken)
    with pytest.raises(Unreadable, match="it cannot be listed"):
        signs_in(Directory(-1, str(tmp_path)))


def test_A1_a_place_that_cannot_be_listed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = cast(TreeLayout, LAYOUTS["kata_persist"])
    (tmp_path / "run/vc/vm").mkdir(parents=True)
    roots = Tree(layout, str(tmp_path), {}).roots

    def broken(_directory: Directory) -> list[str]:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    assert find_surroundings(layout.places, roots).of("web-1", frozenset(), False).problems == ()
    monkeypatch.setattr(Directory, "names", broken)
    (problem,) = find_surroundings(layout.places, roots).of("web-1", frozenset(), False).problems
    assert problem == "whether a vm of it is left cannot be told: Input/output error"
