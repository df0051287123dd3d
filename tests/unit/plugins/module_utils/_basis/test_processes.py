# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis import process_tokens, processes
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.processes import Process, ProcessTable
from ansible_collections.sandboxed.containers.tests.lab.processes import state, wait_until

NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

# The leader ends by a bare exit system call while its thread goes on.
HALF_DEAD = """
import ctypes, platform, threading, time
threading.Thread(target=time.sleep, args=(60,)).start()
ctypes.CDLL(None).syscall({"x86_64": 60, "aarch64": 93}[platform.machine()], 0)
"""


@contextmanager
def running(*command: str, **options: object) -> Iterator[subprocess.Popen[bytes]]:
    child = subprocess.Popen(command, **options)  # type: ignore[call-overload]
    try:
        yield child
    finally:
        child.kill()
        child.wait()


@contextmanager
def titled(*argv: str, **options: object) -> Iterator[subprocess.Popen[bytes]]:
    """A sleeping process with exactly this command line."""
    code = "import os, sys, time; print(flush=True); time.sleep(60)"
    command = (argv[0], "-c", code, *argv[1:])
    with running(*command, executable=sys.executable, stdout=subprocess.PIPE, **options) as child:
        assert child.stdout
        child.stdout.readline()
        yield child


def wait_for_state(pid: int, states: str) -> Process:
    wait_until(lambda: state(pid) in states, f"pid {pid} to be in one of the states {states}")
    process = processes.read(pid)
    assert process
    return process


def mentions(table: ProcessTable, token: str, pid: int) -> set[str]:
    return {mention.where for mention in table.carrying(token) if mention.process.pid == pid}


def test_facts_of_a_real_process(tmp_path: Path) -> None:
    with titled("my-shim", "-id", "", "web-1", cwd=tmp_path) as child:
        process = processes.read(child.pid)
        assert process
        assert (process.pid, process.ppid, process.uid) == (child.pid, os.getpid(), os.geteuid())
        assert process.argv[0] == "my-shim" and process.argv[-3:] == ("-id", "", "web-1")
        assert process.program == "my-shim"
        assert process.exe == os.path.realpath(sys.executable)
        assert (process.cwd, process.root) == (str(tmp_path), "/")
        assert process.cgroups and process.complete and not process.dead
        assert abs(processes.started_at(process) - time.time()) < 60
    assert processes.read(child.pid) is None


def test_stat_with_blanks_and_brackets_in_the_name() -> None:
    code = "import time; open('/proc/self/comm', 'w').write('a) Z 1 (b'); print(flush=True); time.sleep(60)"
    with running(sys.executable, "-c", code, stdout=subprocess.PIPE) as child:
        assert child.stdout
        child.stdout.readline()
        process = processes.read(child.pid)
    assert process and process.ppid == os.getpid() and process.state in "SR"


def test_title_without_program_uses_the_kernel_name(tmp_path: Path) -> None:
    with titled("sshd: root@pts/0") as child:
        process = processes.read(child.pid)
    assert process and process.program.startswith("python")


def test_long_command_line_is_read_whole() -> None:
    with titled("tool", *[f"argument-{number}" for number in range(3000)], "web-1") as child:
        process = processes.read(child.pid)
    assert process and process.argv[-1] == "web-1" and len(process.argv) == 3004


def test_A9_deleted_is_stripped_from_exe_and_cwd(tmp_path: Path) -> None:
    program = tmp_path / "tool"
    program.write_bytes(Path("/bin/sleep").read_bytes())
    program.chmod(0o755)
    below = tmp_path / "below"
    below.mkdir()
    with running(str(program), "60", cwd=below) as child:
        wait_for_state(child.pid, "S")
        program.unlink()
        below.rmdir()
        process = processes.read(child.pid)
    assert process and (process.exe, process.cwd) == (str(program), str(below))


