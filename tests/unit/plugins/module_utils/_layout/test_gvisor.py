# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import InvalidInput
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.identifiers import check_known_name
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import Roots
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.flat import FlatLayout
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._layout.support_gvisor import (
    FIXTURES,
    GVISOR,
    LEGACY,
    bind,
    listed,
    put,
    read,
    root,
    roots,
    state_of,
)

__all__ = ["root", "roots"]


NEW_NAMES = [
    ("c1_sandbox:c1.state", "c1"),
    ("c1_sandbox:c1.lock", "c1"),
    (".c1_sandbox:c1.state.sbx-tmp", "c1"),
    ("ctr_sandbox:pod.state", "pod"),
    ("a_sandbox_sandbox:b.state", "b"),
    ("+_sandbox:..state", "."),
    (".x_sandbox:x.state", "x"),
    ("c1.state_sandbox:c1.lock.lock", "c1.lock"),
]


@pytest.mark.parametrize(("name", "sandbox_id"), NEW_NAMES)
def test_names_of_files(root: Path, roots: Roots, name: str, sandbox_id: str) -> None:
    (root / name).touch()
    assert GVISOR.sandboxes_of(roots) == {sandbox_id: [name]}
    assert LEGACY.sandboxes_of(roots) == {}


JUNK = [
    "c1.state", "c1.lock", "c1_sandbox:c1", "c1_sandbox:c1.state~", "c1_sandbox:c1.state.bak",
    "c1_sandbox:c1.state.swp", "#c1_sandbox:c1.state", "c1_sandbox:c1.state\n", "\nc1_sandbox:c1.state",
    "x c1_sandbox:c1.state", "_sandbox:c1.state", "c1_sandbox:.state", "c1_sand:c1.state", "c1_sandbox:a:b.state",
    "a:b_sandbox:c1.state", "c1_sandbox:c1.STATE", "c1_sandbox:c1.statex", "é_sandbox:é.state",
    "a,b_sandbox:a,b.state", "c1_sandbox:c1.lock.sbx-tmp", "c1_sandbox:c1.state.sbx-tmp.1",
    "\u0661_sandbox:\u0661.state",
]  # fmt: skip


@pytest.mark.parametrize("name", JUNK, ids=ascii)
def test_G9_junk_around_a_name_is_no_name(root: Path, roots: Roots, name: str) -> None:
    (root / name).touch()
    assert GVISOR.sandboxes_of(roots) == {}


def test_a_name_that_is_no_text_is_passed_over(root: Path, roots: Roots) -> None:
    Path(os.fsdecode(os.fsencode(root) + b"/\xff_sandbox:c1.state")).touch()
    assert GVISOR.sandboxes_of(roots) == {} and LEGACY.sandboxes_of(roots) == {}


@pytest.mark.parametrize(
    ("name", "sandbox_id"),
    [
        ("c1.state", "c1"),
        ("a,b.lock", "a,b"),
        (".c1.state.sbx-tmp", "c1"),
        (".state.state", ".state"),
        ("a.lock.state", "a.lock"),
    ],
)
def test_legacy_names_of_files(root: Path, roots: Roots, name: str, sandbox_id: str) -> None:
    (root / name).touch()
    assert LEGACY.sandboxes_of(roots) == {sandbox_id: [name]}
    assert GVISOR.sandboxes_of(roots) == {}


@pytest.mark.parametrize("layout", [GVISOR, LEGACY], ids=["gvisor", "legacy"])
def test_G7_G8_a_prefix_is_not_the_name(root: Path, roots: Roots, layout: FlatLayout) -> None:
    ending = {"gvisor": "_sandbox:{}.state", "gvisor_legacy": ".state"}[layout.name]
    for name in ("foo", "foobar", "xfoo", "foo.bar"):
        put(root / (name + ending.format(name)), {"id": name})
    (root / ("foobarbar" + ending.format("foobarbar"))).write_bytes(b"{cut")
    reading = read(layout, roots, "foo")
    assert [part.name for part in reading.parts] == ["foo" + ending.format("foo")]
    assert [document.content for document in reading.documents] == [{"id": "foo"}]
    assert read(layout, roots, "fo").parts == ()


