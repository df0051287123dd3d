# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.sockets import socket_inodes
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.spawning import Spawned
from ansible_collections.sandboxed.containers.plugins.module_utils._object import daemon, daemon_start
from ansible_collections.sandboxed.containers.tests.lab.processes import lives, state, wait_until
from ansible_collections.sandboxed.containers.tests.unit.plugins.modules.support_virtiofsd import (
    FORCE,
    NEEDS_ROOT,
    Site,
    end,
)


def modes(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_it_is_started_once_and_stopped_once(site: Site) -> None:
    planned = site.start(check_mode=True)
    assert planned.changed and site.tree() == []
    made = site.start()
    assert (made.failed, made.changed) == (False, True), made.msg
    assert planned.value["diff"] == made.value["diff"]
    (entry,), (plan,) = made.value["daemons"], planned.value["daemons"]
    path, record = str(site.folder / "unit-web.sock"), str(site.records / "unit-web.json")
    assert plan == {"name": "unit-web", "action": "created", "paths": [path, record]}
    pid = entry["pid"]
    assert entry == {**plan, "socket_path": path, "pid": pid, "dialect": "rust", "version": "1.13.2"}
    assert site.line(pid) == [site.programs["rust"], "--fd=3", f"--shared-dir={site.shared}"]
    again = site.start()
    assert (again.failed, again.changed) == (False, False), again.msg
    assert again.value["daemons"] == [{**entry, "action": "unchanged"}]
    assert [again.value["diff"], site.processes()] == [[], [pid]]
    stopped = site.run(state="stopped", check_mode=True, **FORCE)
    assert stopped.changed and lives(pid)
    ended = site.run(state="stopped", **FORCE)
    assert (ended.failed, ended.changed) == (False, True), ended.msg
    assert (stopped.msg, ended.msg) == ("1 daemon would be stopped.", "1 daemon stopped.")
    assert {**stopped.value, "msg": ended.msg} == ended.value
    assert ended.value["daemons"][0]["action"] == "deleted"
    assert not lives(pid) and site.tree() == ["records", "unit-web.log"]
    assert site.run(state="stopped").unchanged


def test_E3_the_record_stays_as_long_as_its_process_does(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever ending it has said."""
    pid = site.started()
    before = site.tree()
    with monkeypatch.context() as patch:
        patch.setattr(daemon, "stop", lambda *_given, **_more: True)
        refused = site.run(state="stopped", **FORCE)
    assert refused.failed and f"(pid {pid}," in refused.msg and "Run again." in refused.msg, refused.value
    assert lives(pid) and site.tree() == before
    assert site.run(state="stopped", **FORCE).changed and not lives(pid)


def test_what_is_on_disk_is_roots_alone(site: Site) -> None:
    before = os.umask(0)
    try:
        pid = site.started()
    finally:
        os.umask(before)
    assert modes(site.records) == 0o700 and modes(site.records / "unit-web.json") == 0o600
    assert modes(site.folder / "unit-web.log") == 0o600 and modes(site.folder / "unit-web.sock") == 0o755
    record = site.record()
    assert (record["pid"], record["unit"]) == (pid, "")
    assert record["pid_namespace"] == os.readlink("/proc/self/ns/pid")
    assert record["start_ticks"] == int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    assert {tuple(one) for one in record["socket_file"]} == socket_inodes(str(site.folder / "unit-web.sock"))
    assert site.tree() == ["records", "records/unit-web.json", "unit-web.log", "unit-web.sock"]


def test_it_has_its_own_session_and_no_descriptor_of_ours(site: Site) -> None:
    pid = site.started()
    assert os.getsid(pid) == pid and os.getcwd() != "/" == os.readlink(f"/proc/{pid}/cwd")
    assert sorted(os.listdir(f"/proc/{pid}/fd")) == ["0", "1", "2", "3"]
    assert (site.folder / "unit-web.log").read_text() == "begins\n"


@NEEDS_ROOT
def test_other_options_are_refused_unless_a_restart_is_wanted(site: Site) -> None:
    pid = site.started(extra_args=["--a"])
    other: dict[str, Any] = {"cache": "never", "extra_args": ["--b"], "xattr": True}
    for check_mode in (True, False):
        refused = site.start(check_mode=check_mode, **other)
        assert refused.failed and not refused.changed
        assert refused.msg.startswith(
            "Daemon 'unit-web': it runs with other options: cache (unset, and never is wanted), xattr (false, and true "
            "is wanted), extra_args. Set on_change=restart to restart it; its virtual machine loses its file system"
        )
    assert lives(pid) and site.processes() == [pid]
    planned = site.start(check_mode=True, on_change="restart", **other)
    done = site.start(on_change="restart", **other)
    assert not done.failed and planned.value["diff"] == done.value["diff"], done.msg
    (entry,) = done.value["daemons"]
    assert entry["action"] == "updated" and site.processes() == [entry["pid"]] != [pid]
    assert site.line(entry["pid"])[3:] == ["--cache=never", "--xattr", "--b"]
    assert site.start(on_change="restart", **other).unchanged


def test_slashes_that_mean_nothing_are_no_other_options(site: Site) -> None:
    given: dict[str, Any] = {"socket_path": f"{site.folder}//unit-web.sock", "shared_dir": f"{site.shared}//"}
    planned, made = site.start(check_mode=True, **given), site.start(**given)
    (entry,) = made.value["daemons"]
    assert planned.value["diff"] == made.value["diff"] and planned.value["daemons"][0]["paths"] == entry["paths"]
    assert site.line(entry["pid"])[2] == f"--shared-dir={site.shared}"
    other: dict[str, Any] = {"shared_dir": f"{site.shared}/", "log_file": f"{site.folder}//unit-web.log"}
    for options in ({}, other, {**other, "executable": site.programs["rust"].replace("/", "//")}):
        assert site.start(on_change="restart", **options).unchanged
    site.change_record(options={**site.record()["options"], "shared_dir": f"{site.shared}/"})  # of an earlier version
    assert site.start().unchanged


@NEEDS_ROOT
@pytest.mark.parametrize("replaced", [False, True], ids=["gone", "replaced"])
def test_one_whose_socket_is_gone_is_restarted_unless_it_has_its_client(site: Site, replaced: bool) -> None:
    pid = site.started()
    path = site.folder / "unit-web.sock"
    with site.connected():
        wait_until(lambda: site.info().value["daemons"][0]["clients"] == 1, "it to have its client")
        path.rename(site.folder / "away")
        assert site.start().unchanged and lives(pid)
        end(pid)
    assert site.start().changed
    path.unlink()
    if replaced:
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(path))
    planned = site.start(check_mode=True)
    done = site.start()
    assert planned.value["diff"] == done.value["diff"] and done.value["daemons"][0]["action"] == "updated", done.msg
    site.connected().close()
    end(done.value["daemons"][0]["pid"])


@NEEDS_ROOT
def test_it_moves_to_another_socket(site: Site) -> None:
    site.started()
    moved = site.start(on_change="restart", socket_path=str(site.folder / "other.sock"))
    assert not moved.failed, moved.msg
    assert site.tree() == ["other.sock", "records", "records/unit-web.json", "unit-web.log"]


@NEEDS_ROOT
def test_restarted_always_restarts_and_needs_no_options(site: Site) -> None:
    pid = site.started(cache="auto", extra_args=["--readonly"])
    line = site.line(pid)
    with site.connected():
        done = site.run(state="restarted")
        assert (done.failed, done.value["daemons"][0]["action"]) == (False, "updated"), done.msg
        second = done.value["daemons"][0]["pid"]
        assert not lives(pid) and site.line(second) == line
    end(second)
    again = site.run(state="restarted")
    assert again.value["daemons"][0]["action"] == "created" and site.line(site.processes()[0]) == line
    for options in ({"extra_args": ["--readonly"]}, {"xattr": True}, {"dialect": "c"}, {"syslog": False}):
        refused = site.run(state="restarted", **options)
        assert f"{next(iter(options))}: it is given without a share" in refused.msg
    refused = site.run("unit-none", state="restarted")
    assert "there is no record of it, so that it cannot be restarted as it was. Give socket_path" in refused.msg


def test_several_are_stopped_in_one_task(site: Site) -> None:
    pids = [site.started(f"unit-{letter}") for letter in "abc"]
    done = site.run(["unit-a", "unit-x", "unit-b"], state="stopped", **FORCE)
    assert not done.failed, done.msg
    assert [entry["action"] for entry in done.value["daemons"]] == ["deleted", "unchanged", "deleted"]
    assert [lives(pid) for pid in pids] == [False, False, True]
    assert site.run([], state="stopped").unchanged and site.run([]).unchanged
    assert site.run("unit-b, unit-c", state="stopped", **FORCE).value["daemons"][1]["action"] == "deleted"
    assert site.processes() == []


def test_A2_one_that_may_live_unseen_is_kept(site: Site) -> None:
    """From another pid namespace that shares the directory of the records, no process of it would be found."""
    pid = site.started()
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not lives(pid), "the daemon to end")
    site.change_record(pid_namespace="pid:[1]")
    blind = {"sees_all_processes": False}
    for wanted in ("stopped", "restarted"):
        refused = site.run(state=wanted, **blind)
        assert refused.failed and "none of its processes is found, but sees_all_processes=false" in refused.msg
    (entry,) = site.info(name="unit-web", **blind).value["daemons"]
    assert entry["verdict"] == "unknown" and "sees_all_processes=false" in entry["evidence"][-1]
    assert site.run(state="stopped", force=True, **blind).changed
    assert not [name for name in site.tree() if name.endswith((".sock", ".json"))]


@NEEDS_ROOT
def test_a_client_counts_before_it_is_served(site: Site) -> None:
    """On a busy host a daemon takes its time to accept the connection of a virtual machine that boots."""
    os.kill(site.started(), signal.SIGSTOP)
    with site.connected():
        refused = site.run(state="stopped")
        assert refused.failed and "a client is connected: virtiofsd (pid" in refused.msg
        assert site.info().value["daemons"][0]["clients"] == 1
    assert not site.run(state="stopped", force=True, stop_timeout=0.1).failed


@NEEDS_ROOT
def test_one_with_a_client_is_stopped_only_by_force(site: Site) -> None:
    pid = site.started()
    with site.connected() as client:
        for check_mode in (True, False):
            refused = site.run(state="stopped", check_mode=check_mode)
            assert refused.failed and "a client is connected: virtiofsd (pid" in refused.msg
            assert "Stop its virtual machine first, or set force=true" in refused.msg
        assert site.start().value["daemons"][0]["pid"] == pid
        assert site.info().value["daemons"][0]["clients"] == 1
        assert not site.run(state="stopped", force=True).failed
        assert client.recv(1) == b"" and not lives(pid)


def test_one_that_does_not_end_is_killed(site: Site) -> None:
    pid = site.started(extra_args=["--stubborn"])
    done = site.run(state="stopped", stop_timeout=0.05, force=True)
    assert not done.failed and not lives(pid), done.msg
    assert site.tree() == ["records", "unit-web.log"]


@NEEDS_ROOT
def test_one_that_ended_by_itself_is_started_again(site: Site) -> None:
    pid = site.started()
    site.connected().close()
    wait_until(lambda: not lives(pid), "it to end with its client")
    site.reap()
    assert site.info().value["daemons"][0]["verdict"] == "leftover"
    planned = site.start(check_mode=True)
    again = site.start()
    assert again.value["daemons"][0]["action"] == "created", again.msg
    assert planned.value["diff"] == again.value["diff"]
    end(again.value["daemons"][0]["pid"])
    assert site.run(state="stopped").changed
    assert site.tree() == ["records", "unit-web.log"]


@NEEDS_ROOT
@pytest.mark.parametrize("state", ["stopped", "started", "restarted"])
def test_V4_whoever_has_its_pid_by_now_is_left_alone(site: Site, state: str) -> None:
    end(site.started())
    with subprocess.Popen(["sleep", "60"]) as decoy:
        try:
            ticks = int(Path(f"/proc/{decoy.pid}/stat").read_text().rpartition(")")[2].split()[19])
            site.change_record(pid=decoy.pid, start_ticks=ticks)
            (reason,) = site.info().value["daemons"][0]["evidence"]
            assert reason.startswith(f"recorded pid {decoy.pid} is now sleep (pid {decoy.pid}, running since ")
            done = site.start() if state == "started" else site.run(state=state)
            assert not done.failed, done.msg
            assert done.value["daemons"][0]["action"] == ("deleted" if state == "stopped" else "created")
            assert decoy.poll() is None
        finally:
            decoy.kill()


def test_what_fails_leaves_nothing_and_says_its_last_lines(site: Site) -> None:
    (site.folder / "unit-web.log").write_text("older\n")
    failed = site.start(extra_args=["--fail"])
    assert failed.failed and not failed.changed
    said = "before it served: first line / cannot share it. Nothing of it was kept."
    assert failed.msg == f"Daemon 'unit-web': {site.programs['rust']} ended with status 1 {said}"
    assert site.tree() == ["unit-web.log"] and site.processes() == []


def test_V6_one_that_does_not_serve_is_ended(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon_start, "_SERVING_SECONDS", 0.15)
    failed = site.start(extra_args=["--deaf"])
    assert failed.failed and "it did not serve within 0.15 s; it said: begins. It was ended, and nothing" in failed.msg
    assert site.tree() == ["unit-web.log"] and site.processes() == []


@NEEDS_ROOT
def test_a_client_that_is_there_before_it_is_served(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A virtual machine that is started at the same time; the daemon never waits for one then."""
    monkeypatch.setattr(daemon_start, "_SERVING_SECONDS", 5.0)
    with socket.socket(socket.AF_UNIX) as client:

        def spawn(*arguments: Any, **more: Any) -> Spawned:
            client.connect(str(site.folder / "unit-web.sock"))
            return site.spawn(*arguments, **more)

        monkeypatch.setattr(daemon_start, "spawn", spawn)
        pid = site.started()
        assert lives(pid) and site.info().value["daemons"][0]["clients"] == 1


def test_what_cannot_be_run_leaves_nothing(site: Site) -> None:
    program = site.folder / "program"
    program.write_text("#!/nonexistent\n")
    program.chmod(0o755)
    failed = site.start(executable=str(program), dialect="rust")
    assert f"{program}: it could not be started: No such file or directory" in failed.msg
    assert site.tree() == ["program", "unit-web.log"] and site.processes() == []


@NEEDS_ROOT
def test_a_restart_that_fails_says_so_and_leaves_no_record(site: Site) -> None:
    site.started()
    failed = site.start(extra_args=["--fail"], on_change="restart")
    assert failed.failed and failed.changed and "cannot share it" in failed.msg
    assert site.processes() == [] and not (site.folder / "unit-web.sock").exists()
    assert not site.start().failed


@NEEDS_ROOT
def test_the_one_in_c_gets_its_own_spelling(site: Site) -> None:
    pid = site.started(executable=site.programs["c"], cache="never", xattr=True)
    assert site.line(pid)[2:] == [
        "-o", f"source={site.shared}", "-o", "cache=none", "-o", "no_posix_lock", "-o", "xattr", "-f",
    ]  # fmt: skip
    (entry,) = site.info(name="unit-web").value["daemons"]
    assert (entry["dialect"], entry["version"], entry["shared_dir"]) == ("c", "7.2.22", str(site.shared))
    assert site.run(state="restarted").value["daemons"][0]["dialect"] == "c"


def test_an_executable_that_does_not_tell_needs_the_users_word(site: Site) -> None:
    silent: dict[str, Any] = {"executable": site.programs["none"]}
    assert "Set dialect to rust or c if it is one all the same." in site.start(**silent).msg
    pid = site.started(dialect="rust", **silent)
    entry = site.start(dialect="rust", **silent).value["daemons"][0]
    assert (entry["pid"], entry["dialect"], "version" in entry) == (pid, "rust", False)


@NEEDS_ROOT
def test_a_network_namespace_by_its_path(site: Site) -> None:
    refused = site.start(network_namespace="unit-nothing")
    assert "network_namespace: /run/netns/unit-nothing: No such file or directory." in refused.msg
    with subprocess.Popen(["unshare", "-n", "sh", "-c", "echo; exec cat"], stdin=-1, stdout=-1) as holder:
        try:
            assert holder.stdout
            holder.stdout.readline()
            path = f"/proc/{holder.pid}/ns/net"
            pid = site.started(network_namespace=path)
            assert os.readlink(f"/proc/{pid}/ns/net") == os.readlink(path)
            assert site.start(network_namespace=path).unchanged
            assert site.info().value["daemons"][0]["clients"] == 0
        finally:
            holder.kill()


@NEEDS_ROOT
def test_info_shows_ours_and_others(site: Site) -> None:
    pid = site.started()
    found = site.info()
    assert found.unchanged
    ours, *others = found.value["daemons"]
    assert (ours["name"], ours["pid"], ours["verdict"], ours["clients"]) == ("unit-web", pid, "live", 0)
    assert pid not in [entry["pid"] for entry in others]
    (site.records / "unit-web.json").rename(site.folder / "away")
    entry = next(one for one in site.info().value["daemons"] if one["pid"] == pid)
    assert (entry["name"], entry["verdict"], entry["shared_dir"]) == (None, "foreign", str(site.shared))
    assert entry["socket_path"] == str(site.folder / "unit-web.sock")
    (site.folder / "away").rename(site.records / "unit-web.json")
    assert "name: 12 is a number" in site.info(name=12).msg
    assert site.info(name=[]).msg == "0 virtiofsd."
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: state(pid) == "T", "it to stop")
    assert "stopped, started" in site.info(name="unit-web").value["daemons"][0]["evidence"][0]
