# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis import transient_units
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import InUse, StateError
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.processes import Process
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.sockets import socket_inodes
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.transient_units import Running, Unit
from ansible_collections.sandboxed.containers.plugins.module_utils._object import daemon, daemon_start
from ansible_collections.sandboxed.containers.tests.lab.processes import lives, wait_until
from ansible_collections.sandboxed.containers.tests.unit.plugins.modules.support_virtiofsd import (
    NEEDS_ROOT,
    Site,
    end,
)


@NEEDS_ROOT
def test_a_stale_socket_is_replaced_and_one_in_use_is_not(site: Site) -> None:
    path = site.folder / "unit-web.sock"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        inode = path.stat().st_ino
        refused = site.start()
        assert refused.failed and f"(pid {os.getpid()}, " in refused.msg and f"listens on {path}. Stop" in refused.msg
        other.setblocking(False)
        with pytest.raises(BlockingIOError):  # B1: nobody connected
            other.accept()
    assert path.stat().st_ino == inode and site.tree() == ["unit-web.sock"]
    site.started()


@NEEDS_ROOT
@pytest.mark.parametrize("is_let_go", [False, True], ids=["held", "let go"])
def test_a_socket_whose_holder_is_not_visible_is_looked_at_again(
    site: Site, monkeypatch: pytest.MonkeyPatch, is_let_go: bool
) -> None:
    """A killed daemon lets go of its descriptors first. One in flight, sent and not received, is in nobody's."""
    path = site.folder / "unit-web.sock"
    ends = socket.socketpair()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        socket.send_fds(ends[0], [b"x"], [other.fileno()])
    waited: list[float] = []
    sleep = time.sleep

    def wait(seconds: float) -> None:  # all waits come by here, also one for a `--version` that is slow to end
        waited.append(seconds)
        for one in ends if is_let_go and seconds == daemon._LAST_BREATH else ():
            one.close()
        sleep(seconds)

    monkeypatch.setattr(time, "sleep", wait)
    done = site.start(check_mode=True)
    for one in ends:
        one.close()
    assert waited.count(daemon._LAST_BREATH) == 1
    if is_let_go:
        assert not done.failed and done.changed, done.msg
    else:
        assert done.failed and f"a process that is not visible here listens on {path}. Stop it first." in done.msg


@pytest.mark.parametrize("kind", ["file", "directory", "link"])
def test_what_is_no_socket_is_left_alone(site: Site, kind: str) -> None:
    path = site.folder / "unit-web.sock"
    if kind == "file":
        path.write_text("precious")
    elif kind == "directory":
        path.mkdir()
    else:
        path.symlink_to("nowhere")
    refused = site.start()
    assert f"socket_path: {path} is there, and is no socket. Give another path, or remove it." in refused.msg
    assert site.tree() == ["unit-web.sock"]


@NEEDS_ROOT
def test_a_stale_socket_of_another_in_the_place_of_a_dead_daemons_is_replaced(site: Site) -> None:
    """The record names another file; nobody has this one either."""
    end(site.started())
    path = site.folder / "unit-web.sock"
    path.rename(site.folder / "moved.sock")
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
    done = site.start()
    assert not done.failed and done.value["daemons"][0]["action"] == "created", done.msg


@NEEDS_ROOT
@pytest.mark.parametrize("same", [False, True], ids=["another file", "the same number"])
@pytest.mark.parametrize("alive", [False, True], ids=["dead", "alive"])
def test_a_socket_that_another_listens_on_by_now_is_never_removed(site: Site, same: bool, alive: bool) -> None:
    """Numbers of files are used again, and then the record seems to name it."""
    pid = site.started()
    path = site.folder / "unit-web.sock"
    path.rename(site.folder / "moved.sock")
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        if same:
            site.change_record(socket_file=[list(one) for one in socket_inodes(str(path))])
        if not alive:
            end(pid)
        refused = site.start() if not alive else site.run(state="restarted")
        assert refused.failed and f"(pid {os.getpid()}, " in refused.msg, refused.msg
        assert lives(pid) is alive
        stopped = site.run(state="stopped")
        assert not stopped.failed, stopped.msg
        assert path.exists() and not (site.records / "unit-web.json").exists()


