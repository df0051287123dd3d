# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._basis import support_mounts as support
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._layout.support_kata import (
    KATA,
    NAME,
    SANDBOX,
    SHARE,
    listing,
    make,
    put,
    state_of,
    titled,
)
from ansible_collections.sandboxed.containers.tests.unit.plugins.modules.support_sandbox_state import (
    ABSENT,
    Options,
    call,
    of_sandbox,
    ok,
    refusal,
)

SECRET = "hunter2-of-nobody"


# secrets


def with_secrets(layout: str) -> Options:
    process = {"Args": ["run", f"--password={SECRET}", "--token", SECRET], "Envs": [{"Var": "DB", "Value": SECRET}]}
    more = {"Cmd": process, "Annotations": {"api_key": SECRET}, "Process": {"Token": SECRET, "env": [f"A={SECRET}"]}}
    return of_sandbox(layout, **more)


RAW: Options = {"raw_items": {"a": SECRET, "": SECRET}}
LEAKS: dict[str, tuple[str, Options]] = {
    **{layout: (layout, with_secrets(layout)) for layout in KATA},
    "raw items": ("kata_store", {**of_sandbox("kata_store"), **RAW}),
    "raw items of an entry": ("kata_store", {"sandboxes": [{**of_sandbox("kata_store"), **RAW}]}),
    "raw items of a wrong layout": ("kata_rs", {**of_sandbox("kata_rs"), **RAW}),
    "raw items and nothing to make it from": ("kata_store", {"sandbox_id": NAME, **RAW}),
    "raw items, absent": ("kata_store", {**ABSENT, **RAW}),
    "raw items as a list": ("kata_store", {**of_sandbox("kata_store"), "raw_items": [SECRET]}),
    "raw items as a text": ("kata_store", {**of_sandbox("kata_store"), "raw_items": SECRET}),
    "raw items as key=value": ("kata_store", {**of_sandbox("kata_store"), "raw_items": f"a={SECRET}"}),
    "raw items of an entry as a list": ("kata_store", {"sandboxes": [{"sandbox_id": NAME, "raw_items": [SECRET]}]}),
    "raw items as lists": ("kata_store", {**of_sandbox("kata_store"), "raw_items": {"a": [SECRET]}}),
    "raw items, an unknown option": ("kata_store", {**of_sandbox("kata_store"), **RAW, "unknown": 1}),
    "raw items, no host": ("kata_store", {**of_sandbox("kata_store"), **RAW, "host_root": "/none/at/all"}),
    "another sandbox's": ("kata_persist", {**with_secrets("kata_persist"), "sandbox_id": "other"}),
    "the wrong layout": ("gvisor", with_secrets("kata_persist")),
}


@pytest.mark.parametrize("check_mode", [True, False], ids=["check mode", "run"])
@pytest.mark.parametrize("case", LEAKS)
def test_promise_8_secrets_never_leave(tmp_path: Path, case: str, check_mode: bool) -> None:
    """Neither in the result, the diff and the invocation, nor in the system's log; also when the task is refused."""
    layout, options = LEAKS[case]
    result = call(tmp_path, layout, check_mode, **options)
    assert SECRET not in result.text and SECRET not in result.logged
    assert "module_args" in result.value["invocation"]
    if not result.failed:
        assert NAME in result.logged, "there is a log line to look at"
        assert "********" in json.dumps(result.value["diff"])


@pytest.mark.parametrize("layout", KATA)
def test_promise_8_a_change_of_a_secret_is_told_without_it(tmp_path: Path, layout: str) -> None:
    ok(call(tmp_path, layout, **with_secrets(layout)))
    wanted = json.loads(json.dumps(with_secrets(layout)).replace(SECRET, "changed-value"))
    result = ok(call(tmp_path, layout, **wanted))
    assert result.actions == ["updated"] and "(changed)" in json.dumps(result.value["diff"])
    assert SECRET not in result.text and "changed-value" not in result.text + result.logged


def test_U7_promise_8_a_change_of_a_raw_item_is_told_without_it(tmp_path: Path) -> None:
    state = make("kata_store", tmp_path)
    put(state / "raw" / "a", SECRET.encode())
    result = ok(call(tmp_path, "kata_store", sandbox_id=NAME, raw_items={"a": SECRET[::-1]}))
    (diff,) = result.value["diff"]
    assert diff["before"] != diff["after"]
    assert SECRET not in result.text + result.logged and SECRET[::-1] not in result.text + result.logged