def test_A1_a_stopped_process_is_alive() -> None:
    with titled("tool", "web-1") as child:
        os.kill(child.pid, signal.SIGSTOP)
        process = wait_for_state(child.pid, "T")
        assert not process.dead and process.complete
        assert "stopped" in processes.describe(process)
        assert mentions(ProcessTable.scan(), "web-1", child.pid) == {"argument"}


def test_A9_a_zombie_is_dead_and_mentions_nothing() -> None:
    with running("true", "web-1-zombie") as child:
        process = wait_for_state(child.pid, "Z")
        assert process.dead and process.complete and process.program == "true"
        table = ProcessTable.scan()
        assert table.by_pid[child.pid].dead
        assert not table.carrying("web-1-zombie")
        assert processes.describe(process).endswith("ended)")


def test_A9_an_ended_leader_with_a_running_thread_is_alive(tmp_path: Path) -> None:
    with running(sys.executable, "-c", HALF_DEAD, "web-half", cwd=tmp_path) as child:
        process = wait_for_state(child.pid, "Z")
        assert not process.dead and process.complete
        assert process.argv[-1] == "web-half" and process.cwd == str(tmp_path) and process.exe
        assert mentions(ProcessTable.scan(), "web-half", child.pid) == {"argument"}


def half_dead(proc: Path, threads: dict[int, str]) -> None:
    """A proc of process 12 alone, whose leader has ended; threads: the letter of each."""
    for tid, letter in {12: "Z", **threads}.items():
        folder = proc / "12" / "task" / str(tid)
        folder.mkdir(parents=True)
        stat = f"{tid} (tool) {letter} 1 12 12 0 -1 4194560 {'0 ' * 12}4711 0 0\n"
        (folder / "stat").write_text(stat)
        (folder / "cmdline").write_text("web-half\0" if letter == "S" else "")
        (folder / "exe").symlink_to("/usr/bin/tool")
        for name in ("cwd", "root"):
            (folder / name).symlink_to("/")
    (proc / "12" / "stat").write_text((proc / "12" / "task" / "12" / "stat").read_text())


def test_A9_a_leader_whose_threads_cannot_be_told_is_alive(tmp_path: Path) -> None:
    """More than one entry in task, and none of them seen running: they end or change under our hands."""
    half_dead(tmp_path, {13: "Z"})
    process = processes.read(12, str(tmp_path))
    assert process is not None and not process.dead and not process.complete


@pytest.mark.parametrize("file", ["cmdline", "stat"])
@pytest.mark.parametrize("others", [True, False])
def test_A9_another_thread_stands_for_one_that_ends_while_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, others: bool
) -> None:
    half_dead(tmp_path, {13: "S", 14: "S"})
    (tmp_path / "12" / "task" / "13" / file).unlink()
    chosen = [13, 14 if others else 13, *[13] * 9]
    monkeypatch.setattr(processes, "_living_thread", lambda _directory, _pid: chosen.pop(0))
    process = processes.read(12, str(tmp_path))
    assert process is not None and not process.dead
    assert (process.complete, process.argv) == ((True, ("web-half",)) if others else (False, ()))


@pytest.mark.parametrize(
    ("text", "token", "found"),
    [
        ("web-1", "web-1", True),
        ("web-10", "web-1", False),
        ("my-web-1", "web-1", False),
        ("--id=web-1", "web-1", True),
        ("--id=web-1", "--id=web-1", True),
        ("web-1=x", "web-1", False),
        ("/run/vc/vm/web-1", "web-1", True),
        ("/run/vc/vm/web-1/qmp.sock", "web-1", True),
        ("/run/vc/vm/web-1.bak/qmp.sock", "web-1", False),
        ("source=/run/shared/web-1,cache=auto", "web-1", True),
        ("unix:/run/vc/vm/web-1/qmp.sock,server=on", "web-1", True),
        ("socket,id=char0,path=/run/web-1", "web-1", True),
        ("/src/web-1:/mnt", "web-1", True),
        ("system.slice:docker:web-1", "web-1", True),
        ("--set=id=web-1", "web-1", True),
        ("--id=a,b", "a,b", True),
        ("run web-1 now", "web-1", False),
    ],
)
def test_A8_argument_tokens(text: str, token: str, found: bool) -> None:
    assert (token in process_tokens.argument_tokens(text)) is found