def test_a_hidden_state_is_a_second_container(root: Path, roots: Roots) -> None:
    """runsc lists .x_sandbox:x.state as well, so it must not go unseen (safety.md D1)."""
    for name in ("x_sandbox:x.state", ".x_sandbox:x.state"):
        put(root / name, {"id": name.partition("_")[0]})
    reading = read(GVISOR, roots, "x")
    assert [(document.container_id, document.content) for document in reading.documents] == [
        (".x", {"id": ".x"}),
        ("x", {"id": "x"}),
    ]


def test_a_pod_has_its_own_container_last(root: Path, roots: Roots) -> None:
    for container_id in ("zz", "pod", "aa"):
        put(root / f"{container_id}_sandbox:pod.state", {"id": container_id})
        (root / f"{container_id}_sandbox:pod.lock").touch()
    put(root / "aa_sandbox:other.state", {"id": "aa"})
    reading = read(GVISOR, roots, "pod")
    assert [part.container_id for part in reading.parts if part.role == "state"] == ["aa", "zz", "pod"]
    assert [part.role for part in reading.parts] == ["state"] * 3 + ["lock"] * 3
    assert reading.missing == ()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "it is empty (0 bytes)"),
        (b'{"id":"c1","spec', "not valid JSON"),
        (b"[1]", "it is no JSON object"),
        (b"null", "it is no JSON object"),
        (b"\xff", "not UTF-8"),
    ],
    ids=["empty", "cut", "list", "null", "binary"],
)
@pytest.mark.parametrize("layout", [GVISOR, LEGACY], ids=["gvisor", "legacy"])
def test_R9_damaged_states_are_listed_with_what_is_wrong(
    root: Path, roots: Roots, layout: FlatLayout, content: bytes, problem: str
) -> None:
    name = "c1_sandbox:c1.state" if layout is GVISOR else "c1.state"
    (root / name).write_bytes(content)
    reading = read(layout, roots, "c1")
    (document,) = reading.documents
    assert document.content is None and problem in document.problem and document.readable
    assert [part.role for part in reading.parts] == ["state"]
    assert layout.recorded_processes(reading) == [] and layout.referrers(reading) == []


def closed(path: Path) -> None:
    path.write_text("{}")
    path.chmod(0)


