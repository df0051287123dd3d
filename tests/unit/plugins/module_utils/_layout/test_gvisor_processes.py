# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory, open_given
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.plain_files import FileFacts
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.processes import Process
from ansible_collections.sandboxed.containers.plugins.module_utils._layout import gvisor_processes
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import (
    Claim,
    Document,
    Part,
    Reading,
    Roots,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.gvisor_processes import bundle_of

OLD_SANDBOX = (
    "runsc-sandbox --root={root} --network=none --ignore-cgroups=true boot --proc-mount-sync-fd=18 --bundle=/b1 "
    "--total-memory 25276514304 --io-fds=3 --stdio-fds=10 c1"
)
NEW_SANDBOX = (
    "runsc-sandbox --ignore-cgroups=true --root={root} --network=none --platform=ptrace boot --apply-caps=false "
    "--bundle=/b1 --proc-mount-sync-fd=19 c1"
)
OLD_GOFER = (
    "runsc-gofer --root={root} --network=none --ignore-cgroups=true gofer --bundle /b1 --spec-fd=3 --mounts-fd=4"
)
NEW_GOFER = "runsc-gofer --root={root} --platform=ptrace gofer --bundle=/b1 --gofer-mount-confs=lisafs:self"
CREATE = "runsc --network=none --root {root} create --bundle /b1 --pid-file /p c1"
SHIM = "/usr/bin/containerd-shim-runsc-v1 -namespace {ns} -address /run/containerd/containerd.sock -id c1"


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Directory]:
    (tmp_path / "k8s.io").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "link").symlink_to("k8s.io")
    with open_given(str(tmp_path / "k8s.io")) as opened:
        yield opened


def reading_of(root: Directory, *containers: str, sandbox_id: str = "c1") -> Reading:
    """A sandbox with the bundle /b1 (and /b-<name> for each further container)."""
    facts = FileFacts(1, 1, 0o100640, 1, 1, 1)
    names = (sandbox_id, *containers)
    bundles = {name: "/b1" if name == sandbox_id else f"/b-{name}" for name in names}
    return Reading(
        sandbox_id,
        tuple(Part("state", name, root, name, facts) for name in names),
        tuple(Document("state", name, "/p", {"bundleDir": bundles[name]}) for name in names),
    )


def process(
    argv: str | tuple[str, ...], exe: str | None = "/usr/bin/runsc", cgroups: tuple[str, ...] = ("/user.slice",)
) -> Process:
    words = tuple(argv.split()) if isinstance(argv, str) else argv
    program = words[0].rsplit("/", 1)[-1] if words else "exe"
    return Process(4711, 1, "S", 100, program, exe, words, "/", "/", cgroups, 0, True, False)


def claim(
    one: Process,
    root: Directory,
    reading: Reading,
    pids: tuple[int, ...] | None = (4711,),
    recorded: tuple[int, ...] = (4711,),
    anybodys: bool = False,
) -> Claim | None:
    """The claim of a process of our own pid namespace that the state records."""
    roots = Roots("/", {"run_root": root})
    return gvisor_processes.claim(one, pids, roots, reading, set(recorded), anybodys)


PROVED = [
    (OLD_SANDBOX, "runs it", 1),
    (NEW_SANDBOX, "runs it", 1),
    (OLD_GOFER, "serves its files", 2),
    (NEW_GOFER, "serves its files", 2),
    (CREATE, "is at work on it", 0),
    ("runsc -root {root} start c1", "is at work on it", 0),
    ("my-runsc --root {root} run --bundle /b1 c1", "is at work on it", 0),
]


@pytest.mark.parametrize(
    ("line", "why", "order"), PROVED, ids=[line.split()[0] + str(at) for at, (line, _w, _o) in enumerate(PROVED)]
)
@pytest.mark.parametrize("spelled", ["{}", "{}/", "{}/../link"], ids=["exact", "slash", "through a link"])
def test_A7_owners_by_real_command_lines(root: Directory, line: str, why: str, order: int, spelled: str) -> None:
    """The root directory is compared by identity, since runsc keeps it as it was typed."""
    found = claim(process(line.format(root=spelled.format(root.path))), root, reading_of(root))
    assert found is not None
    assert (found.proved, found.why, found.stop_order) == (True, why, order)


WORKERS = [
    "/usr/local/sbin/runsc --root={root} delete --force c1",
    "runsc --root={root} exec other cat c1",
    "runsc --root={root} list c1",
    "runsc --root={root} create --bundle /b1 --pid-file c1 other",
]