# what the runtimes do wrong


def test_K2_absent_of_a_sandbox_that_is_not_there_makes_nothing(tmp_path: Path) -> None:
    """Merely asking Kata for the status makes both trees."""
    for layout in KATA:
        for check_mode in (True, False):
            assert ok(call(tmp_path, layout, check_mode, **ABSENT)).actions == ["unchanged"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
@support.needs_root
@pytest.mark.parametrize("layout", KATA)
def test_K3_K4_P1_a_full_file_system_keeps_the_old_document_and_the_sandbox(tmp_path: Path, layout: str) -> None:
    """Kata leaves an empty or cut document (K3, K4), or removes the whole sandbox (P1)."""

    def inside() -> None:
        support.run("mount", "-t", "tmpfs", "-o", "size=256k", "none", str(tmp_path))
        state = make(layout, tmp_path)
        before = listing(tmp_path)
        changed = of_sandbox(layout, more="x" * 400_000)
        result = call(tmp_path, layout, **changed)
        assert result.failed and "No space left on device. The old content is kept." in result.msg
        assert listing(tmp_path) == before and result.value["changed"] is False
        new = json.loads(json.dumps(changed).replace(NAME, f"{NAME}-2"))
        result = call(tmp_path, layout, **new)
        assert result.failed and "No space left on device. Nothing of it was kept." in result.msg
        assert listing(tmp_path) == before and state.exists()

    support.in_private_namespace(inside)


def test_K8_nothing_outside_the_roots_is_reached_by_a_name(tmp_path: Path) -> None:
    victim = put(tmp_path / "run" / "victim" / "data", b"x")
    (tmp_path / "run/vc/sbs").mkdir(parents=True)
    for name in ("../../victim", "..", ".", "/", "sbs/../../../run/victim"):
        for state in ("present", "absent"):
            result = call(tmp_path, "kata_persist", sandbox_id=name, state=state)
            assert result.failed and "is not a name" in result.msg
    assert victim.exists()


def test_P3_directories_of_others_inside_a_sandbox_stay(tmp_path: Path) -> None:
    """Kata's save removes each one that it does not know."""
    state = make("kata_persist", tmp_path, containers=("app-1",))
    theirs = put(state / "somebody" / "else", b"x")
    assert ok(call(tmp_path, "kata_persist", **of_sandbox("kata_persist", more=1))).actions == ["updated"]
    assert theirs.read_bytes() == b"x" and (state / "app-1/persist.json").exists()


@pytest.mark.parametrize("layout", ["kata_persist", "kata_rs"])
def test_P6_a_shorter_document_leaves_nothing_of_the_old_one(tmp_path: Path, layout: str) -> None:
    ok(call(tmp_path, layout, **of_sandbox(layout, more="x" * 5000)))
    ok(call(tmp_path, layout, **of_sandbox(layout)))
    (document,) = state_of(layout, tmp_path).glob("*.json")
    assert json.loads(document.read_bytes()) == next(iter(SANDBOX[layout].values()))


def test_R3_a_replaced_document_is_a_new_file_and_no_other_name_is_left(tmp_path: Path) -> None:
    """K3, P2, RS4: the runtimes truncate it in place. A reader that has it open keeps the old one, whole."""
    for layout in KATA:
        state = make(layout, tmp_path / layout)
        (document, *_others) = sorted(state.glob("*.json"))
        names = sorted(os.listdir(state))
        with open(document, "rb") as reader:
            old = document.read_bytes()
            ok(call(tmp_path / layout, layout, **of_sandbox(layout, more=1)))
            assert reader.read() == old != document.read_bytes()
        assert sorted(os.listdir(state)) == names


@support.needs_root
@pytest.mark.parametrize("layout", ["kata_rs", "kata_persist"])
def test_RS1_S2_data_behind_a_mount_in_the_share_is_never_reached(tmp_path: Path, layout: str) -> None:
    """The Rust runtime deletes rw without unmounting, the Go one what failed to unmount: host data goes."""
    support.write(f"{tmp_path}/data/precious", "x")
    host = tmp_path / "host"
    make(layout, host)
    volume = host / SHARE / NAME / ("rw" if layout == "kata_rs" else "mounts") / "passthrough" / "volume"
    volume.mkdir(parents=True)
    before = support.checksum(f"{tmp_path}/data")

    def inside() -> None:
        support.bind(f"{tmp_path}/data", str(volume))
        text = refusal(host, layout, **ABSENT, force=True)
        assert "there is 1 mount on it or below (" in text
        assert text.endswith("Set on_mounted=unmount to unmount first. Nothing was changed.")
        assert ok(call(host, layout, True, **ABSENT, on_mounted="unmount")).actions == ["deleted"]
        assert ok(call(host, layout, **ABSENT, on_mounted="unmount")).actions == ["deleted"]

    support.in_private_namespace(inside)
    assert support.checksum(f"{tmp_path}/data") == before and not (host / SHARE / NAME).exists()


def test_RS2_a_pid_file_with_a_reused_pid_is_no_owner_and_gets_no_signal(tmp_path: Path) -> None:
    state = make("kata_rs", tmp_path)
    with titled("a-bystander") as child:
        put(state / "root" / "virtiofsd.sock.pid", f"{child.pid}\n".encode())
        assert ok(call(tmp_path, "kata_rs", **ABSENT, stop_processes=True)).actions == ["deleted"]
        assert child.poll() is None


def test_RS5_absent_takes_the_jail_and_leaves_those_of_others(tmp_path: Path) -> None:
    make("kata_rs", tmp_path)
    for name in (NAME, "other"):
        put(tmp_path / "run/kata/firecracker" / name / "root" / "state.json", {})
    assert ok(call(tmp_path, "kata_rs", **ABSENT)).actions == ["deleted"]
    assert os.listdir(tmp_path / "run/kata/firecracker") == ["other"]
    assert os.listdir(tmp_path / "run/kata") == ["firecracker"]


# roots


def test_rootless_roots_are_given(tmp_path: Path) -> None:
    """$XDG_RUNTIME_DIR/run/vc (kata-persist.md); what surrounds a sandbox is beside it."""
    run_root = tmp_path / "user" / "1000" / "run" / "vc"
    share = tmp_path / "user/1000/run/kata-containers/shared/sandboxes" / NAME
    options = {**of_sandbox("kata_persist"), "run_root": str(run_root)}
    assert ok(call(tmp_path, "kata_persist", **options)).actions == ["created"]
    assert (run_root / "sbs" / NAME / "persist.json").exists()
    put(share / "x")
    assert ok(call(tmp_path, "kata_persist", **ABSENT, run_root=str(run_root))).actions == ["deleted"]
    assert not share.exists() and os.listdir(run_root / "sbs") == []


def test_both_trees_of_the_store_can_be_elsewhere(tmp_path: Path) -> None:
    roots: Options = {"run_root": str(tmp_path / "a"), "config_root": str(tmp_path / "b")}
    assert ok(call(tmp_path, "kata_store", **of_sandbox("kata_store"), **roots)).actions == ["created"]
    assert (tmp_path / "a/sbs" / NAME / "state.json").exists() and (tmp_path / "b/sbs" / NAME / "config.json").exists()
    assert ok(call(tmp_path, "kata_store", **ABSENT, **roots)).actions == ["deleted"]
    assert os.listdir(tmp_path / "a/sbs") == os.listdir(tmp_path / "b/sbs") == []


def test_promise_5_an_image_is_cleaned_and_the_live_host_is_left_alone(tmp_path: Path) -> None:
    image, live = tmp_path / "image", tmp_path / "live"
    for host in (image, live):
        make("kata_persist", host)
        put(host / SHARE / NAME / "data")
    shutil.move(image / "run", image / "really-run")
    (image / "run").symlink_to("/really-run")
    before = listing(live)
    assert ok(call(image, "kata_persist", **ABSENT)).actions == ["deleted"]
    assert os.listdir(image / "really-run/vc/sbs") == [] and not (image / "really-run" / SHARE[4:] / NAME).exists()
    (image / "run").unlink()
    (image / "run").symlink_to(os.path.relpath(live / "run", image))
    result = call(image, "kata_persist", **ABSENT)
    assert result.failed and "leads out of" in result.msg and listing(live) == before
