# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import (
    OutsideRoot,
    Unreadable,
    WriteFailed,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import (
    Directory,
    open_below,
    open_given,
)

NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
NEEDS_NO_ROOT = pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A host's tree, and live data outside of it under the same names."""
    (tmp_path / "outside" / "run" / "data").mkdir(parents=True)
    (tmp_path / "root" / "run" / "data").mkdir(parents=True)
    (tmp_path / "root" / "var").mkdir()
    return tmp_path / "root"


def is_same(found: Directory, path: Path) -> bool:
    with found:
        assert found.exists
        status = os.fstat(found.fd)
    return (status.st_dev, status.st_ino) == (path.stat().st_dev, path.stat().st_ino)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_plain_directory_and_its_shown_path(root: Path) -> None:
    found = open_below(str(root), "/run/data")
    assert found.path == f"{root}/run/data"
    assert found.join("x") == f"{root}/run/data/x"
    assert is_same(found, root / "run" / "data")
    assert found.fd == -1, "closed by its with block"
    found.close()


def test_the_root_itself() -> None:
    found = open_below("/", "/")
    assert (found.path, found.join("x")) == ("/", "/x")
    found.close()


def test_an_absolute_link_is_taken_inside_the_root(root: Path) -> None:
    """/var/run -> /run, as on every host; the live /run outside must not be reached."""
    (root / "var" / "run").symlink_to("/run")
    found = open_below(str(root), "/var/run/data")
    assert found.path == f"{root}/run/data"
    assert is_same(found, root / "run" / "data")


def test_an_absolute_link_to_live_data_outside_stays_inside(root: Path) -> None:
    outside = root.parent / "outside" / "run"
    (root / "var" / "run").symlink_to(outside)
    missing = open_below(str(root), "/var/run/data")
    assert not missing.exists and missing.path == f"{root}{outside}/data"
    made = open_below(str(root), "/var/run/data", 0o711)
    assert made.exists and made.path == f"{root}{outside}/data"
    made.close()
    assert os.listdir(outside / "data") == []


@pytest.mark.parametrize(
    "target",
    ["run", "../root/run/../run", "./run/", "../../../../../.."],
    ids=["plain", "up and down", "dots", "far up"],
)
def test_relative_links(root: Path, target: str) -> None:
    (root / "link").symlink_to(target)
    if target.startswith("../"):
        with pytest.raises(OutsideRoot, match="leads out of"):
            open_below(str(root), "/link/data")
    else:
        assert is_same(open_below(str(root), "/link/data"), root / "run" / "data")


@pytest.mark.parametrize("path", ["..", "/run/../../outside/run", "/../outside"])
def test_climbing_out_is_refused(root: Path, path: str) -> None:
    with pytest.raises(OutsideRoot) as caught:
        open_below(str(root), path)
    assert str(root) in str(caught.value) and path in str(caught.value)


def test_dots_inside_the_root_are_fine(root: Path) -> None:
    assert is_same(open_below(str(root), "/./run//../run/data/."), root / "run" / "data")


def test_above_the_real_root_is_the_root_as_for_the_kernel(root: Path) -> None:
    assert is_same(open_below("/", f"/../..{root}/run"), root / "run")


@pytest.mark.parametrize("target", ["loop", "/loop", "other"], ids=["itself", "itself absolutely", "two links"])
def test_link_loops_end(root: Path, target: str) -> None:
    (root / "loop").symlink_to(target)
    (root / "other").symlink_to("loop")
    before = descriptors()
    with pytest.raises(Unreadable, match="too many levels of symbolic links"):
        open_below(str(root), "/loop/data")
    assert descriptors() == before


def test_what_is_absent_keeps_its_resolved_path_and_leaks_no_descriptor(root: Path) -> None:
    (root / "var" / "run").symlink_to("/run")
    (root / "dangling").symlink_to("nowhere")
    before = descriptors()
    for path, resolved in (("/var/run/missing/deeper", "/run/missing/deeper"), ("/dangling/x", "/nowhere/x")):
        missing = open_below(str(root), path)
        assert (missing.exists, missing.path, missing.fd) == (False, f"{root}{resolved}", -1)
    assert descriptors() == before


def test_a_missing_root_is_no_absence(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="must be an existing directory") as caught:
        open_below(str(tmp_path / "image"), "/run")
    assert str(tmp_path / "image") in str(caught.value)
    (tmp_path / "file").write_text("")
    with pytest.raises(Unreadable, match="must be an existing directory"):
        open_below(str(tmp_path / "file"), "/run")


@pytest.mark.parametrize("path", ["/file", "/file/deeper"], ids=["last", "in the middle"])
def test_a_file_in_the_way_is_unreadable_not_absent(root: Path, path: str) -> None:
    (root / "file").write_text("")
    before = descriptors()
    for mode in (None, 0o711):
        with pytest.raises(Unreadable, match="Not a directory"):
            open_below(str(root), path, mode)
    assert descriptors() == before


