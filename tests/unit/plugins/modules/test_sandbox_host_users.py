# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The temporary users of a rootless Kata, with and without their directories (field problem 29)."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._basis import support_mounts as support
from ansible_collections.sandboxed.containers.tests.unit.plugins.modules.support_host_tree import HostTree

COMMENT = "Kata Containers temporary hypervisor user"
UID = 6_543_210  # nobody's on the machine that the tests run on
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def host(tmp_path: Path) -> HostTree:
    return HostTree(tmp_path)


def add_users(host: HostTree, *lines: str) -> Path:
    return host.write("etc/passwd", "\n".join(["root:x:0:0:root:/root:/bin/sh", *lines, ""]))


def user(name: str, uid: int = UID, comment: str = COMMENT) -> str:
    return f"{name}:x:{uid}:{uid}:{comment}:/home/{name}:/usr/sbin/nologin"


@contextmanager
def process_of(uid: int) -> Iterator[None]:
    with subprocess.Popen(["sleep", "60"], user=uid) as child:
        try:
            yield
        finally:
            child.kill()


def test_problem_29_users_are_listed_with_and_without_their_directory_and_never_removed(host: HostTree) -> None:
    """Kata before 4.1.0 leaves both. What a prune leaves is told by the next look; another prune has nothing to do."""
    passwd = add_users(
        host,
        user("kata-1", UID + 1),
        user("kata-2", UID + 2),
        user("kata-3", UID + 3, "a person"),
        user("kata-x", UID + 4),
        user("web", UID + 5),
    )
    text = passwd.read_text()
    for number in range(1, 6):
        if number != 2:
            host.folder(f"run/user/{UID + number}/run/kata-containers")
    assert host.verdicts() == {"rootless kata-1": "leftover", "rootless kata-2": "foreign"}
    assert "users are not deleted" in host.evidence("rootless kata-2")
    planned = host.info(with_plan=True).value["plan"]["steps"]
    assert [step["id"] for step in planned] == ["kata-1"]
    done = host.prune()
    assert done.changed and not done.failed, done.msg
    assert passwd.read_text() == text
    assert sorted(path.name for path in (host.root / "run/user").iterdir()) == [str(UID + n) for n in (3, 4, 5)]
    assert host.verdicts() == {"rootless kata-1": "foreign", "rootless kata-2": "foreign"}
    assert host.info().value["summary"]["foreign"] == 2
    assert host.prune().unchanged


def test_problem_29_a_plan_for_a_directory_never_takes_the_user(host: HostTree) -> None:
    """The directory is gone by the time that the plan is carried out."""
    passwd = add_users(host, user("kata-1"))
    folder = host.folder(f"run/user/{UID}")
    plan = host.info(with_plan=True).value["plan"]
    folder.rmdir()
    done = host.prune(plan=plan)
    assert not done.failed and not done.changed and user("kata-1") in passwd.read_text(), done.msg


def test_problem_29_a_user_on_the_first_line_is_listed(host: HostTree) -> None:
    host.write("etc/passwd", user("kata-1") + "\n")
    (found,) = host.info(kinds=["rootless"], verdicts=["foreign"]).value["objects"]
    assert found["id"] == "kata-1"


@pytest.mark.parametrize("number", ["²", "٣", "-1", "", "9" * 5000], ids=lambda number: number[:5])
def test_A1_a_number_that_is_none_hides_no_other_user(host: HostTree, number: str) -> None:
    odd = user("kata-2").replace(f":{UID}:", f":{number}:", 1)
    add_users(host, odd, user("kata-1"))
    host.folder(f"run/user/{UID}")
    assert host.verdicts() == {"rootless kata-1": "leftover"}


@pytest.mark.parametrize("there", ["nothing of /run", "no passwd", "a passwd that is none"])
def test_problem_29_where_there_is_less_than_on_a_host(host: HostTree, there: str) -> None:
    if there == "nothing of /run":
        add_users(host, user("kata-1"))
        assert host.verdicts() == {"rootless kata-1": "foreign"}
        return
    host.folder(f"run/user/{UID}")
    if there == "a passwd that is none":
        host.folder("etc")
        os.mkfifo(host.root / "etc/passwd")
    found = host.info().value
    assert found["objects"] == []
    assert len(found["problems"]) == (there != "no passwd") and all("passwd" in text for text in found["problems"])


def test_problem_29_a_user_says_nothing_of_a_sandbox_of_its_name(host: HostTree) -> None:
    """docs/verdicts.md: it is tied by nothing."""
    add_users(host, user("kata-1"), user("kata-2", UID + 1))
    host.folder(f"run/user/{UID}")
    host.folder("run/systemd/users").joinpath(str(UID)).touch()
    for name in ("kata-1", "kata-2"):
        host.kata_persist(name)
    found = host.verdicts()
    assert {key: found[key] for key in found if key.startswith("rootless")} == {
        "rootless kata-1": "unknown",
        "rootless kata-2": "foreign",
    }
    assert found["sandbox kata-1"] == found["sandbox kata-2"] == "leftover"


@needs_root
def test_problem_29_a_user_under_which_a_machine_runs_is_live(host: HostTree) -> None:
    add_users(host, user("kata-1"))
    folder = host.folder(f"run/user/{UID}")
    with process_of(UID):
        assert host.verdicts() == {"rootless kata-1": "live"}
        assert not host.prune().changed
        folder.rmdir()
        assert host.verdicts() == {"rootless kata-1": "live"}
    assert host.verdicts() == {"rootless kata-1": "foreign"}


@pytest.mark.parametrize("uid", [0, UID])
def test_D6_roots_own_directory_is_never_a_temporary_users(host: HostTree, uid: int) -> None:
    host.write("etc/passwd", user("kata-1", uid) + "\n")
    host.folder(f"run/user/{uid}")
    assert host.verdicts() == ({"rootless kata-1": "leftover"} if uid else {})


def test_D6_only_a_directory_is_one(host: HostTree) -> None:
    add_users(host, user("kata-1"))
    there = host.write(f"run/user/{UID}")
    assert host.verdicts() == {"rootless kata-1": "foreign"}
    assert host.prune().unchanged and there.exists()


@needs_root
def test_D6_a_directory_that_something_is_mounted_on_is_kept(host: HostTree) -> None:
    add_users(host, user("kata-1"))
    path = host.folder(f"run/user/{UID}")

    def inside() -> None:
        support.tmpfs(str(path))
        assert host.verdicts() == {"rootless kata-1": "unknown"}
        assert "it is a mount point" in host.evidence("rootless kata-1")

    support.in_private_namespace(inside)
    assert host.verdicts() == {"rootless kata-1": "leftover"}