@pytest.mark.parametrize("separator", list("=,:/"))
def test_argument_tokens_of_a_hostile_argument_stay_linear(separator: str) -> None:
    began = time.process_time()  # a square of that would be minutes
    process_tokens.argument_tokens(f"a{separator}" * 100_000)
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    ("path", "token", "found"),
    [
        ("/kubepods/pod1/web-1", "web-1", True),
        ("/kubepods/pod1/web-10", "web-1", False),
        ("/system.slice/docker-web-1.scope", "web-1", True),
        ("/system.slice/cri-containerd-web-1.scope", "web-1", True),
        ("/system.slice/web-1.scope", "web-1", True),
        ("/system.slice/docker-web-1.service", "web-1", False),
        ("/system.slice/docker-web-12.scope", "web-1", False),
        ("/system.slice:docker:web-1", "web-1", True),
        ("/vc/kata_web-1", "web-1", True),
        ("/vc/kata_web_1", "web_1", True),
        ("/a/kata-web-1", "web-1", False),
        ("/system.slice/crio-kata_web-1.scope", "web-1", True),
        ("/", "", False),
    ],
)
def test_A8_cgroup_tokens(path: str, token: str, found: bool) -> None:
    assert (token in process_tokens.cgroup_tokens(path)) is found


def test_A7_mentions_say_where(tmp_path: Path) -> None:
    place = tmp_path / "web-77" / "rootfs"
    place.mkdir(parents=True)
    with titled("tool", "--id=web-78", f"/x/{'web-77'}/y", "web-79-not", cwd=place) as child:
        table = ProcessTable.scan()
        assert mentions(table, "web-77", child.pid) == {"argument", "cwd"}
        assert mentions(table, "web-78", child.pid) == {"argument"}
        assert mentions(table, "web-79", child.pid) == set()
        assert [mention.text for mention in table.carrying("web-78")] == ["--id=web-78"]


@NEEDS_ROOT
def test_A7_a_changed_root_is_a_mention(tmp_path: Path) -> None:
    root = tmp_path / "web-81"
    root.mkdir()
    code = (
        "import os, sys, time; os.chroot(sys.argv.pop()); sys.stdout.write('x\\n'); sys.stdout.flush(); time.sleep(60)"
    )
    with running(sys.executable, "-c", code, str(root), stdout=subprocess.PIPE) as child:
        assert child.stdout
        child.stdout.readline()
        found = mentions(ProcessTable.scan(), "web-81", child.pid)
    assert found == {"argument", "root"}


def test_this_process_and_its_ancestors_do_not_count() -> None:
    # As "ansible host -a sandbox_id=web-ancestor": a shell with the id, below it the one that looks.
    code = (
        "from ansible_collections.sandboxed.containers.plugins.module_utils._basis.processes import ProcessTable\n"
        "import os\n"
        "table = ProcessTable.scan()\n"
        "assert os.getpid() in table.by_pid and os.getppid() in table.by_pid\n"
        "assert not table.carrying('web-ancestor'), table.carrying('web-ancestor')\n"
        "everyone = ProcessTable.scan(ignore=())\n"
        "assert {m.process.pid for m in everyone.carrying('web-ancestor')} == {os.getpid(), os.getppid()}\n"
    )
    parent = "import subprocess, sys; sys.exit(subprocess.call([sys.executable, '-c', sys.argv[1], sys.argv[2]]))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    subprocess.run([sys.executable, "-c", parent, code, "web-ancestor"], check=True, env=environment, timeout=60)


