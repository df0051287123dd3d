# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis import syscalls
from ansible_collections.sandboxed.containers.plugins.module_utils._object.mapping import ContainerMapping
from ansible_collections.sandboxed.containers.plugins.module_utils._object.mapping_root import MappingRoot
from ansible_collections.sandboxed.containers.plugins.module_utils._object.steps import Plan
from ansible_collections.sandboxed.containers.plugins.module_utils._object.tree_changes import RemoveTree
from ansible_collections.sandboxed.containers.plugins.module_utils._object.verdict import LIVE, Verdict
from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView
from ansible_collections.sandboxed.containers.tests.lab.processes import argv, wait_until
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._layout.support_kata import NAME
from ansible_collections.sandboxed.containers.tests.unit.plugins.modules.support import Result, run
from ansible_collections.sandboxed.containers.tests.unit.plugins.modules.support_host_tree import HostTree


class Site:
    """A tree of mappings."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "mapping"
        self.folder = folder

    def run(self, check_mode: bool = False, **options: Any) -> Result:
        given = {"root": str(self.root), "host_root": str(self.folder), "sees_all_processes": True}
        return run("container_id_mapping", {**given, **options}, check_mode)

    def info(self, **options: Any) -> Result:
        given = {"root": str(self.root), "host_root": str(self.folder), "sees_all_processes": True}
        return run("container_id_mapping_info", {**given, **options})

    def add(self, container_id: str, *sandboxes: str) -> None:
        (self.root / container_id).mkdir(parents=True)
        for name in sandboxes:
            (self.root / container_id / name).mkdir()

    def tree(self) -> list[str]:
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*"))


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_a_mapping_is_made_with_the_modes_of_the_contract(site: Site) -> None:
    planned = site.run(check_mode=True, container_id="c1", sandbox_id="s1")
    assert site.tree() == []
    made = site.run(container_id="c1", sandbox_id="s1")
    assert (made.failed, made.changed) == (False, True), made.msg
    assert planned.value["diff"] == made.value["diff"]
    assert planned.value["mappings"] == made.value["mappings"]
    assert site.tree() == ["mapping", "mapping/c1", "mapping/c1/s1"]
    for path in (site.root, site.root / "c1", site.root / "c1" / "s1"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o750
    assert not site.run(container_id="c1", sandbox_id="s1").changed


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_modes_are_the_contracts_whatever_the_umask(site: Site, umask: int) -> None:
    site.add("c2")
    before = os.umask(umask)
    try:
        entries = [{"container_id": name, "sandbox_id": "s1"} for name in ("c1", "c2")]
        assert site.run(mappings=entries).changed
        assert os.umask(umask) == umask
    finally:
        os.umask(before)
    modes = {path: stat.S_IMODE((site.root / path).stat().st_mode) for path in ("c1", "c1/s1", "c2/s1")}
    assert modes == dict.fromkeys(modes, 0o750)


def test_M1_none_is_completed_and_can_be_removed(site: Site) -> None:
    site.add("c1")
    site.add("c2")
    info = site.info()
    assert [entry["state"] for entry in info.value["mappings"]] == ["none", "none"]
    assert "c1: it leads to no sandbox" in info.msg and "no layout" not in info.msg
    assert site.run(container_id="c1", sandbox_id="s1").value["mappings"][0]["action"] == "updated"
    assert site.run(container_id="c2", state="absent").changed
    assert site.tree() == ["mapping", "mapping/c1", "mapping/c1/s1"]


def test_M2_another_sandboxs_mapping_is_moved_only_when_asked(site: Site) -> None:
    site.add("c1", "s1")
    refused = site.run(container_id="c1", sandbox_id="s2")
    assert "it leads to sandbox s1. Set remap=true" in refused.msg
    assert site.tree()[-1] == "mapping/c1/s1"
    planned = site.run(check_mode=True, container_id="c1", sandbox_id="s2", remap=True)
    moved = site.run(container_id="c1", sandbox_id="s2", remap=True)
    assert planned.value["diff"] == moved.value["diff"]
    (shown,) = moved.value["diff"]
    assert (shown["before"], shown["after"]) == (f"mapping   {site.root}/c1/s1\n", f"mapping   {site.root}/c1/s2\n")
    assert site.tree() == ["mapping", "mapping/c1", "mapping/c1/s2"]


def test_M2_a_reader_never_finds_none_while_it_is_moved(site: Site) -> None:
    site.add("c1", "s1")
    reader = os.fork()
    if reader == 0:
        status = 1
        try:
            seen: set[int] = set()
            while os.listdir(site.root / "c1") != ["end"]:
                seen.add(len(os.listdir(site.root / "c1")))
            status = 0 if seen == {1} else 2
        finally:
            os._exit(status)
    for number in range(100):
        assert site.run(container_id="c1", sandbox_id=f"sb{number}", remap=True).changed
    assert site.run(container_id="c1", sandbox_id="end", remap=True).changed
    assert os.waitpid(reader, 0)[1] == 0


@pytest.mark.parametrize("wanted", ["s2", "s9"])
def test_several_are_reported_and_only_one_is_left_when_asked(site: Site, wanted: str) -> None:
    site.add("c1", "s1", "s2", "s3")
    assert site.info().value["mappings"][0]["state"] == "several"
    assert "it leads to several sandboxes: s1, s2, s3" in site.run(container_id="c1", sandbox_id=wanted).msg
    assert site.run(container_id="c1", sandbox_id=wanted, remap=True).changed
    assert os.listdir(site.root / "c1") == [wanted]
    site.add("c2", "s1", "s2")
    assert site.run(container_id="c2", state="absent").changed


@pytest.mark.parametrize("gone", ["s1", "s2"])
def test_M2_one_that_goes_by_itself_while_it_is_moved_is_no_failure(
    site: Site, gone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless it is the very one that is renamed: then nothing was changed, and the next run does it."""
    site.add("c1", "s1", "s2")
    rename = syscalls.rename_noreplace

    def late(*given: Any) -> None:
        if given[3] == "s9":
            (site.root / "c1" / gone).rmdir()
        rename(*given)

    with monkeypatch.context() as patch:
        patch.setattr(syscalls, "rename_noreplace", late)
        moved = site.run(container_id="c1", sandbox_id="s9", remap=True)
    if gone == "s1":
        assert moved.failed and not moved.changed and f"{site.root}/c1: it was removed meanwhile" in moved.msg
        moved = site.run(container_id="c1", sandbox_id="s9", remap=True)
    assert not moved.failed and moved.changed, moved.msg
    assert os.listdir(site.root / "c1") == ["s9"]