@NEEDS_ROOT
def test_E3_a_start_that_fails_keeps_the_record_of_what_it_could_not_end(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(process: Process, *_given: Any, **_more: Any) -> bool:
        raise InUse(f"pid {process.pid}", "it still runs")

    with monkeypatch.context() as patch:
        patch.setattr(daemon_start, "_SERVING_SECONDS", 0.3)
        patch.setattr(daemon_start, "stop", stop)
        failed = site.start(extra_args=["--deaf"])
    (pid,) = site.processes()
    assert failed.failed and failed.changed
    assert failed.msg == (
        "Daemon 'unit-web': it did not serve within 0.3 s; it said: begins; and it could not be taken back: pid "
        f"{pid}: it still runs. Its record was kept: set state=stopped to end it."
    )
    assert site.tree() == ["records", "records/unit-web.json", "unit-web.log", "unit-web.sock"]
    assert site.run(state="stopped").changed and not lives(pid)
    assert site.tree() == ["records", "unit-web.log"]


@NEEDS_ROOT
@pytest.mark.parametrize("answers", [True, False], ids=["systemd answers", "systemd does not answer"])
def test_E3_a_unit_whose_start_fails_is_ended_on_a_full_disk_too(
    site: Site, monkeypatch: pytest.MonkeyPatch, answers: bool
) -> None:
    """Neither its record nor the mark that its end is wanted can be written any more."""
    asked = []

    def start(unit: Unit, arguments: list[str], inherited: int, output: int) -> Running:
        site.spawn(arguments, [inherited], output).release()
        (site.records / "last").touch()
        return Running(unit, subprocess.Popen(["sleep", "60"]))

    def stop(name: str) -> None:
        asked.append(name)
        if not answers:
            raise StateError("systemctl", "it does not answer")

    for name, stand_in in {"is_booted": lambda: True, "start": start, "stop": stop, "forget_failure": str}.items():
        monkeypatch.setattr(transient_units, name, stand_in)
    monkeypatch.setattr(Running, "main_pid", lambda _self: site.spawned[0])
    site.records.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "nr_inodes=3", "unit-records", site.records], check=True)
    try:
        failed = site.start(on_quit="/bin/true")
        assert "unit-web.json: it could not be written: No space left on device" in failed.msg
        assert len(asked) == 1 and ("systemctl: it does not answer" in failed.msg) is not answers
        kept = ["records/unit-web.json", "unit-web.log", "unit-web.sock"]
        assert site.tree() == ["records", "records/last", *(["unit-web.log"] if answers else kept)]
        assert (site.processes() == []) is answers
    finally:
        subprocess.run(["umount", "-l", site.records], check=True)


@NEEDS_ROOT
@pytest.mark.parametrize("wanted", ["stopped", "restarted"])
@pytest.mark.parametrize("is_used", [False, True], ids=["listens", "serves"])
@pytest.mark.parametrize("is_same", [False, True], ids=["another path", "the same path"])
def test_E1_a_daemon_of_the_same_share_is_not_taken_for_a_dead_one(
    site: Site, wanted: str, is_used: bool, is_same: bool
) -> None:
    """It has the same command line, and ext4 gives the number of a socket file that is gone to the next one."""
    end(site.started("unit-a"))
    path = site.folder / f"unit-{'a' if is_same else 'b'}.sock"
    (site.folder / "unit-a.sock").unlink()
    pid = site.started("unit-b", socket_path=str(path))
    site.change_record("unit-a", socket_file=[list(one) for one in socket_inodes(str(path))])
    with site.connected(path.stem) if is_used else contextlib.nullcontext():
        if is_used:
            wait_until(lambda: site.info(name="unit-b").value["daemons"][0]["clients"] == 1, "it to have its client")
        assert site.info(name="unit-a").value["daemons"][0]["verdict"] == "leftover"
        done = site.run("unit-a", state=wanted, force=True)
        assert done.failed is (is_same and wanted == "restarted"), done.msg
        assert lives(pid) and path.exists()
        end(pid)


@NEEDS_ROOT
def test_E1_the_child_of_a_daemon_at_the_same_path_is_its_own(site: Site) -> None:
    """Its cgroup tells, also when its parent was killed alone."""
    end(site.started("unit-a"))
    path = str(site.folder / "unit-a.sock")
    pid = site.started("unit-b", socket_path=path)
    site.change_record("unit-a", socket_file=[list(one) for one in socket_inodes(path)])
    if not site.record("unit-b")["cgroups"]:
        pytest.skip("no cgroups can be made here")
    site.change_record("unit-b", pid=1)
    assert site.run("unit-a", state="stopped").changed and lives(pid)


