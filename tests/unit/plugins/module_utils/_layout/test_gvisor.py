# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import InvalidInput
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.identifiers import check_known_name
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import open_given
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import Reading, Roots
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.flat import FlatLayout
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.gvisor import Gvisor, GvisorLegacy

GVISOR, LEGACY = Gvisor(), GvisorLegacy()
FIXTURES = Path(__file__).parent / "fixtures"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


@pytest.fixture
def roots(root: Path) -> Iterator[Roots]:
    with open_given(str(root)) as opened:
        yield Roots("/", {"run_root": opened})


def read(layout: FlatLayout, roots: Roots, sandbox_id: str) -> Reading:
    return layout.read(roots, sandbox_id, layout.sandboxes_of(roots).get(sandbox_id, []))


def put(path: Path, document: Any) -> None:
    path.write_text(json.dumps(document))


def state_of(bundle: Path, sandbox_id: str = "c1", **more: Any) -> dict[str, Any]:
    spec = {"root": {"path": f"{bundle}/rootfs"}, "mounts": [{"source": f"{bundle}/volume"}, {"source": None}, 7]}
    return {"id": "c1", "spec": spec, "bundleDir": str(bundle), "sandbox": {"id": sandbox_id}, **more}


def listed(layout: FlatLayout, roots: Roots) -> dict[str, list[str]]:
    return {name: sorted(names) for name, names in layout.sandboxes_of(roots).items()}


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


def bind(path: Path) -> None:
    """A socket file that nobody listens on any more; the name is short wherever the directory is."""
    before = os.getcwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as opened:
            opened.bind(path.name)
    finally:
        os.chdir(before)


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