def test_M2_it_is_moved_also_where_the_file_system_cannot_rename_without_replacing(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.add("c1", "s1")

    def unknown(*_given: Any) -> None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(syscalls, "rename_noreplace", unknown)
    moved = site.run(container_id="c1", sandbox_id="s9", remap=True)
    assert not moved.failed and os.listdir(site.root / "c1") == ["s9"], moved.msg


def test_many_go_in_one_task_and_what_is_strange_stays(site: Site) -> None:
    for name in ("c1", "c2", "c3"):
        site.add(name, "s1")
    (site.root / "c2" / "s1" / "data").write_text("somebody's")
    done = site.run(container_id=["c1", "c2", "c3"], state="absent")
    assert [entry["action"] for entry in done.value["mappings"]] == ["deleted", "failed", "deleted"]
    assert "c2/s1: it is no empty directory" in done.msg
    assert (site.root / "c2" / "s1" / "data").read_text() == "somebody's"
    assert not site.run(container_id=["c1", "c3"], state="absent").changed


def test_a_link_is_not_followed(site: Site) -> None:
    (site.folder / "precious" / "s1").mkdir(parents=True)
    site.root.mkdir()
    (site.root / "c1").symlink_to(site.folder / "precious")
    for options in ({"state": "absent"}, {"sandbox_id": "s2", "remap": True}):
        assert "it is no directory" in site.run(container_id="c1", **options).msg
    assert (site.folder / "precious" / "s1").is_dir()


def test_what_a_killed_run_left_is_finished(site: Site) -> None:
    site.root.mkdir()
    rest = site.folder / ".sbx-del.c1.0123456789abcdef"
    (rest / "s1").mkdir(parents=True)
    assert site.run(container_id="c1", sandbox_id="s1").changed
    assert site.tree() == ["mapping", "mapping/c1", "mapping/c1/s1"]
    (rest / "s1").mkdir(parents=True)
    assert site.run(container_id="c1", state="absent").changed
    assert site.tree() == ["mapping"]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, "container_id: it is missing"),
        ({"container_id": "c1"}, "sandbox_id: it is missing"),
        ({"container_id": 12, "sandbox_id": "s1"}, "Quote it"),
        ({"container_id": "..", "state": "absent"}, "'..' is not a name"),
        ({"container_id": ".", "state": "absent"}, "'.' is not a name"),
        ({"container_id": "a/b", "state": "absent"}, "'a/b' is not a name"),
        ({"container_id": "c1", "sandbox_id": "../x"}, "sandbox_id: '../x' is not a name"),
        ({"container_id": "-c", "sandbox_id": "s1"}, "cannot be the name of something new"),
        ({"container_id": "c1", "sandbox_id": "s1", "state": "absent"}, "whatever it leads to"),
        ({"mappings": [{"container_id": "c1"}]}, "mappings[0].sandbox_id: it is missing"),
    ],
)
def test_M4_wrong_options_are_refused_in_words(site: Site, options: dict[str, Any], text: str) -> None:
    site.add("other", "s1")
    before = site.tree()
    refused = site.run(**options)
    assert refused.failed
    assert text in refused.msg
    assert site.tree() == before


