# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a gVisor sandbox has outside its root directory: filestores and control sockets."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import open_given
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import Roots
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._layout.support_gvisor import (
    GVISOR,
    bind,
    put,
    read,
    root,
    roots,
    state_of,
)

__all__ = ["root", "roots"]


def extras(roots: Roots, sandbox_id: str = "c1") -> list[str]:
    return sorted(part.path for part in read(GVISOR, roots, sandbox_id).parts if part.role in ("socket", "filestore"))


def test_filestores_are_found_in_the_root_file_system_and_the_mount_sources(
    root: Path, roots: Roots, tmp_path: Path
) -> None:
    bundle = tmp_path / "bundle"
    for place in ("rootfs", "volume", "unnamed", "rootfs/deeper"):
        (bundle / place).mkdir(parents=True, exist_ok=True)
        for name in (".gvisor.filestore.c1", ".gvisor.filestore.c11", ".gvisor.filestore.c", "gvisor.filestore.c1"):
            (bundle / place / name).touch()
    put(root / "c1_sandbox:c1.state", state_of(bundle))
    assert extras(roots) == [f"{bundle}/rootfs/.gvisor.filestore.c1", f"{bundle}/volume/.gvisor.filestore.c1"]


def test_a_containers_filestore_is_named_after_its_sandbox(root: Path, roots: Roots, tmp_path: Path) -> None:
    (tmp_path / "b" / "rootfs").mkdir(parents=True)
    for name in ("ctr", "pod"):
        (tmp_path / "b" / "rootfs" / f".gvisor.filestore.{name}").touch()
    put(root / "ctr_sandbox:pod.state", state_of(tmp_path / "b", "pod"))
    (part,) = [part for part in read(GVISOR, roots, "pod").parts if part.role == "filestore"]
    assert part.name == ".gvisor.filestore.pod" and part.container_id == "ctr"


def test_a_relative_root_file_system_lies_in_the_bundle(root: Path, roots: Roots, tmp_path: Path) -> None:
    (tmp_path / "b" / "rootfs").mkdir(parents=True)
    (tmp_path / "b" / "rootfs" / ".gvisor.filestore.c1").touch()
    put(root / "c1_sandbox:c1.state", {"bundleDir": str(tmp_path / "b"), "spec": {"root": {"path": "rootfs"}}})
    assert extras(roots) == [f"{tmp_path}/b/rootfs/.gvisor.filestore.c1"]


@pytest.mark.parametrize(
    "make", [os.mkdir, os.mkfifo, lambda path: path.symlink_to("/etc/passwd")], ids=["dir", "fifo", "link"]
)
def test_only_a_plain_file_is_a_filestore(root: Path, roots: Roots, tmp_path: Path, make: Any) -> None:
    (tmp_path / "b" / "rootfs").mkdir(parents=True)
    make(tmp_path / "b" / "rootfs" / ".gvisor.filestore.c1")
    put(root / "c1_sandbox:c1.state", state_of(tmp_path / "b"))
    assert extras(roots) == []


@pytest.mark.parametrize(
    "path", ["/a\0b", "/\ud800", "relative", "", "/proc/self/fd/999/none", "/dev/null", 7, None, {"a": 1}, "/" * 5000],
    ids=lambda path: ascii(path)[:20],
)  # fmt: skip
def test_a_place_that_is_none_does_not_stop_the_reading(root: Path, roots: Roots, path: Any) -> None:
    put(
        root / "c1_sandbox:c1.state",
        {"bundleDir": path, "spec": {"root": {"path": path}, "mounts": [{"source": path}]}},
    )
    put(root / "c2_sandbox:c2.state", {"bundleDir": "/b", "spec": {"root": 7, "mounts": {"source": path}}})
    for name in ("c1", "c2"):
        reading = read(GVISOR, roots, name)
        assert [part.role for part in reading.parts] == ["state"]
        assert GVISOR.referrers(reading) == []


def test_a_socket_is_taken_from_the_root_directory_by_its_exact_name(root: Path, roots: Roots) -> None:
    (root / "c1_sandbox:c1.lock").touch()
    for name in ("runsc-c1.sock", "runsc-c11.sock", "runsc-c1.sock.old", "runsc-.sock"):
        bind(root / name)
    assert extras(roots) == [f"{root}/runsc-c1.sock"]


def test_a_socket_alone_tells_of_a_sandbox(root: Path, roots: Roots) -> None:
    """The create that destroyed the state of a live sandbox leaves its socket (G1): it must not go unseen."""
    bind(root / "runsc-c1.sock")
    assert GVISOR.sandboxes_of(roots) == {"c1": []}
    assert extras(roots) == [f"{root}/runsc-c1.sock"]


def test_a_plain_file_is_no_socket(root: Path, roots: Roots) -> None:
    (root / "c1_sandbox:c1.lock").touch()
    (root / "runsc-c1.sock").touch()
    assert extras(roots) == []


@pytest.mark.parametrize(
    ("recorded", "found"),
    [
        ("/tmp/runsc-{id}.sock", True),
        ("{elsewhere}/runsc-{id}.sock", False),
        ("/tmp/other-{id}.sock", False),
        ("/tmp/../tmp/runsc-{id}.sock", False),
        ("runsc-{id}.sock", False),
        (7, False),
    ],
    ids=["where runsc may put it", "another place", "another name", "up and down", "relative", "a number"],
)
def test_a_recorded_socket_is_believed_only_where_runsc_puts_one(
    root: Path, roots: Roots, tmp_path: Path, recorded: Any, found: bool
) -> None:
    name = f"sbx-test-{os.getpid()}"
    text = recorded.format(id=name, elsewhere=tmp_path) if isinstance(recorded, str) else recorded
    put(root / f"{name}_sandbox:{name}.state", {"sandbox": {"controlSocketPath": text}})
    places = [Path(f"/tmp/runsc-{name}.sock"), Path(f"/tmp/other-{name}.sock"), tmp_path / f"runsc-{name}.sock"]
    try:
        for place in places:
            bind(place)
        assert extras(roots, name) == ([str(places[0])] if found else [])
    finally:
        for place in places:
            place.unlink()


def test_promise_5_recorded_paths_are_those_of_the_examined_host(tmp_path: Path) -> None:
    """An image's state names /x/rootfs: that is in the image, and the live host's /x/rootfs is somebody else's."""
    live = tmp_path / "live"
    image = tmp_path / "image"
    for bundle in (live, Path(f"{image}{live}")):
        (bundle / "rootfs").mkdir(parents=True)
        (bundle / "rootfs" / ".gvisor.filestore.c1").touch()
    (image / "run").mkdir()
    put(image / "run" / "c1_sandbox:c1.state", state_of(live))
    with open_given(str(image / "run")) as opened:
        found = extras(Roots(str(image), {"run_root": opened}))
    assert found == [f"{image}{live}/rootfs/.gvisor.filestore.c1"]
