# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What sandbox_state keeps or leaves alone: other names, other hosts, what is not seen, and whoever listens."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.tests.unit.plugins.modules.support import run
from ansible_collections.sandboxed.containers.tests.unit.plugins.modules.support_sandbox_state_gvisor import (
    ABSENT,
    BASE,
    CREATE,
    call,
    document,
    make,
    root,
    snapshot,
)

__all__ = ["root"]


@pytest.mark.parametrize("layout", ["gvisor", "gvisor_legacy"])
def test_G7_only_the_exact_name_is_removed(root: Path, layout: str) -> None:
    ending = "_sandbox:{}" if layout == "gvisor" else ""
    for name in ("foo", "foobar", "xfoo"):
        (root / f"{name}{ending.format(name)}.state").write_text("{}")
    result = call(root, sandbox_id="foo", state="absent", layout=layout)
    assert result.actions == ["deleted"]
    assert sorted(os.listdir(root)) == sorted(f"{name}{ending.format(name)}.state" for name in ("foobar", "xfoo"))


def test_one_container_of_a_pod_is_removed_alone(root: Path) -> None:
    for container_id in ("pod-1", "ctr-1", "ctr-2"):
        (root / f"{container_id}_sandbox:pod-1.state").write_text(
            json.dumps(document(container_id, sandbox={"id": "pod-1"}))
        )
        (root / f"{container_id}_sandbox:pod-1.lock").touch()
    result = call(root, sandbox_id="pod-1", container_id="ctr-1", state="absent")
    assert result.actions == ["deleted"] and result.value["sandboxes"][0]["container_id"] == "ctr-1"
    left = {name.partition("_")[0] for name in os.listdir(root)}
    assert left == {"pod-1", "ctr-2"}
    assert call(root, sandbox_id="pod-1", state="absent").actions == ["deleted"]
    assert os.listdir(root) == []


def test_legacy_another_sandboxs_state_is_never_overwritten(root: Path) -> None:
    """The file name of the old generation has no sandbox in it: pod-a's container could be taken for pod-b's."""
    text = json.dumps(document("ctr-1", sandbox={"id": "pod-a"}))
    (root / "ctr-1.state").write_text(text)
    wishes: list[dict[str, Any]] = [
        {
            "sandbox_id": "pod-b",
            "container_id": "ctr-1",
            "documents": {"state": document("ctr-1", sandbox={"id": "pod-b"})},
        },
        {"sandbox_id": "ctr-1", "documents": {"state": document("ctr-1")}},
    ]
    for wish in wishes:
        for check_mode in (True, False):
            result = call(root, check_mode, layout="gvisor_legacy", **wish)
            assert result.failed and "ctr-1.state" in result.msg
    assert (root / "ctr-1.state").read_text() == text and os.listdir(root) == ["ctr-1.state"]


def test_legacy_a_container_is_created_once(root: Path) -> None:
    wish: dict[str, Any] = {"sandbox_id": "pod-1", "container_id": "ctr-1", "layout": "gvisor_legacy"}
    assert call(root, **wish, documents={"state": {"id": "ctr-1"}}).failed
    wish["documents"] = {"state": document("ctr-1", sandbox={"id": "pod-1"})}
    assert call(root, **wish).actions == ["created"]
    assert call(root, **wish).actions == ["unchanged"]
    assert sorted(os.listdir(root)) == ["ctr-1.lock", "ctr-1.state"]


@pytest.mark.parametrize("check_mode", [True, False], ids=["check mode", "run"])
def test_A2_what_is_not_seen_is_kept_unless_forced(root: Path, check_mode: bool) -> None:
    make(root)
    before = snapshot(root)
    result = call(root, check_mode, **ABSENT, sees_all_processes=False)
    assert result.failed and "it may still have an owner" in result.msg and "force=true" in result.msg
    assert snapshot(root) == before
    assert call(root, check_mode, **ABSENT, sees_all_processes=False, force=True).actions == ["deleted"]


def test_A2_another_hosts_tree_is_unknown_unless_asserted(tmp_path: Path) -> None:
    root = tmp_path / "var" / "run" / "runsc"
    root.mkdir(parents=True)
    make(root)
    options = {**BASE, **ABSENT, "host_root": str(tmp_path), "sees_all_processes": None}
    result = run("sandbox_state", {key: value for key, value in options.items() if value is not None})
    assert result.failed and f"host_root {tmp_path} may be another host's tree" in result.msg
    assert run("sandbox_state", {**options, "sees_all_processes": True}).actions == ["deleted"]
    assert os.listdir(root) == []


