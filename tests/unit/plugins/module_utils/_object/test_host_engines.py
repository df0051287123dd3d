# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which processes are believed where they keep things: anybody may call one containerd (safety.md A10, C9)."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_engines import (
    engines_by_root,
    is_roots_alone,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_registries import registries
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_roots import (
    EngineRoots,
    engine_roots,
    listing_roots,
    runsc_roots,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._object.support_host import (
    process,
    view_of,
)

NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
NOBODY = 65534
DAEMON = process("/usr/bin/containerd")
BELIEVED = {
    "root's": (DAEMON, {}, "/"),
    "root's, in a root directory of its own": (DAEMON._replace(root="/srv"), {}, "/proc/7/root"),
    "root's, with mounts of its own": (DAEMON, {"mount namespace": "mnt:[7]"}, "/proc/7/root"),
    "root's, whose mounts cannot be read": (DAEMON, {"mount namespace": None}, "/"),
    "anybody's": (DAEMON, {"uids": frozenset({NOBODY})}, None),
    "anybody's, by the set-user-id bit": (DAEMON, {"uids": frozenset({0, NOBODY})}, None),
    "one that is gone": (DAEMON, {"uids": None}, None),
    "a container's": (DAEMON, {"namespace pids": (7, 2)}, None),
    "a container's first": (DAEMON, {"namespace pids": (7, 1)}, None),
    "dead": (DAEMON._replace(dead=True), {}, None),
    "another program": (process("cat /usr/bin/containerd"), {}, None),
}


@pytest.mark.parametrize(("one", "facts", "root"), BELIEVED.values(), ids=BELIEVED)
def test_A10_who_is_believed_and_below_which_root(one: object, facts: dict[str, object], root: str | None) -> None:
    view = HostView("/", True)
    for name, value in facts.items():
        view.once((name, 7), lambda value=value: value)  # type: ignore[misc]
    view._facts.update({**view_of(one)._facts, **view._facts})  # type: ignore[arg-type]
    found = {base: processes for base, processes in engines_by_root("/", view).items() if processes}
    assert found == ({root: [one]} if root else {})


def test_A10_nobody_is_believed_of_another_hosts_tree(tmp_path: Path) -> None:
    assert engines_by_root(str(tmp_path), view_of(DAEMON, host_root=str(tmp_path))) == {str(tmp_path): []}


PLACES: dict[str, tuple[Callable[[Path], object], bool]] = {
    "as it is made": (lambda path: None, True),
    "writable for others": (lambda path: path.chmod(0o757), False),
    "writable for a group": (lambda path: path.chmod(0o775), False),
    "writable for others, who keep what is theirs": (lambda path: path.chmod(0o1777), False),
    "in one that is writable for others": (lambda path: path.parent.chmod(0o777), False),
    "in one that is writable for others, who keep what is theirs": (lambda path: path.parent.chmod(0o1777), True),
    "another user's": (lambda path: os.chown(path, NOBODY, -1), False),
    "in another user's": (lambda path: os.chown(path.parent, NOBODY, -1), False),
    "a link": (lambda path: path.rename(path.parent / "moved").parent.joinpath("it").symlink_to("/etc"), False),
    "a file": (lambda path: path.rename(path.parent / "moved").parent.joinpath("it").touch(), False),
    "nothing": (lambda path: path.rmdir(), False),
}


@NEEDS_ROOT
@pytest.mark.parametrize(("change", "alone"), PLACES.values(), ids=PLACES)
def test_C9_a_directory_that_is_roots_alone(tmp_path: Path, change: Callable[[Path], object], alone: bool) -> None:
    path = tmp_path / "above/it"
    path.mkdir(parents=True)
    change(path)
    assert is_roots_alone(str(path)) is alone


@pytest.fixture
def run() -> Iterator[Callable[..., int]]:
    """Starts a shell that runs a command line and then has the words in its own; tells its pid. They end with the test.

    It waits for its input to end, so that nothing has to be killed.
    """
    with ExitStack() as stack:

        def start(words: str, *before: str, first: str = "", uid: int = 0) -> int:
            name, *rest = words.split()
            script = f"{first} exec -a {name} bash -c 'echo $$; read line' {' '.join(rest)}"
            popen = subprocess.Popen(
                [*before, "bash", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, user=uid, cwd="/"
            )
            stack.enter_context(popen)
            assert popen.stdout is not None
            inner = int(popen.stdout.readline())
            return _child(popen.pid) if before[:2] == ("unshare", "--pid") else inner

        yield start


def _child(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


@NEEDS_ROOT
def test_A10_what_anybody_calls_a_containerd_shows_no_bundles(tmp_path: Path, run: Callable[..., int]) -> None:
    """Else whoever may start a process had root's prune remove whole directories: here /home would be a namespace."""
    evil = tmp_path / "evil"
    (evil / "root").mkdir(parents=True)
    (evil / "io.containerd.runtime.v2.task").symlink_to("/home")
    words = f"containerd --state {evil} --root {evil}/root"
    run(words, uid=NOBODY)
    assert str(evil) not in [one.state for one in engine_roots("/", HostView())]
    run(words)  # root's own, but others can write there
    assert str(evil) in [one.state for one in engine_roots("/", HostView())]
    evil.chmod(0o777)
    assert str(evil) not in [one.state for one in engine_roots("/", HostView())]


@NEEDS_ROOT
def test_A10_a_root_directory_that_only_a_container_names_is_none(tmp_path: Path, run: Callable[..., int]) -> None:
    """A sandbox has mounts and pids of its own, as any container has: the state in the directory has to record it."""
    named = tmp_path / "named"
    named.mkdir()
    (named / "web-1.lock").touch()
    before = ("unshare", "--pid", "--mount", "--fork", "--kill-child", "setpriv", f"--reuid={NOBODY}")
    pid = run(f"runsc-sandbox --root={named} boot web-1", *before)
    assert str(named) not in runsc_roots("/", HostView())
    for recorded in (pid + 1, pid):
        (named / "web-1_sandbox:web-1.state").write_text(json.dumps({"sandbox": {"id": "web-1", "pid": recorded}}))
        assert (str(named) in runsc_roots("/", HostView())) is (recorded == pid)
    named.chmod(0o777)
    assert str(named) not in runsc_roots("/", HostView())


@NEEDS_ROOT
def test_A10_an_engine_with_mounts_of_its_own_is_asked_below_its_root(tmp_path: Path, run: Callable[..., int]) -> None:
    (tmp_path / "disk/containers/web-1").mkdir(parents=True)
    (tmp_path / "data").mkdir()
    first = f"mount --bind {tmp_path}/disk {tmp_path}/data;"
    run(f"dockerd --data-root {tmp_path}/data", "unshare", "--mount", first=first)
    assert not list((tmp_path / "data").iterdir())
    assert registries("/", HostView()).listed({"web-1"}) == ("Docker lists web-1",)


def test_A5_two_containerds_of_one_state_directory_are_both_asked(tmp_path: Path) -> None:
    """Whatever runs beside it, a daemon's own database is read."""
    for name in ("one", "two"):
        (tmp_path / name / "io.containerd.metadata.v1.bolt").mkdir(parents=True)
        (tmp_path / name / "io.containerd.metadata.v1.bolt/meta.db").touch()
    (tmp_path / "state").mkdir()
    processes = [
        process(f"containerd --state {tmp_path}/state --root {tmp_path}/{name}", pid)
        for pid, name in enumerate(("one", "two", "none"), 7)
    ]
    publish = process(f"containerd --state {tmp_path}/state --root {tmp_path}/other publish --topic /tasks/exit", 11)
    listing = [one for one in listing_roots("/", [*processes, publish]) if one.state.startswith(str(tmp_path))]
    assert listing == [EngineRoots(f"{tmp_path}/state", work) for work in (f"{tmp_path}/one", f"{tmp_path}/two", None)]