@pytest.mark.parametrize("path", ["/run/x\0y", "/x\ud800/data"], ids=ascii)
def test_A1_a_text_that_no_path_can_be_is_unreadable(root: Path, path: str) -> None:
    before = descriptors()
    for below in (True, False):
        with pytest.raises(Unreadable, match="it is no path") as caught:
            open_below(str(root), path, 0o700) if below else open_given(path, 0o700)
        str(caught.value).encode("utf-8")
    assert descriptors() == before
    odd = root / "run/odd\udcff"
    odd.mkdir()
    assert is_same(open_below(str(root), "/run/odd\udcff"), odd)


@NEEDS_NO_ROOT
def test_a_closed_directory_is_unreadable_not_absent(root: Path) -> None:
    (root / "run").chmod(0)
    try:
        with pytest.raises(Unreadable, match="Permission denied"):
            open_below(str(root), "/run/data")
    finally:
        (root / "run").chmod(0o755)


def test_missing_directories_are_made_with_exact_modes_despite_the_umask(root: Path) -> None:
    (root / "var" / "run").symlink_to("/run")
    before = os.umask(0o077)
    try:
        made = open_below(str(root), "/var/run/one/two/last", 0o711)
    finally:
        os.umask(before)
    made.close()
    modes = [stat.S_IMODE((root / "run" / name).stat().st_mode) for name in ("one", "one/two", "one/two/last")]
    assert modes == [0o755, 0o755, 0o711]


def test_an_existing_directory_keeps_its_mode(root: Path) -> None:
    (root / "run" / "data").chmod(0o700)
    found = open_below(str(root), "/run/data", 0o711)
    found.close()
    assert stat.S_IMODE((root / "run" / "data").stat().st_mode) == 0o700


@NEEDS_ROOT
def test_a_read_only_file_system_refuses_new_directories() -> None:
    with pytest.raises(WriteFailed, match=r"/proc/.*Nothing was changed"):
        open_below("/proc", "/sys/kernel/none/of/ours", 0o711)


@pytest.mark.parametrize("slash", ["", "/"], ids=["plain", "slash at the end"])
def test_a_given_path_is_taken_as_it_is_links_and_all(root: Path, slash: str) -> None:
    (root / "link").symlink_to(root.parent / "outside")
    assert is_same(open_given(f"{root}/link/run{slash}"), root.parent / "outside" / "run")
    assert not open_given(f"{root}/link/none{slash}").exists


def test_a_given_relative_path_starts_at_the_working_directory(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    assert is_same(open_given("run/data"), root / "run" / "data")


def test_a_given_path_goes_up_from_where_a_link_leads_as_for_the_kernel(root: Path) -> None:
    (root / "link").symlink_to(root.parent / "outside" / "run")
    assert is_same(open_given(f"{root}/link/../run"), root.parent / "outside" / "run")


@NEEDS_ROOT
@pytest.mark.parametrize("given", [False, True], ids=["host_root", "given path"])
def test_the_root_of_another_mount_namespace_is_that_namespaces(tmp_path: Path, given: bool) -> None:
    """/proc/1/root is how a container with the host's pids names the host: its text says "/", and it is not ours."""
    code = "import os, time; os.mkdir('inside'); os.mkdir('inside/run'); print(flush=True); time.sleep(60)"
    shell = 'mount -t tmpfs tmpfs . && cd "$PWD" && exec "$0" -c "$1"'
    command = ["unshare", "-m", "sh", "-c", shell, sys.executable, code]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE) as child:
        try:
            assert child.stdout and child.stdout.readline()
            theirs = f"/proc/{child.pid}/root"
            path = f"{tmp_path}/inside/run"
            found = open_given(theirs + path) if given else open_below(theirs, path)
            assert found.exists
            assert found.path == theirs + path
            found.close()
        finally:
            child.kill()


def test_directories_with_one_path_are_equal_for_plans(root: Path) -> None:
    one, two = open_below(str(root), "/run"), open_below(str(root), "/run")
    other = open_below(str(root), "/var")
    with one, two, other:
        assert one == two and hash(one) == hash(two) and one != other
        assert one != one.path


def test_reopened_is_the_same_directory_or_an_error(root: Path) -> None:
    closed = Directory(-1, f"{root}/run/data")
    with closed.reopened() as again:
        assert os.fstat(again.fd).st_ino == (root / "run" / "data").stat().st_ino
    (root / "run" / "data").rmdir()
    with pytest.raises(FileNotFoundError):
        closed.reopened()


# directories that are named before they are opened


def test_a_child_is_named_without_being_looked_for(root: Path) -> None:
    with open_below(str(root), "/run") as run:
        child = run.child("data")
        assert (child.path, child.exists, child.above) == (f"{root}/run/data", False, run)
        assert run.child("none").path == f"{root}/run/none" and child.child("x").path == f"{root}/run/data/x"
        assert child == Directory(-1, f"{root}/run/data"), "plans compare directories by their paths"
    with open_below("/", "/") as top:
        assert top.child("run").path == "/run"


