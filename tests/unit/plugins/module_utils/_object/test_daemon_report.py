# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import InvalidInput
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.processes import Process
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.sockets import Bound
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.virtiofsd_record import Record
from ansible_collections.sandboxed.containers.plugins.module_utils._object.daemon_report import in_words, report_all
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._layout.support_virtiofsd import (
    COMMAND_LINE,
    FILE,
    NUMBER,
    PID,
    RECORD,
)
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._object.support_daemons import (
    HIDDEN,
    client,
    process,
    view_of,
)

SHARED = "/run/kata-containers/shared/sandboxes"
KATA = ("/usr/libexec/virtiofsd", "--syslog", "--cache=auto", f"--shared-dir={SHARED}/unit-sb/shared", "--fd=3")
SHIM = ("/usr/bin/containerd-shim-kata-v2", "-namespace", "k8s.io", "-id", "unit-sb")


def look(run_dir: Path, *processes: Process, name: Any = None, **more: Any) -> list[dict[str, Any]]:
    params = {"host_root": "/", "run_dir": str(run_dir), "name": name}
    return report_all(params, view_of(*processes, **more))


def put(run_dir: Path, record: Record, name: str = "") -> str:
    path = run_dir / f"{name or record.name}.json"
    path.write_bytes(record.to_json())
    return str(path)


def test_a_daemon_of_ours_that_lives(tmp_path: Path) -> None:
    path = put(tmp_path, RECORD)
    bound = (Bound(FILE, "x", True, NUMBER), client(1))
    child = process(pid=PID + 1, ppid=PID)
    (entry,) = look(tmp_path, child, process(), bound=bound)
    (reason,) = entry.pop("evidence")
    assert reason.endswith("serves /run/unit-web.sock, and is used")
    assert entry == {
        "name": "unit-web", "exists": True, "record": path, "pid": PID, "pids": [PID, PID + 1], "dialect": "rust",
        "version": "1.13.2", "executable": COMMAND_LINE[0], "shared_dir": "/srv/unit-web",
        "socket_path": "/run/unit-web.sock", "clients": 1, "sandbox_id": None, "started_by": "this collection",
        "unit": None, "verdict": "live",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("record", "processes", "reason"),
    [
        (RECORD, [], f"recorded pid {PID} is gone"),
        (RECORD, [process(("/bin/sleep", "9"))], f"recorded pid {PID} is now sleep (pid {PID}, running since "),
        (RECORD._replace(boot_id="x"), [process()], "it was started before this host booted last"),
    ],
    ids=["gone", "a stranger", "another boot"],
)
def test_V4_a_leftover_of_ours(tmp_path: Path, record: Record, processes: list[Process], reason: str) -> None:
    put(tmp_path, record)
    entry = look(tmp_path, *processes, unreadable=HIDDEN)[0]
    assert (entry["verdict"], entry["clients"], "pid" in entry, "pids" in entry) == ("leftover", 0, False, False)
    assert entry["evidence"][0].startswith(reason)


def test_a_child_that_is_left_alone_is_told(tmp_path: Path) -> None:
    put(tmp_path, RECORD)
    child = process(pid=PID + 1, cgroups=("/sandboxed.containers/unit-leaf",))
    (entry,) = look(tmp_path, child)
    assert (entry["verdict"], entry["pid"], entry["pids"]) == ("live", PID + 1, [PID + 1])
    assert "which it started, lives on" in entry["evidence"][1]


def test_A1_what_hides_itself_is_unknown_and_so_are_its_clients(tmp_path: Path) -> None:
    put(tmp_path, RECORD)
    (entry,) = look(tmp_path, process((), complete=False, program="x", exe=None))
    assert (entry["verdict"], entry["clients"]) == ("unknown", None)
    assert entry["evidence"] == [f"recorded pid {PID} is in use, and what it is cannot be read. Run as root."]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"{", "it is no record of a daemon"),
        (RECORD._replace(machine_id="another").to_json(), "this record was made on another host"),
    ],
    ids=["damaged", "F2"],
)
def test_a_record_that_is_not_to_be_trusted_is_unknown(tmp_path: Path, data: bytes, text: str) -> None:
    (tmp_path / "unit-web.json").write_bytes(data)
    (entry,) = look(tmp_path)
    assert (entry["exists"], entry["verdict"], entry["started_by"]) == (True, "unknown", "this collection")
    assert text in entry["evidence"][0] and "clients" not in entry
    assert "1 virtiofsd: 1 unknown. Unknown: unit-web (" in in_words([entry])