def test_nothing_that_is_strange_is_touched_or_followed(site: Site) -> None:
    """A fifo is not opened either: that would hang."""
    (site.folder / "data").write_text("precious")
    for name in ("inner-file", "inner-link", "inner-fifo", "ok"):
        (site.root / name).mkdir(parents=True)
    (site.root / "inner-file/s1").write_text("precious")
    (site.root / "inner-link/s1").symlink_to(site.folder / "data")
    os.mkfifo(site.root / "inner-fifo/s1")
    os.mkfifo(site.root / "fifo")
    (site.root / "file").write_text("precious")
    (site.root / "ok/s1").mkdir()
    before = site.tree()
    names = ["inner-file", "inner-link", "inner-fifo", "fifo", "file"]
    problems = {entry["container_id"]: entry.get("problem", "") for entry in site.info().value["mappings"]}
    assert [name for name, problem in problems.items() if not problem] == ["ok"]
    for name in names:
        for options in ({"state": "absent"}, {"sandbox_id": "s2", "remap": True}, {"sandbox_id": "s1"}):
            refused = site.run(container_id=name, **options)
            assert refused.failed and not refused.changed, name
            assert "directory" in refused.msg and "Find out what it is" in refused.msg
    assert site.tree() == before
    assert (site.root / "inner-file/s1").read_text() == "precious"


