# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who stands in a tree or has a file of it open (safety.md D8)."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis import descriptors
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.descriptors import User
from ansible_collections.sandboxed.containers.tests.lab.processes import wait_until
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._basis.support_descriptors import (
    LOCK,
    NEEDS_ROOT,
    OPEN,
    WAIT,
    inode_of,
    python,
    target,
)

__all__ = ["target"]


def test_D8_users_by_cwd_descriptor_and_program(tmp_path: Path) -> None:
    tree = tmp_path / "web-1"
    (tree / "rootfs").mkdir(parents=True)
    (tree / "log").write_text("")
    (tmp_path / "web-10").mkdir()
    program = tree / "tool"
    program.write_bytes(Path("/bin/sleep").read_bytes())
    program.chmod(0o755)
    tool = subprocess.Popen([str(program), "60"])
    try:
        wait_until(lambda: os.readlink(f"/proc/{tool.pid}/exe") == str(program), "the program to run")
        with python("held = 'x'\n" + WAIT, cwd=tree / "rootfs") as inside:
            with python("held = 'x'\n" + WAIT, cwd=tmp_path / "web-10"):
                with python(OPEN + WAIT, str(tree / "log")) as opener:
                    found = descriptors.users_below([str(tree), "/nowhere/at/all"])
                    assert set(found.users) == {
                        User(tool.pid, "exe", str(program)),
                        User(inside.pid, "cwd", str(tree / "rootfs")),
                        User(opener.pid, "descriptor", str(tree / "log")),
                    }
    finally:
        tool.kill()
        tool.wait()
    assert descriptors.users_below([str(tree)]).users == ()
    assert descriptors.users_below([]).users == ()


def test_D8_a_deleted_directory_and_a_thread_of_its_own_mind(tmp_path: Path) -> None:
    tree = tmp_path / "web-1"
    (tree / "a").mkdir(parents=True)
    code = (
        "def wander():\n"
        "    assert ctypes.CDLL(None).unshare(0x200) == 0\n"  # CLONE_FS
        "    os.chdir(sys.argv[1]); print('there', flush=True); time.sleep(60)\n"
        "threading.Thread(target=wander).start()\n"
    )
    with python(code, str(tree / "a"), cwd="/") as child:
        assert descriptors.users_below([str(tree)]).users == (User(child.pid, "cwd", str(tree / "a")),)
        (tree / "a").rmdir()
        assert descriptors.users_below([str(tree)]).users == (User(child.pid, "cwd", str(tree / "a")),)


def test_D8_this_process_is_left_out(tmp_path: Path) -> None:
    before = Path.cwd()
    os.chdir(tmp_path)
    try:
        assert descriptors.users_below([str(tmp_path)]).users == ()
    finally:
        os.chdir(before)


def test_D8_thousands_of_trees_are_told_apart_by_whole_components(tmp_path: Path) -> None:
    """Bulk removal asks for all at once: a pass over /proc costs the same for one and for ten thousand."""
    trees = [f"{tmp_path}/sbs/web-{number}" for number in range(5000)] + [f"{tmp_path}/vm/deep/er/web-7"]
    inside = tmp_path / "sbs" / "web-4711" / "raw"
    beside = [tmp_path / "sbs" / "web-47110", tmp_path / "web-4711", tmp_path / "vm" / "deep"]
    for folder in (inside, *beside):
        folder.mkdir(parents=True)
    with python("held = 'x'\n" + WAIT, cwd=inside) as child:
        users = [python("held = 'x'\n" + WAIT, cwd=folder) for folder in beside]
        with users[0], users[1], users[2]:
            assert descriptors.users_below(trees).users == (User(child.pid, "cwd", str(inside)),)
            assert descriptors.uses([], trees) == {(f"{tmp_path}/sbs/web-4711", child.pid)}