def test_a_record_that_cannot_be_read_hides_no_other(tmp_path: Path) -> None:
    (tmp_path / "unit-a.json").mkdir()
    (tmp_path / "unit-b.json").symlink_to("nowhere")
    put(tmp_path, RECORD)
    (tmp_path / ".unit-tmp.json").touch()
    (tmp_path / "unit-web.stopping").touch()
    entries = look(tmp_path, process())
    assert [entry["name"] for entry in entries] == ["unit-a", "unit-b", "unit-web"]
    assert [entry["verdict"] for entry in entries] == ["unknown", "unknown", "live"]


def test_records_come_first_and_every_process_once(tmp_path: Path) -> None:
    put(tmp_path, RECORD)
    put(tmp_path, RECORD._replace(pid=PID + 50, name="unit-a", cgroups=()), "unit-a")
    entries = look(tmp_path, process(), process(pid=PID + 1, ppid=PID), process(KATA, PID + 9), process(SHIM, PID + 10))
    assert [(entry["name"], entry.get("pid")) for entry in entries] == [
        ("unit-a", None), ("unit-web", PID), (None, PID + 9),
    ]  # fmt: skip


def test_named_ones_in_the_order_given(tmp_path: Path) -> None:
    put(tmp_path, RECORD)
    entries = look(tmp_path, process(), process(KATA, PID + 9), name="unit-z, unit-web")
    assert entries[0] == {"name": "unit-z", "exists": False, "record": f"{tmp_path}/unit-z.json"}
    assert [entry["name"] for entry in entries] == ["unit-z", "unit-web"]
    assert look(tmp_path, process(), name=[]) == []
    assert look(tmp_path / "nothing", name="unit-web")[0]["exists"] is False
    assert look(tmp_path / "nothing") == []
    for wrong in ("../x", 12, [""], ["a", "a"]):
        with pytest.raises(InvalidInput, match="name: "):
            look(tmp_path, name=wrong)


@pytest.mark.parametrize(
    ("beside", "more", "verdict", "reason"),
    [
        ([process(SHIM, PID + 1)], {}, "live", "containerd-shim-kata-v2 (pid "),
        ([process(SHIM, PID + 1)], {"unreadable": HIDDEN, "asserted": False}, "live", "containerd-shim-kata-v2 (pid "),
        ([], {}, "leftover", "no client is connected to it"),
        ([process(("/bin/sleep", "unit-sb-2"), PID + 1)], {}, "leftover", "no client is connected to it"),
        ([process(SHIM, PID + 1, dead=True)], {}, "leftover", "no client is connected to it"),
        ([], {"unreadable": HIDDEN}, "unknown", HIDDEN[0]),
        ([], {"asserted": False}, "unknown", "sees_all_processes=false says"),
    ],
    ids=["a shim", "a shim in the dark", "nobody", "another name", "a dead one", "sockets hidden", "blind"],
)
def test_a_daemon_of_katas(
    tmp_path: Path, beside: list[Process], more: dict[str, Any], verdict: str, reason: str
) -> None:
    entry, *none = look(tmp_path, process(KATA, cgroups=("/kubepods/unit-sb",)), *beside, bound=(), **more)
    assert none == [] and entry["evidence"][0].startswith(reason)
    assert (entry["verdict"], entry["sandbox_id"], entry["started_by"]) == (verdict, "unit-sb", "Kata Containers")
    assert (entry["name"], entry["exists"], entry["dialect"]) == (None, True, "rust")
    assert (entry["shared_dir"], entry["socket_path"]) == (f"{SHARED}/unit-sb/shared", None)
    assert entry["clients"] == (None if more.get("unreadable") else 0)
    if verdict == "leftover":
        assert entry["evidence"][1:] == ["no other process names sandbox unit-sb"]


@pytest.mark.parametrize("connected", [False, True])
def test_a_client_keeps_a_daemon_of_katas(tmp_path: Path, connected: bool) -> None:
    """Its socket, which is handed over as a descriptor, is the one that it has open."""
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as served:
        numbers = [os.fstat(one.fileno()).st_ino for one in (listener, served)]
        name = "/run/vc/vm/unit-sb/vhost-fs.sock"
        bound = (Bound(FILE, name, True, numbers[0]), Bound(FILE, name, False, numbers[1]))
        daemon = process(("virtiofsd", "--fd=3"), os.getpid())
        (entry,) = look(tmp_path, daemon, bound=bound[: 1 + connected])
    assert (entry["socket_path"], entry["sandbox_id"], entry["clients"]) == (name, "unit-sb", int(connected))
    assert entry["verdict"] == ("live" if connected else "leftover")
    assert entry["evidence"][0] == f"{'a' if connected else 'no'} client is connected to it"