def test_an_ancestor_in_another_cgroup_counts() -> None:
    def process(pid: int, ppid: int, cgroup: str) -> Process:
        return Process(pid, ppid, "S", 1, "x", "/x", ("x",), "/", "/", (cgroup,), 0, True, False)

    own = int(os.readlink("/proc/self"))
    table = {one.pid: one for one in (process(own, 20, "/pod"), process(20, 10, "/pod"), process(10, 1, "/shims"))}
    assert processes.own_line(table) == {own, 20}


def test_a_vanished_process_is_absent(tmp_path: Path) -> None:
    assert processes.read(2**22 + 1) is None
    (tmp_path / "12").mkdir()
    assert processes.read(12, str(tmp_path)) is None


@NEEDS_ROOT
def test_what_may_not_be_read_is_incomplete_not_absent() -> None:
    code = (
        "import os, sys\n"
        "from ansible_collections.sandboxed.containers.plugins.module_utils._basis.processes import ProcessTable\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "process = ProcessTable.scan().by_pid[int(sys.argv[1])]\n"
        "assert not process.complete and not process.dead\n"
        "assert process.cwd is None and process.exe is None and process.argv[-1] == 'web-1'\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with titled("tool", "web-1") as child:
        subprocess.run([sys.executable, "-c", code, str(child.pid)], check=True, env=environment, timeout=60)


@pytest.mark.parametrize(("arguments", "complete"), [("", False), ("tool\0web-1\0", True)])
def test_A1_a_process_on_its_way_out_is_incomplete(tmp_path: Path, arguments: str, complete: bool) -> None:
    # Its memory is being released, which takes long for a large VM: no arguments, no exe, not yet a zombie. And a
    # kernel without cgroups, which is no reason to miss a process.
    place = tmp_path / "12"
    place.mkdir()
    (place / "stat").write_text("12 (tool) D 1 12 12 0 -1 4194560 " + " ".join(["0"] * 12) + " 4711 0 0\n")
    (place / "cmdline").write_text(arguments)
    process = processes.read(12, str(tmp_path))
    assert process and process.complete is complete and not process.dead
    assert (process.program, process.start_ticks, process.cgroups) == ("tool", 4711, ())
    assert len(ProcessTable.scan(str(tmp_path)).incomplete) == (not complete)


def test_a_scan_sees_a_daemon_that_forks_away() -> None:
    # Each turn forks and ends, so the pid changes all the time; the id must be seen in every scan.
    code = (
        "import os, time\n"
        "end = time.monotonic() + 60\n"
        "while time.monotonic() < end:\n"
        "    if os.fork(): os._exit(0)\n"
        "    time.sleep(0.005)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code, "web-hopping"], start_new_session=True)
    try:
        for _turn in range(500):
            if ProcessTable.scan().carrying("web-hopping"):
                break
        seen = sum(bool(ProcessTable.scan().carrying("web-hopping")) for _turn in range(20))
    finally:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    assert seen == 20


def test_E1_started_no_later_than_a_record(tmp_path: Path) -> None:
    with titled("tool") as child:
        process = processes.read(child.pid)
        assert process
        record = tmp_path / "record"
        record.write_text("")
        written = record.stat().st_mtime
        assert processes.started_before(process, written) is True
        assert processes.started_before(process, written - 60) is False
        # F1: the future, or before the boot
        assert processes.started_before(process, written + 60) is None
        assert processes.started_before(process, 1.0) is None
        assert processes.started_before(process._replace(state="?", start_ticks=0), written) is None


def test_describe_tells_the_day_of_an_old_process() -> None:
    process = processes.read(os.getpid())
    assert process
    assert processes.describe(process).startswith(f"{process.program} (pid {process.pid}, running since ")
    old = process._replace(start_ticks=process.start_ticks - 100 * 24 * 3600 * 100)
    assert processes.describe(old).count("-") >= 2
    assert str(process.pid) in processes.describe(process._replace(state="?"))