@pytest.mark.parametrize("line", WORKERS)
def test_A8_an_argument_that_may_be_something_else_proves_nothing(root: Directory, line: str) -> None:
    """Only what builds a container names it at a place that is certain; the others finish by themselves."""
    found = claim(process(line.format(root=root.path)), root, reading_of(root))
    assert found is not None
    assert (found.proved, found.stop_order, found.why) == (False, None, "is at work on it")


@pytest.mark.parametrize(
    ("line", "pids", "proved"),
    [
        (NEW_SANDBOX, (4711,), True),
        (NEW_SANDBOX, (4711, 1), True),  # in a pid namespace of its own, as runsc makes it
        (NEW_SANDBOX, (4711, 2), False),
        (NEW_SANDBOX, (4711, 2, 1), False),
        (NEW_SANDBOX, None, False),
        (NEW_GOFER, (4711, 1), True),
        (NEW_GOFER, (4711, 3, 1), False),
        (CREATE, (4711,), True),
        (CREATE, (4711, 1), False),
    ],
)
def test_A10_the_same_path_inside_a_container_is_another_place(
    root: Directory, line: str, pids: tuple[int, ...] | None, proved: bool
) -> None:
    """A runsc inside a container says --root=/run/runsc as well: it is neither ours nor nobody's."""
    for place in (root.path, str(Path(root.path).parent / "other")):
        found = claim(process(line.format(root=place)), root, reading_of(root), pids)
        if proved and place != root.path:
            assert found is None
        else:
            assert found is not None and found.proved is proved
            assert (found.stop_order is not None) is proved


def test_E1_a_gofer_of_a_shared_bundle_is_proved_by_its_recorded_pid_alone(root: Directory) -> None:
    found = claim(process(NEW_GOFER.format(root=root.path)), root, reading_of(root), recorded=(12,))
    assert found is not None and (found.proved, found.stop_order) == (False, None)


def test_E1_a_sandbox_that_is_not_the_recorded_one_lives_and_is_not_ours_to_stop(root: Directory) -> None:
    line = process(NEW_SANDBOX.format(root=root.path))
    for recorded, order in (((12,), None), ((), 1), ((12, 4711), 1)):
        found = claim(line, root, reading_of(root), recorded=recorded)
        assert found is not None and (found.proved, found.stop_order) == (True, order)


def test_a_name_that_the_executable_alone_tells(root: Directory) -> None:
    """The binary may have been called by another name."""
    found = claim(process(f"/proc/self/exe --root {root.path} start c1", exe="/opt/runsc-2024"), root, reading_of(root))
    assert found is not None and found.proved


NOBODY = {
    "another sandbox": "runsc-sandbox --root={root} boot --bundle=/b2 c2",
    "a longer id": "runsc-sandbox --root={root} boot --bundle=/b1 c11",
    "a shorter id": "runsc-sandbox --root={root} boot --bundle=/b1 c",
    "the id is not last": "runsc-sandbox --root={root} boot c1 --bundle=/b1 c2",
    "another bundle": "runsc-gofer --root={root} gofer --bundle=/b11 --spec-fd=3",
    "gofer with the id and another bundle": "runsc-gofer --root={root} gofer --bundle=/b2 c1",
    "gofer without a bundle": "runsc-gofer --root={root} gofer --spec-fd=3",
    "another container at work": "runsc --root {root} delete c11",
    "the id in a path": "runsc --root {root} start --pid-file=/run/c1/pid c2",
    "another root, sandbox": "runsc-sandbox --root={other} boot --bundle=/b1 c1",
    "another root, gofer": "runsc-gofer --root={other} gofer --bundle=/b1",
    "another root, command": "runsc --root {other} create --bundle /b1 c1",
    "an editor": "vi c1",
    "a runc": "runc --root {root} create c1",
    "another shim": "containerd-shim-runsc-v1 -namespace k8s.io -id c2",
    "a shim of a longer id": "containerd-shim-runsc-v1 -namespace k8s.io -id c11",
    "a shim's other argument": "containerd-shim-runsc-v1 -namespace c1 -id c2 -address c1",
}


@pytest.mark.parametrize("line", NOBODY.values(), ids=NOBODY)
def test_A8_what_has_nothing_to_do_with_it(root: Directory, line: str) -> None:
    other = str(Path(root.path).parent / "other")
    executable = "/usr/bin/" + line.split()[0]
    assert claim(process(line.format(root=root.path, other=other), exe=executable), root, reading_of(root)) is None