@pytest.mark.parametrize("way", ["opened", "reopened"])
def test_a_child_is_opened_in_the_directory_that_named_it(root: Path, way: str) -> None:
    """And not by its path, which may lead elsewhere by now (promise 5)."""
    (root / "run" / "data" / "deep").mkdir()
    before = descriptors()
    with open_below(str(root), "/run") as run:
        child = run.child("data")
        (root / "run").rename(root / "moved")
        (root / "run" / "data").mkdir(parents=True)
        for one, place in ((child, "data"), (child.child("deep"), "data/deep")):
            with getattr(one, way)() as opened:
                assert os.fstat(opened.fd).st_ino == (root / "moved" / place).stat().st_ino
                assert opened.path == f"{root}/run/{place}"
            assert not one.exists, "opening leaves the one that it was asked of as it is"
    assert descriptors() == before


def test_what_is_open_is_used_as_it_is_and_stays_open(root: Path) -> None:
    with open_below(str(root), "/run") as run:
        (root / "run").rename(root / "moved")
        with run.opened() as again:
            assert (again.fd, again.path) == (run.fd, run.path)
        assert run.exists and os.fstat(run.fd).st_ino == (root / "moved").stat().st_ino


@pytest.mark.parametrize(
    ("kind", "error", "why"),
    [
        ("nothing", FileNotFoundError, "data"),
        ("file", Unreadable, "run/data: it is no directory"),
        ("link", Unreadable, "run/data: it is no directory"),
        ("link to nothing", Unreadable, "run/data: it is no directory"),
        ("fifo", Unreadable, "run/data: it is no directory"),
    ],
)
def test_promise_5_a_child_is_never_opened_through_a_link(
    root: Path, kind: str, error: type[Exception], why: str
) -> None:
    before = descriptors()
    place = root / "run" / "data"
    place.rmdir()
    if kind == "file":
        place.touch()
    elif kind == "fifo":
        os.mkfifo(place)
    elif kind != "nothing":
        place.symlink_to(root.parent / ("outside" if kind == "link" else "none"))
    with open_below(str(root), "/run") as run:
        for way in ("opened", "reopened"):
            with pytest.raises(error, match=why):
                getattr(run.child("data"), way)()
            with pytest.raises(error):
                getattr(run.child("data").child("inner"), way)()
    assert descriptors() == before


@NEEDS_NO_ROOT
def test_promise_7_a_closed_child_is_unreadable_not_absent(root: Path) -> None:
    (root / "run" / "data").chmod(0)
    with open_below(str(root), "/run") as run, pytest.raises(Unreadable, match="Permission denied"):
        run.child("data").opened()


def test_the_directory_above_is_the_one_that_really_is(root: Path) -> None:
    with open_below(str(root), "/run/data") as data:
        (root / "run").rename(root / "moved")
        with data.above_it() as above:
            assert os.fstat(above.fd).st_ino == (root / "moved").stat().st_ino
            assert above.path == f"{root}/run" and above.exists


def test_above_a_directory_that_is_not_there_is_unreadable(root: Path) -> None:
    with pytest.raises(Unreadable, match=f"^{root}/run: Bad file descriptor"):
        Directory(-1, f"{root}/run/none").above_it()


def test_directories_above_a_new_one_have_a_mode_of_their_own(root: Path) -> None:
    """/var/lib/vc is made with sbs, and both have 0750 (kata-store.md)."""
    before = os.umask(0o077)
    try:
        made = open_below(str(root), "/var/lib/vc/sbs", 0o700, above_mode=0o750)
        given = open_given(f"{root}/given/one/last", 0o711, 0o701)
    finally:
        os.umask(before)
    with made, given:
        names = ("lib", "lib/vc", "lib/vc/sbs")
        assert [stat.S_IMODE((root / "var" / name).stat().st_mode) for name in names] == [0o750, 0o750, 0o700]
        assert made.made == tuple(f"{root}/var/{name}" for name in names)
        modes = [stat.S_IMODE((root / name).stat().st_mode) for name in ("given", "given/one", "given/one/last")]
        assert modes == [0o701, 0o701, 0o711]
    with open_below(str(root), "/var/lib/vc/sbs", 0o700, above_mode=0o777) as again:
        assert again.made == () and stat.S_IMODE((root / "var/lib").stat().st_mode) == 0o750


def test_forks_that_list_the_same_open_directory_each_see_all_of_it(tmp_path: Path) -> None:
    names = {f"web-{number:04}" for number in range(3000)}
    for name in names:
        (tmp_path / name).touch()
    with open_given(str(tmp_path)) as directory:
        other = os.fork()
        if other == 0:
            complete = False
            try:
                # The same whether it is asked directly or through a with statement of its own.
                complete = all(set(directory.names()) == names for _again in range(30))
                with directory.opened() as lent:
                    complete = complete and all(set(lent.names()) == names for _again in range(30))
            finally:
                os._exit(0 if complete else 1)
        seen = [set(directory.names()) == names for _again in range(60)]
        status = os.waitpid(other, 0)[1]
    assert all(seen)
    assert status == 0