@pytest.mark.parametrize(
    ("argv", "cgroups", "by", "reason"),
    [
        (
            ("virtiofsd", "--fd=17", "-o", "source=/srv"),
            ("/machine.slice/x.scope",),
            "libvirt",
            "it belongs to libvirt",
        ),
        (
            ("/usr/libexec/virtiofsd", "--socket-path=/var/run/kubevirt/virtiofs-containers/x", "--shared-dir=/srv"),
            ("/kubepods",),
            "KubeVirt",
            "it belongs to KubeVirt",
        ),
        (
            ("virtiofsd", "--fd=3", "--shared-dir=/srv"),
            ("/system.slice/s.service",),
            "s.service",
            "it belongs to s.service",
        ),
        (
            ("virtiofsd", "--fd=3", "--shared-dir=/srv"),
            ("/user.slice",),
            None,
            "it serves no sandbox of Kata's, and no record names it",
        ),
    ],
    ids=["libvirt", "KubeVirt", "a unit", "nobody's"],
)
def test_one_of_another_product_is_foreign(
    tmp_path: Path, argv: tuple[str, ...], cgroups: tuple[str, ...], by: str | None, reason: str
) -> None:
    (entry,) = look(tmp_path, process(argv, cgroups=cgroups))
    assert (entry["verdict"], entry["started_by"], entry["evidence"]) == ("foreign", by, [reason])
    assert (entry["sandbox_id"], entry["shared_dir"]) == (None, "/srv")


@pytest.mark.parametrize(
    "one",
    [
        process(("/bin/sh", "/usr/libexec/virtiofsd")),
        process(KATA, dead=True),
        process(("/usr/bin/qemu-virtiofsd", "--fd=3")),
        process(()),
    ],
    ids=["an argument", "dead", "another name", "a kernel thread"],
)
def test_what_is_no_daemon_is_not_shown(tmp_path: Path, one: Process) -> None:
    assert look(tmp_path, one) == []


def test_one_with_another_title_is_known_by_its_program(tmp_path: Path) -> None:
    (entry,) = look(tmp_path, process(("share", "x"), exe="/usr/lib/qemu/virtiofsd"))
    assert (entry["executable"], entry["dialect"], entry["shared_dir"]) == ("/usr/lib/qemu/virtiofsd", None, None)


def test_no_program_is_run_that_is_not_the_processs_own(tmp_path: Path) -> None:
    """Its name leads to a file that is not what runs: the process may live in another mount namespace."""
    program = tmp_path / "virtiofsd"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\necho virtiofsd 9.9\n")
    program.chmod(0o755)
    (entry,) = look(tmp_path / "none", process((str(program), "--fd=3"), os.getpid()))
    assert (entry["version"], entry["executable"]) == (None, str(program))
    assert not (tmp_path / "ran").exists()


def entry(verdict: str, name: str | None = "a", *evidence: str) -> dict[str, Any]:
    return {"name": name, "exists": True, "pid": 7, "verdict": verdict, "evidence": list(evidence)}


@pytest.mark.parametrize(
    ("entries", "text"),
    [
        ([], "0 virtiofsd."),
        ([{"name": "a", "exists": False}], "0 virtiofsd. 1 not there."),
        ([entry("live", "a", "x")], "1 virtiofsd: 1 live."),
        ([entry("foreign", None, "x")], "1 virtiofsd: 1 foreign."),
        ([entry("leftover", "a", "x", "y")], "1 virtiofsd: 1 leftover. Leftover: a (x; y)."),
        (
            [entry("unknown", None, "z"), entry("live"), entry("foreign"), entry("leftover", "b", "y"), entry("live")],
            "5 virtiofsd: 2 live, 1 leftover, 1 unknown, 1 foreign. Unknown: pid 7 (z). Leftover: b (y).",
        ),
    ],
    ids=["none", "not there", "live", "foreign", "leftover", "all kinds"],
)
def test_the_summary_in_words(entries: list[dict[str, Any]], text: str) -> None:
    assert in_words(entries) == text


def test_the_summary_names_at_most_five() -> None:
    text = in_words([entry("leftover", f"n{number}", "x") for number in range(9)])
    assert text.startswith("9 virtiofsd: 9 leftover.") and text.count("Leftover: ") == 5