UNDECIDED = {
    "no root": "runsc create --bundle /b1 c1",
    "a relative root": "runsc-sandbox --root=r-rel boot --bundle=/b1 c1",
    "a relative root that is ours by chance": "runsc-sandbox --root=. boot --bundle=/b1 c1",
    "a root that is not found": "runsc-sandbox --root={root}/none boot --bundle=/b1 c1",
    "a gofer with a relative root": "runsc-gofer --root=k8s.io gofer --bundle=/b1",
}


@pytest.mark.parametrize("line", UNDECIDED.values(), ids=UNDECIDED)
def test_A1_an_owner_whose_root_directory_cannot_be_told_may_be_one(
    root: Directory, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither proved, so never signalled, nor nobody, so never ignored; whatever lies in our working directory."""
    for place in (Path(root.path).parent, Path(root.path), Path(root.path).parent / "other"):
        monkeypatch.chdir(place)
        found = claim(process(line.format(root=root.path)), root, reading_of(root))
        assert found is not None
        assert not found.proved and found.stop_order is None and "root directory" in found.why


def test_a_pods_sandbox_and_gofers_own_all_its_containers(root: Directory) -> None:
    reading = reading_of(root, "ctr1", sandbox_id="pod1")
    lines = {
        f"runsc-sandbox --root={root.path} boot --bundle=/b1 pod1": "runs it",
        f"runsc-gofer --root={root.path} gofer --bundle=/b-ctr1": "serves its files",
        f"runsc --root={root.path} start ctr1": "is at work on it",
    }
    for line, why in lines.items():
        found = claim(process(line), root, reading)
        assert found is not None and (found.proved, found.why) == (True, why)


@pytest.mark.parametrize(
    ("namespace", "proved"), [("k8s.io", True), ("moby", False), ("", False)], ids=["ours", "another", "none"]
)
@pytest.mark.parametrize("exe", ["/usr/bin/containerd-shim-runsc-v1", None], ids=["readable", "hidden"])
def test_A6_a_shim_serves_a_pod_and_is_never_ours_to_stop(
    root: Directory, namespace: str, proved: bool, exe: str | None
) -> None:
    argv = tuple(word.format(ns=namespace) for word in SHIM.split())
    found = claim(process(argv, exe=exe), root, reading_of(root))
    assert found is not None
    assert (found.proved, found.stop_order, found.why) == (proved, None, "serves its pod")
    assert "engine" in found.remedy


@pytest.mark.parametrize(
    ("cgroup", "suspect"),
    [
        ("/c1", True),
        ("/kubepods/besteffort/pod1/c1", True),
        ("/kubepods.slice/cri-containerd-c1.scope", True),
        ("/kubepods-pod1.slice:cri-containerd:c1", True),
        ("/ctr1/deeper", True),
        ("/c11", False),
        ("/xc1", False),
        ("/cri-containerd-c11.scope", False),
        ("/", False),
    ],
)
@pytest.mark.parametrize(
    "argv",
    [(), ("payload", "600"), ("/proc/self/exe", "umount", "--sync-fd=3", "/proc")],
    ids=["stub", "other", "umount"],
)
def test_A7_a_process_in_a_cgroup_with_the_id_may_be_an_owner(
    root: Directory, cgroup: str, suspect: bool, argv: tuple[str, ...]
) -> None:
    for exe in ("/usr/bin/runsc", "/bin/sleep"):
        found = claim(process(argv, exe=exe, cgroups=(cgroup,)), root, reading_of(root, "ctr1"))
        assert (found is not None) is suspect
        if found is not None:
            assert not found.proved and found.stop_order is None and cgroup in found.why


def test_R7_a_reused_pid_names_nothing(root: Directory) -> None:
    assert claim(process("/bin/sleep 600", exe="/usr/bin/sleep"), root, reading_of(root)) is None
    assert claim(process(()), root, reading_of(root)) is None


def test_a_sandbox_whose_state_does_not_tell_whose_it_is_may_be_anybodys(root: Directory) -> None:
    other = str(Path(root.path).parent / "other")
    for place, expected in ((root.path, True), (other, False), ("relative", True)):
        line = f"runsc-sandbox --root={place} boot --bundle=/b2 pod"
        found = claim(process(line), root, reading_of(root), anybodys=True)
        assert (found is not None) is expected
        assert found is None or not found.proved
        assert claim(process(line), root, reading_of(root)) is None


@pytest.mark.parametrize("line", [OLD_GOFER, NEW_GOFER, OLD_SANDBOX, NEW_SANDBOX, CREATE])
def test_the_bundle_of_a_process_in_each_spelling(line: str) -> None:
    assert bundle_of(process(line)) == "/b1"


def test_no_bundle_is_empty() -> None:
    assert bundle_of(process("runsc list --bundle")) == bundle_of(process(())) == ""