def test_D8_a_tree_in_a_tree_counts_for_both(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b" / "c"
    inner.mkdir(parents=True)
    trees = [f"{tmp_path}/a/b", f"{tmp_path}/a/", f"{tmp_path}/a/b/c", f"{tmp_path}/a/x"]
    with python("held = 'x'\n" + WAIT, cwd=inner) as child:
        found = descriptors.uses([], trees)
    assert found == {(tree, child.pid) for tree in (f"{tmp_path}/a", f"{tmp_path}/a/b", f"{tmp_path}/a/b/c")}


def test_C3_D8_open_files_and_trees_are_found_in_one_pass(target: Path, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "log").write_text("")
    other = tmp_path / "other"
    other.write_text("")
    code = "one = os.open(sys.argv[2], os.O_RDONLY)\n" + LOCK + WAIT
    wanted = [inode_of(target), inode_of(other)]
    with python(code, str(target), str(tmp_path / "tree" / "log")) as child:
        found = descriptors.uses(wanted, [str(tmp_path / "tree"), "/nowhere"])
        assert found == {(inode_of(target), child.pid), (str(tmp_path / "tree"), child.pid)}
        assert descriptors.uses(wanted, []) == {(inode_of(target), child.pid)}
    assert descriptors.uses(wanted, [str(tmp_path / "tree")]) == descriptors.uses([], []) == set()


def in_a_fork(work: Callable[[], bool]) -> bool:
    """What a child of this process finds."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            status = 0 if work() else 1
        finally:
            os._exit(status)
    return os.waitpid(pid, 0)[1] == 0


def test_D8_workers_of_one_task_are_left_out_as_long_as_they_are(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted, parent = [inode_of(target)], os.getpid()
    with python(LOCK + WAIT, str(target)) as child:
        found = {(wanted[0], child.pid)}
        assert descriptors.uses(wanted, [], parent=1) == found == descriptors.uses(wanted, [], parent=parent)
        if Path(f"/proc/{parent}/task/{parent}/children").exists():  # a kernel may be built without
            assert in_a_fork(lambda: descriptors.uses(wanted, [], parent=parent) == set())
        assert in_a_fork(lambda: descriptors.uses(wanted, []) == found)
        told = [frozenset({child.pid}), frozenset[int]()]  # it ends, and another process gets its pid
        monkeypatch.setattr(descriptors, "siblings", lambda _parent, _proc: told.pop(0))
        assert descriptors.uses(wanted, [], parent=parent) == found


def test_D8_a_directory_that_is_open_or_deleted_counts(tmp_path: Path) -> None:
    tree = tmp_path / "web-1"
    tree.mkdir()
    with python(OPEN + WAIT, str(tree)) as child:
        assert descriptors.uses([inode_of(tree)], [str(tree)]) == {(inode_of(tree), child.pid), (str(tree), child.pid)}
        gone = inode_of(tree)
        tree.rmdir()
        assert descriptors.uses([gone], [str(tree)]) == {(gone, child.pid), (str(tree), child.pid)}


@NEEDS_ROOT
def test_D8_whoever_hides_what_it_uses_is_told_but_for_init(target: Path) -> None:
    code = (
        "from ansible_collections.sandboxed.containers.plugins.module_utils._basis import descriptors\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "found = descriptors.uses([], ['/nowhere'])\n"
        "told = [(descriptors.HIDDEN, pid) in found for pid in (int(sys.argv[1]), 1)]\n"
        "print(*told)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with python(OPEN + WAIT, str(target)) as child, python(code, str(child.pid), env=environment) as looker:
        assert looker.first_line.split() == ["True", "False"]


@NEEDS_ROOT
def test_D8_a_root_inside_the_tree_counts_alone(tmp_path: Path) -> None:
    """chroot leaves the working directory where it is."""
    (tmp_path / "web-1" / "rootfs").mkdir(parents=True)
    code = "held = 'x'\nos.chroot(sys.argv[1])\n" + WAIT
    with python(code, str(tmp_path / "web-1" / "rootfs"), cwd="/") as child:
        assert descriptors.uses([], [f"{tmp_path}/web-1"]) == {(f"{tmp_path}/web-1", child.pid)}