@pytest.mark.parametrize("given", [False, True], ids=["by default", "by run_dir"])
def test_a_tree_of_another_machine_has_no_daemons_of_this_one(site: Site, given: bool) -> None:
    """Their sockets and cgroups would be left: what its records name is not taken for this machine's."""
    host, records = site.folder / "host", site.folder / "host/run/sandboxed.containers/virtiofsd"
    host.mkdir()
    options: dict[str, Any] = {"host_root": str(host), "run_dir": str(records) if given else None}
    why = f"host_root: {host} may be another machine's tree, and the daemon is one of this machine. Leave it out, or"
    for state in ("started", "restarted"):
        assert why in site.start(state=state, **options).msg
    assert site.tree() == ["host"] and site.processes() == []
    pid = site.started(run_dir=str(records))
    before = site.tree()
    refused = site.run(state="stopped", force=True, **options)
    assert why in refused.msg and not refused.changed
    assert lives(pid) and site.tree() == before
    assert site.run(state="stopped", force=True, run_dir=str(records)).changed and not lives(pid)


def test_records_outside_of_host_root_are_this_machines(site: Site) -> None:
    (site.folder / "host").mkdir()
    host_root = str(site.folder / "host")
    pid = site.started(host_root=host_root)
    assert site.run(state="stopped", force=True, host_root=host_root).changed and not lives(pid)
    assert site.tree() == ["host", "records", "unit-web.log"]


def test_secrets_stay_out_of_what_is_told(site: Site) -> None:
    secrets = ["--token", "hunter2", "--api-key=hunter3", "--fail"]
    for arguments in (secrets[:3], secrets[:2], secrets):
        for check_mode in (True, False):
            done = site.start(check_mode=check_mode, extra_args=arguments)
            assert "hunter" not in done.text and "hunter" not in done.logged
            assert "********" in done.text and "********" in done.logged
    assert "hunter" not in site.info().text


def test_a_command_on_quit_needs_systemd_and_tells_no_secret(site: Site) -> None:
    refused = site.start(on_quit="/bin/true --token=hunter2 --password hunter3")
    assert (
        "on_quit: the command is carried out by the daemon's transient unit, and no systemd runs here. Leave it out."
        in (refused.msg)
    )
    assert "hunter" not in refused.text and "hunter" not in refused.logged
    assert site.tree() == []


def test_a_damaged_record_is_touched_by_nothing(site: Site) -> None:
    site.started()
    path = site.records / "unit-web.json"
    whole = path.read_text()
    for damaged in ("", whole[:50], "[]", whole.replace('"schema": 1', '"schema": 9'), whole.replace('"pid"', '"pit"')):
        path.write_text(damaged)
        for options in ({"state": "stopped", "force": True}, {"state": "restarted"}):
            refused = site.run(**options)
            assert refused.failed and not refused.changed and "remove it by hand" in refused.msg
        assert "remove it by hand" in site.start().msg
        assert path.read_text() == damaged
        assert site.info(name="unit-web").value["daemons"][0]["verdict"] == "unknown"
    path.write_text(whole)
    (site.records / "unit-other.json").write_text("")
    assert site.start().unchanged, "it is proved without the others' records"


def test_F2_a_record_that_was_copied_from_another_host_stops_nothing(site: Site) -> None:
    pid = site.started()
    site.change_record(machine_id="another")
    assert "this record was made on another host" in site.run(state="stopped", force=True).msg
    assert lives(pid)