def test_what_is_put_into_a_mapping_at_the_last_moment_stays(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.add("c1", "s1")

    def late(change: RemoveTree, *arguments: Any, **more: Any) -> Any:
        (site.root / "c1" / "s2").mkdir()
        return hide(change, *arguments, **more)

    hide = RemoveTree.hide
    monkeypatch.setattr(RemoveTree, "hide", late)
    refused = site.run(container_id="c1", state="absent")
    assert refused.failed and not refused.changed
    assert "something was put into it meanwhile" in refused.msg
    assert site.tree() == ["mapping", "mapping/c1", "mapping/c1/s1", "mapping/c1/s2"]


@pytest.mark.parametrize("state", ["state", "no state"])
def test_A2_a_mapping_is_kept_where_processes_may_be_hidden(
    site: Site, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.add("c1", "s1")
    if state == "state":
        (site.folder / "run/vc/sbs/s1").mkdir(parents=True)
    monkeypatch.setattr(HostView, "blind", property(lambda view: "" if view.asserted else "not all processes are seen"))
    before = site.tree()
    for wish in ({"state": "absent"}, {"sandbox_id": "s2", "remap": True}):
        refused = site.run(container_id="c1", sees_all_processes=None, **wish)
        assert refused.failed and not refused.changed, refused.value
        assert "sandbox 's1', to which it leads, may still have an owner: not all processes are seen" in refused.msg
        assert site.tree() == before
    assert site.run(container_id="c1", state="absent").changed


def test_A1_a_mapping_is_kept_where_the_sandbox_cannot_be_read(site: Site) -> None:
    site.add("c1", "s1")
    state = site.folder / "run/vc/sbs/s1"
    state.mkdir(parents=True)
    os.mkfifo(state / "persist.json")
    before = site.tree()
    refused = site.run(container_id="c1", state="absent")
    assert refused.failed and not refused.changed and "may still have an owner" in refused.msg, refused.value
    assert site.tree() == before


def test_C2_a_sandbox_that_comes_to_life_at_the_last_moment_keeps_its_mapping(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.add("c1", "s1")
    hide, dead = RemoveTree.hide, MappingRoot.verdict_of
    hidden: list[object] = []

    def watched(*given: Any, **more: Any) -> Any:
        hidden.append(hide(*given, **more))
        return hidden[-1]

    monkeypatch.setattr(RemoveTree, "hide", watched)
    lives = Verdict(LIVE, ("it runs",))
    monkeypatch.setattr(MappingRoot, "verdict_of", lambda *given: lives if hidden else dead(*given))
    refused = site.run(container_id="c1", state="absent")
    assert refused.failed and not refused.changed and "is in use: it runs" in refused.msg, refused.value
    assert site.tree() == ["mapping", "mapping/c1", "mapping/c1/s1"]


@pytest.mark.parametrize(
    ("bundle", "problem"),
    [
        ("/file", "it is no directory"),
        ("/fifo", "it is no directory"),
        ("/nowhere", "it does not exist"),
        ("/dangling", "a link that leads to none"),
        ("/loop", "too many levels of symbolic links"),
        ("/out", "it leads out of"),
    ],
)
def test_a_bundle_that_is_none_is_an_answer(site: Site, bundle: str, problem: str) -> None:
    (site.folder / "file").touch()
    os.mkfifo(site.folder / "fifo")
    for name, target in (("dangling", "/gone"), ("loop", "loop"), ("out", "../" * 20 + "etc")):
        (site.folder / name).symlink_to(target)
    found = site.info(container_id="c1", bundle=bundle)
    assert not found.failed, found.msg
    assert (found.value["bundle"]["is_directory"], found.value["bundle"]["resolved"]) == (False, None)
    assert problem in found.value["bundle"]["problem"]


def test_a_sandbox_without_any_state_is_told(site: Site) -> None:
    site.add("c1", "s1")
    site.add("c2", "s2")
    (site.folder / "run/kata/s2").mkdir(parents=True)
    info = site.info()
    assert [one["sandboxes"][0]["layouts"] for one in info.value["mappings"]] == [[], ["kata_rs"]]
    assert info.msg == "2 mappings. c1: it leads to sandbox s1, which has a state in no layout."


def test_an_empty_bundle_is_refused_as_kata_does(site: Site) -> None:
    """It is not the directory in which the module happens to run."""
    refused = site.info(container_id="c1", bundle="", host_root="/")
    assert refused.failed and "bundle: it is empty" in refused.msg


def test_info_tells_which_layouts_know_the_sandbox_and_about_the_bundle(site: Site) -> None:
    site.add("c1", "s1")
    (site.folder / "run/vc/sbs/s1").mkdir(parents=True)
    (site.folder / "b1").mkdir()
    (site.folder / "link").symlink_to("/b1")
    found = site.info(container_id=["c1", "c9"], bundle="/link")
    assert found.value["mappings"][0]["sandboxes"] == [{"sandbox_id": "s1", "layouts": ["kata_store", "kata_persist"]}]
    assert found.value["mappings"][1]["exists"] is False
    assert found.value["bundle"] == {"path": "/link", "is_directory": True, "resolved": str(site.folder / "b1")}
    assert site.info(bundle="/nowhere").value["bundle"]["is_directory"] is False


def test_more_than_one_process_works_on_many(site: Site) -> None:
    entries = [{"container_id": f"c{number:05}", "sandbox_id": f"s{number:05}"} for number in range(1200)]
    made = site.run(mappings=entries)
    assert not made.failed, made.msg
    assert len(os.listdir(site.root)) == 1200
    gone = site.run(container_id=[entry["container_id"] for entry in entries], state="absent")
    assert not gone.failed, gone.msg
    assert site.tree() == ["mapping"]


@pytest.mark.parametrize("entry", [True, False], ids=["its sandbox", "its container"])
def test_C2_in_a_prune_too_what_came_meanwhile_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: bool
) -> None:
    host = HostTree(tmp_path)
    names = (f"ctr-{NAME}", f"sbx-{NAME}")
    mapping = host.mapping(*names) if entry else host.folder(f"run/kata-containers/containers-mapping/{names[0]}")
    begin = ContainerMapping.begin
    started: list[subprocess.Popen[bytes]] = []

    def starts(self: ContainerMapping, plan: Plan) -> bool:
        words = ("kata-runtime", "-c", "import time; time.sleep(60)", names[int(entry)])
        started.append(subprocess.Popen(words, executable=sys.executable))
        wait_until(lambda: words[-1] in argv(started[-1].pid), "its arguments")
        return begin(self, plan)

    monkeypatch.setattr(ContainerMapping, "begin", starts)
    done = host.prune()
    for child in started:
        child.kill()
        child.wait()
    (kept,) = done.value["objects"]
    assert kept["action"] == "skipped" and "may still have an owner: kata-runtime" in kept["msg"]
    assert mapping.is_dir()
    monkeypatch.undo()
    assert host.prune().changed and not mapping.exists()