def test_an_unreadable_state_is_unknown_and_force_cannot_make_it_a_file(root: Path) -> None:
    (root / "unit-1_sandbox:unit-1.state").mkdir()
    for options in (ABSENT, {**ABSENT, "force": True}, CREATE, {**CREATE, "force": True}):
        result = call(root, **options)
        assert result.failed and "unit-1" in result.msg
        assert (root / "unit-1_sandbox:unit-1.state").is_dir()
    assert "is not a plain file" in call(root, **ABSENT).msg


def test_a_refused_change_leaves_no_lock_behind(root: Path) -> None:
    """A lock is made only to be held (G3)."""
    make(root, lock=False)
    for options in ({**ABSENT, "sees_all_processes": False}, {**CREATE, "fail_if_exists": True}):
        assert call(root, **options).failed
        assert os.listdir(root) == ["unit-1_sandbox:unit-1.state"]


def image_with(tmp_path: Path, live: Path) -> Path:
    """An offline image whose /var/run is an absolute link, as everywhere, and whose state names a live place's path."""
    image = tmp_path / "image"
    (image / "var").mkdir(parents=True)
    (image / "run" / "runsc").mkdir(parents=True)
    (image / "var" / "run").symlink_to("/run")
    (Path(f"{image}{live}") / "rootfs").mkdir(parents=True)
    (live / "rootfs").mkdir(parents=True)
    for bundle in (live, Path(f"{image}{live}")):
        (bundle / "rootfs" / ".gvisor.filestore.unit-1").write_text(str(bundle))
    content = document(bundleDir=str(live), spec={"root": {"path": f"{live}/rootfs"}})
    make(image / "run" / "runsc", content=json.dumps(content).encode())
    return image


def test_promise_5_an_image_is_cleaned_and_the_live_host_is_left_alone(tmp_path: Path) -> None:
    live = tmp_path / "live"
    image = image_with(tmp_path, live)
    result = run("sandbox_state", {**BASE, **ABSENT, "host_root": str(image)})
    assert result.actions == ["deleted"], result.msg
    assert (live / "rootfs" / ".gvisor.filestore.unit-1").read_text() == str(live)
    assert not Path(f"{image}{live}/rootfs/.gvisor.filestore.unit-1").exists()
    assert os.listdir(image / "run" / "runsc") == []


def test_promise_5_a_link_that_leads_out_of_the_image_is_refused(tmp_path: Path) -> None:
    make_in = tmp_path / "outside" / "runsc"
    make_in.mkdir(parents=True)
    make(make_in)
    image = tmp_path / "image"
    (image / "var").mkdir(parents=True)
    (image / "var" / "run").symlink_to("../../outside")
    result = run("sandbox_state", {**BASE, **ABSENT, "host_root": str(image)})
    assert result.failed and "leads out of" in result.msg
    assert len(os.listdir(make_in)) == 2


def test_a_missing_image_is_no_empty_host(tmp_path: Path) -> None:
    result = run("sandbox_state", {**BASE, **ABSENT, "host_root": str(tmp_path / "none")})
    assert result.failed and result.msg.startswith("host_root: ")


def test_a_listener_on_its_socket_keeps_a_sandbox(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(root)
    monkeypatch.chdir(root)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("runsc-unit-1.sock")
        listener.listen()
        result = call(root, **ABSENT)
        assert result.failed and "runsc-unit-1.sock" in result.msg
        assert len(os.listdir(root)) == 3


def test_a_stale_socket_goes_with_its_sandbox(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root: without it, not every network namespace can be asked")
    make(root)
    monkeypatch.chdir(root)
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind("runsc-unit-1.sock")
    assert call(root, **ABSENT).actions == ["deleted"]
    assert os.listdir(root) == []


def test_nothing_else_in_the_root_directory_is_touched(root: Path) -> None:
    make(root)
    others = [
        "runsc-unit-11.sock",
        "unit-1.state",
        "unit-1_sandbox:unit-2.state",
        "unit-1_sandbox:unit-1.state.bak",
        "x.log",
    ]
    for name in others:
        (root / name).write_text("keep")
    assert call(root, **ABSENT).actions == ["deleted"]
    assert sorted(os.listdir(root)) == sorted(others)