@pytest.mark.parametrize(
    "make",
    [
        os.mkdir,
        os.mkfifo,
        lambda path: path.symlink_to("elsewhere"),
        pytest.param(closed, marks=pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")),
    ],
    ids=["directory", "fifo", "link", "no permission"],
)
@pytest.mark.parametrize("layout", [GVISOR, LEGACY], ids=["gvisor", "legacy"])
def test_promise_7_a_state_that_cannot_be_read_is_there_and_not_readable(
    root: Path, roots: Roots, layout: FlatLayout, make: Any
) -> None:
    make(root / ("c1_sandbox:c1.state" if layout is GVISOR else "c1.state"))
    reading = read(layout, roots, "c1")
    (document,) = reading.documents
    assert document.content is None and document.problem and not document.readable
    assert [part.role for part in reading.parts] == ["state"]


@pytest.mark.parametrize(
    ("files", "missing"),
    [
        (["c1_sandbox:c1.lock"], ("c1_sandbox:c1.state",)),
        (["c1_sandbox:c1.state"], ("c1_sandbox:c1.lock",)),
        ([".c1_sandbox:c1.state.sbx-tmp"], ("c1_sandbox:c1.state", "c1_sandbox:c1.lock")),
        (["c1_sandbox:c1.state", "c1_sandbox:c1.lock"], ()),
    ],
    ids=["lock only", "state only", "temporary only", "whole"],
)
def test_R9_partial_sandboxes(root: Path, roots: Roots, files: list[str], missing: tuple[str, ...]) -> None:
    for name in files:
        (root / name).touch()
    reading = read(GVISOR, roots, "c1")
    assert sorted(part.name for part in reading.parts) == sorted(files)
    assert reading.missing == missing


def test_legacy_containers_are_found_by_the_sandbox_that_their_state_names(root: Path, roots: Roots) -> None:
    put(root / "pod.state", {"id": "pod", "sandbox": {"id": "pod"}})
    put(root / "ctr.state", {"id": "ctr", "sandbox": {"id": "pod"}})
    put(root / "alone.state", {"id": "alone", "sandbox": None})
    (root / "cut.state").write_bytes(b"{")
    for name in ("ctr.lock", "only.lock"):
        (root / name).touch()
    assert listed(LEGACY, roots) == {
        "pod": ["ctr.lock", "ctr.state", "pod.state"],
        "alone": ["alone.state"],
        "cut": ["cut.state"],
        "only": ["only.lock"],
    }


@pytest.mark.parametrize("named", ["../evil", "", "a/b", 7, None, ["pod"], "a\nb"], ids=repr)
def test_legacy_a_sandbox_name_that_is_none_is_not_believed(root: Path, roots: Roots, named: Any) -> None:
    put(root / "ctr.state", {"id": "ctr", "sandbox": {"id": named}})
    assert LEGACY.sandboxes_of(roots) == {"ctr": ["ctr.state"]}


def test_D1_the_order_of_removal(root: Path, roots: Roots, tmp_path: Path) -> None:
    """Filestores before the state that alone leads to them, the state as commit point, the lock last."""
    bundle = tmp_path / "bundle"
    (bundle / "rootfs").mkdir(parents=True)
    (bundle / "rootfs" / ".gvisor.filestore.c1").touch()
    put(root / "c1_sandbox:c1.state", state_of(bundle))
    for name in ("c1_sandbox:c1.lock", ".c1_sandbox:c1.state.sbx-tmp"):
        (root / name).touch()
    bind(root / "runsc-c1.sock")
    assert [part.role for part in read(GVISOR, roots, "c1").parts] == [
        "filestore",
        "socket",
        "temporary",
        "state",
        "lock",
    ]


@pytest.mark.parametrize("layout", [GVISOR, LEGACY], ids=["gvisor", "legacy"])
@pytest.mark.parametrize(
    ("document", "why"),
    [
        ([], "it is a list, not a mapping"),
        ("x", "it is a str, not a mapping"),
        ({"id": "other", "sandbox": {"id": "pod"}}, "its id is 'other', and it is for 'ctr'"),
        ({"id": "ctr", "sandbox": {"id": "ctr"}}, "its sandbox.id is 'ctr', and it is for 'pod'"),
        ({"id": "", "sandbox": {"id": "pod"}}, "its id is '', and it is for 'ctr'"),
        ({"id": 7, "sandbox": {"id": "pod"}}, "its id is '7', and it is for 'ctr'"),
    ],
)
def test_a_document_that_is_not_for_this_object_is_refused(layout: FlatLayout, document: Any, why: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        layout.check_document("state", document, "pod", "ctr")
    assert caught.value.where == "documents.state" and why in caught.value.why


@pytest.mark.parametrize(
    "document", [{}, {"id": "c1"}, {"sandbox": None}, {"id": "c1", "sandbox": {"id": "c1"}}], ids=repr
)
@pytest.mark.parametrize("layout", [GVISOR, LEGACY], ids=["gvisor", "legacy"])
def test_a_document_that_fits_is_accepted(layout: FlatLayout, document: Any) -> None:
    assert layout.check_document("state", document, "c1", "c1") is None


def test_legacy_a_containers_document_must_name_its_sandbox() -> None:
    """Nothing else tells which sandbox it is of: it would be read back as a sandbox of its own."""
    GVISOR.check_document("state", {"id": "ctr"}, "pod", "ctr")
    with pytest.raises(InvalidInput, match=r"no sandbox.id"):
        LEGACY.check_document("state", {"id": "ctr"}, "pod", "ctr")


@pytest.mark.parametrize("fixture", ["runsc-20221219", "runsc-20240729"])
def test_A7_the_recorded_processes_of_real_states(root: Path, roots: Roots, fixture: str) -> None:
    shutil.copy(FIXTURES / f"{fixture}.state.json", root / "c1_sandbox:c1.state")
    reading = read(GVISOR, roots, "c1")
    wanted = {
        "runsc-20221219": [("sandbox", 19002), ("gofer", 18998)],
        "runsc-20240729": [("sandbox", 19462), ("gofer", 19461)],
    }
    assert [(one.role, one.pid) for one in GVISOR.recorded_processes(reading)] == wanted[fixture]
    bundle = "/var/lib/example/b-old" if "2022" in fixture else "/var/lib/example/b-new"
    assert GVISOR.tokens(roots, reading) == {"c1", bundle}
    assert GVISOR.hint(reading) == ""


@pytest.mark.parametrize("pid", [0, -1, True, None, "4711", 4711.5, [4711]], ids=repr)
def test_A7_what_is_no_pid_is_not_recorded(root: Path, roots: Roots, pid: Any) -> None:
    put(root / "c1_sandbox:c1.state", {"goferPid": pid, "sandbox": {"pid": pid}})
    assert GVISOR.recorded_processes(read(GVISOR, roots, "c1")) == []


def test_A7_the_pid_that_a_whole_pod_shares_is_told_once(root: Path, roots: Roots) -> None:
    for container_id, gofer in (("pod", 3), ("ctr", 4)):
        put(root / f"{container_id}_sandbox:pod.state", {"goferPid": gofer, "sandbox": {"pid": 2}})
    recorded = GVISOR.recorded_processes(read(GVISOR, roots, "pod"))
    assert sorted((one.pid, one.role) for one in recorded) == [(2, "sandbox"), (3, "gofer"), (4, "gofer")]


@pytest.mark.parametrize(
    ("bundle", "referrers"),
    [
        ("/run/containerd/io.containerd.runtime.v2.task/k8s.io/c1", True),
        ("/run/containerd/io.containerd.runtime.v1.linux/default/c1", True),
        ("/srv/bundles/c1", False),
    ],
)
def test_A4_an_engines_bundle_is_a_referrer(root: Path, roots: Roots, bundle: str, referrers: bool) -> None:
    put(root / "c1_sandbox:c1.state", {"bundleDir": bundle})
    assert GVISOR.referrers(read(GVISOR, roots, "c1")) == ([bundle] if referrers else [])


def test_without_a_state_the_hint_names_the_filestore(root: Path, roots: Roots) -> None:
    (root / "c1_sandbox:c1.lock").touch()
    assert ".gvisor.filestore.c1" in GVISOR.hint(read(GVISOR, roots, "c1"))


@pytest.mark.parametrize(
    ("layout", "state", "lock"),
    [(GVISOR, "ctr_sandbox:pod.state", "ctr_sandbox:pod.lock"), (LEGACY, "ctr.state", "ctr.lock")],
    ids=["gvisor", "legacy"],
)
def test_R1_places_of_documents_and_locks(root: Path, roots: Roots, layout: FlatLayout, state: str, lock: str) -> None:
    directory, name = layout.place(roots, "state", "pod", "ctr")
    assert directory.join(name) == f"{root}/{state}"
    kept, made = (layout.lock_place(roots, "pod", "ctr", create) for create in (False, True))
    assert (kept.path, kept.create_mode) == (f"{root}/{lock}", None)
    assert (made.path, made.create_mode) == (f"{root}/{lock}", 0o600)
    assert [(rule.name, rule.mode, rule.newline) for rule in layout.documents] == [("state", 0o640, False)]
    assert [(rule.option, rule.default, rule.mode) for rule in layout.root_rules] == [
        ("run_root", "/var/run/runsc", 0o711)
    ]


@pytest.mark.parametrize("name", ["a", "+", "-a", ".a", "a_b", "A.b-c+d", "x" * 120, "0"])
def test_R8_ids_that_runsc_can_have(name: str) -> None:
    assert check_known_name(name, "o", GVISOR.names) == name
    assert check_known_name(name, "o", LEGACY.names) == name


@pytest.mark.parametrize("name", ["a:b", "a b", "é", "a*", "a?", "a[", "a\\", "x" * 240, "a~", "\u0661"], ids=ascii)
def test_R8_ids_that_runsc_cannot_have(name: str) -> None:
    with pytest.raises(InvalidInput):
        check_known_name(name, "o", GVISOR.names)


def test_R8_a_comma_is_of_the_old_generation_alone() -> None:
    assert check_known_name("a,b", "o", LEGACY.names) == "a,b"
    with pytest.raises(InvalidInput, match=r"only letters, digits, '_', '\+', '.' and '-'"):
        check_known_name("a,b", "o", GVISOR.names)


def test_R8_the_longest_name_can_be_read(root: Path, roots: Roots) -> None:
    name = "x" * 120
    for ending in (".state", ".lock"):
        (root / f"{name}_sandbox:{name}{ending}").touch()
    assert [part.role for part in read(GVISOR, roots, name).parts] == ["state", "lock"]


def test_looking_changes_nothing(root: Path, roots: Roots) -> None:
    put(root / "c1_sandbox:c1.state", state_of(root))
    before = {entry.name: entry.stat().st_mtime_ns for entry in os.scandir(root)}
    read(GVISOR, roots, "c1")
    read(GVISOR, roots, "none")
    read(LEGACY, roots, "none")
    assert {entry.name: entry.stat().st_mtime_ns for entry in os.scandir(root)} == before