def test_a_records_directory_that_may_be_anybodys_link(site: Site) -> None:
    (site.folder / "real").mkdir()
    site.records.symlink_to("real")
    site.started()
    assert site.run(state="stopped", force=True).changed
    assert os.listdir(site.folder / "real") == []


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"name": 12}, "name: 12 is a number, not a name (YAML reads an unquoted 014 as 12). Quote it"),
        ({"name": True}, "name: True is a boolean, not a name"),
        ({"name": ""}, "name: '' is not a name"),
        ({"name": "../x"}, "name: '../x' is not a name"),
        ({"name": "x"}, "name: 'x' cannot be the name of something new"),
        ({"name": ["unit-a", "unit-a"]}, "name: 'unit-a' is given twice. Give each name once."),
        ({"name": ["unit-a", "unit-b"]}, "name: several names share everything only with state=stopped. Give one."),
        ({"name": "unit-a,unit-b"}, "name: several names share everything only with state=stopped. Give one."),
        ({"name": ["unit-a", "unit-b"], "state": "restarted"}, "name: several names share everything only"),
        ({"name": 12, "state": "stopped"}, "name: 12 is a number"),
        ({"name": "a/b", "state": "stopped"}, "name: 'a/b' is not a name"),
        ({"stop_timeout": -1}, "stop_timeout: -1.0 is no number of seconds. Give 0 or more."),
        ({"stop_timeout": "nan"}, "stop_timeout: nan is no number of seconds."),
        ({"stop_timeout": "inf", "state": "stopped"}, "stop_timeout: inf is no number of seconds."),
        ({"lock_timeout": -1}, "lock_timeout: -1.0 is no number of seconds."),
        ({"thread_pool_size": -1}, "thread_pool_size: -1 is no number of threads. Give 0 or more."),
        ({"extra_args": ["--a", ""]}, "extra_args[1]: it is empty or has a NUL. Give one argument an element."),
        ({"shared_dir": "/a\0b"}, "shared_dir: it has a NUL, which neither a path nor a command can have."),
        ({"socket_path": "/tmp/a\0b"}, "socket_path: it has a NUL"),
        ({"on_quit": "/bin/true \0"}, "on_quit: it has a NUL"),
        *(
            ({option: "/a\ud812"}, f"{option}: it has '\\ud812', which neither a path nor a command can have.")
            for option in ("socket_path", "shared_dir", "executable", "log_file", "network_namespace", "on_quit")
        ),
        ({"extra_args": ["--a", "\ud812"]}, "extra_args[1]: it has '\\ud812', which"),
        ({"run_dir": "/a\0b", "state": "stopped"}, "run_dir: it has a NUL"),
        ({"socket_path": None}, "socket_path: it is missing. Give socket_path and shared_dir."),
        ({"shared_dir": None}, "shared_dir: it is missing. Give socket_path and shared_dir."),
        ({"shared_dir": ""}, "shared_dir: it is missing."),
        ({"socket_path": None, "shared_dir": None, "state": "restarted"}, "executable: it is given without a share."),
        ({"cache": "none"}, "cache: 'none' is how Kata once called it"),
        ({"posix_lock": True}, "posix_lock: the virtiofsd in Rust has no remote POSIX locks. Leave it out."),
        ({"dialect": "c"}, "says that it is the one in Rust (version 1.13.2). Leave it out."),
        ({"executable": "/bin/true"}, "executable: /bin/true --version does not say that it is a virtiofsd"),
        ({"executable": "virtiofsd"}, "executable: 'virtiofsd' is no absolute path. Give one."),
        ({"log_file": "/tmp"}, "log_file: /tmp is a directory. Give the path of a file."),
        ({"network_namespace": "/etc"}, "network_namespace: /etc is no network namespace. Give its name or path."),
        ({"network_namespace": "/proc/self/ns/mnt"}, "/proc/self/ns/mnt is no network namespace."),
        ({"network_namespace": "no-such-one"}, "network_namespace: /run/netns/no-such-one: No such file or directory."),
        ({"log_file": None, "syslog": False}, "syslog: without it and without log_file its output would be lost"),
        ({"state": "absent"}, "value of state must be one of: started, stopped, restarted"),
    ],
)
def test_wrong_options_are_refused_in_words(site: Site, options: dict[str, Any], text: str) -> None:
    given = dict(options)
    refused = site.start(given.pop("name", "unit-web"), **given)
    assert refused.failed and not refused.changed
    assert text in refused.msg
    assert site.tree() == [] and site.processes() == []


def test_a_log_that_is_a_pipe_hides_no_reason(site: Site) -> None:
    """What was written to it cannot be read again."""
    os.mkfifo(site.folder / "unit-web.log")
    failed = site.start(extra_args=["--fail"])
    assert "ended with status 1 before it served: it said nothing." in failed.msg
    assert site.tree() == ["unit-web.log"]


@pytest.mark.parametrize("target", ["log", "nowhere"])
def test_a_log_that_is_a_link_is_not_followed(site: Site, target: str) -> None:
    (site.folder / "log").write_text("precious")
    (site.folder / "unit-web.log").symlink_to(target)
    refused = site.start()
    assert "unit-web.log: it cannot be opened: Too many levels of symbolic links. Nothing was started." in refused.msg
    assert (site.folder / "log").read_text() == "precious" and site.processes() == []
    assert site.tree() == ["log", "unit-web.log"]
