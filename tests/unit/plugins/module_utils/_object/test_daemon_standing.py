# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import socket
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import NotProved
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.processes import Process
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.sockets import Bound
from ansible_collections.sandboxed.containers.plugins.module_utils._object.daemon_standing import (
    Standing,
    clients_of,
    standing_of,
)
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

LEAF = ("/sandboxed.containers/unit-leaf",)


def pids(standing: Standing) -> list[int]:
    return [one.pid for one in standing.processes]


@pytest.mark.parametrize(
    ("clients", "unreadable", "count", "words"),
    [
        (0, (), 0, ", and nobody uses it"),
        (1, (), 1, ", and is used"),
        (2, (), 2, ", and is used"),
        (0, HIDDEN, None, ", and whether anybody uses it cannot be told"),
        (1, HIDDEN, 1, ", and is used"),
    ],
    ids=["none", "one", "two", "cannot tell", "one in sight"],
)
def test_a_daemon_that_runs_and_who_uses_it(
    clients: int, unreadable: tuple[str, ...], count: int | None, words: str
) -> None:
    bound = (Bound(FILE, "/run/unit-web.sock", True, NUMBER), *(client(number) for number in range(1, clients + 1)))
    view = view_of(process(), bound=bound, unreadable=unreadable)
    standing = standing_of(RECORD, view)
    assert standing.alive and standing.main == process() and standing.others == ()
    assert standing.clients == clients_of(RECORD, view) == count
    (reason,) = standing.reasons
    assert reason.startswith(f"virtiofsd (pid {PID}, running since ")
    assert reason.endswith(f" serves {RECORD.socket_path}{words}")


def test_only_sockets_of_its_own_file_count() -> None:
    other = Bound((FILE[0], FILE[1] + 1), "/run/unit-web.sock", False, NUMBER + 1)
    nameless = Bound(None, "abstract", False, NUMBER + 2)
    assert standing_of(RECORD, view_of(process(), bound=(other, nameless))).clients == 0
    both = RECORD._replace(socket_file=(FILE, (FILE[0], FILE[1] + 1)))
    assert standing_of(both, view_of(process(), bound=(other, client(3)))).clients == 2


LONG = "/proc/self/fd/5/unit-web.sock"


@pytest.mark.parametrize(
    ("one", "address", "clients"),
    [
        (Bound(FILE, "/run/unit-web.sock", False, NUMBER + 1), "/run/unit-web.sock", 1),
        (Bound(FILE, "/run/unit-web.sock", False, NUMBER + 1), "", 1),
        (Bound(FILE, LONG, False, NUMBER + 1), LONG, 1),
        (Bound(FILE, LONG, False, NUMBER + 1), "", 1),
        (Bound(FILE, LONG, False, NUMBER + 1), "/run/unit-web.sock", 0),
        (Bound(FILE, "/proc/self/fd/5/other.sock", False, NUMBER + 1), "", 0),
        (Bound(FILE, "/srv/unit-web.sock", False, NUMBER + 1), "/run/unit-web.sock", 0),
        (Bound(FILE, "/srv/unit-web.sock", False, NUMBER + 1), "", 0),
        (Bound(FILE, "/run/unit-web.sock", True, NUMBER, 2), "/run/unit-web.sock", 2),
        (Bound(FILE, "/run/unit-web.sock", True, NUMBER + 1, 2), "/run/unit-web.sock", 0),
    ],
)
def test_E1_a_later_file_of_the_same_number_is_known_by_its_sockets(one: Bound, address: str, clients: int) -> None:
    assert clients_of(RECORD._replace(address=address), view_of(process(), bound=(one,))) == clients


STRANGER = ("/usr/bin/sleep", "600")


@pytest.mark.parametrize(
    ("now", "words"),
    [
        ({"start_ticks": 101}, "is now virtiofsd (pid "),
        ({"start_ticks": 99}, "is now virtiofsd (pid "),
        ({"argv": (*COMMAND_LINE, "--xattr"), "program": "virtiofsd"}, "is now virtiofsd (pid "),
        ({"argv": STRANGER, "program": "sleep"}, "is now sleep (pid "),
        ({"argv": STRANGER, "program": "sleep", "start_ticks": 5000}, "is now sleep (pid "),
        ({"argv": (), "exe": None, "program": "kthread"}, "is now kthread (pid "),
        ({"state": "Z", "argv": (), "exe": None, "dead": True}, "is gone"),
        ({"state": "S", "argv": (), "exe": None, "complete": False, "start_ticks": 101}, "is now kthread (pid "),
        ({"pid": PID + 1, "argv": STRANGER, "program": "sleep"}, "is gone"),
    ],
    ids=[
        "a later start", "an earlier start", "another command line", "another program", "all of it", "a kernel thread",
        "a zombie", "a later one on its way out", "nobody",
    ],
)  # fmt: skip
def test_V4_a_stranger_with_its_pid_is_not_the_daemon(now: dict[str, Any], words: str) -> None:
    standing = standing_of(RECORD, view_of(process(**now)))
    assert not standing.alive and standing.processes == ()
    (reason,) = standing.reasons
    assert reason.startswith(f"recorded pid {PID} {words}")


@pytest.mark.parametrize("start", [100, 101])
def test_a_daemon_of_another_boot_is_dead_whoever_looks_like_it(start: int) -> None:
    before = RECORD._replace(boot_id="another")
    standing = standing_of(before, view_of(process(start_ticks=start, cgroups=LEAF), unreadable=HIDDEN))
    assert standing == Standing(None, (), 0, ("it was started before this host booted last",))


@pytest.mark.parametrize(
    "hidden",
    [
        {"state": "?", "start_ticks": 0, "argv": (), "exe": None, "complete": False},
        {"argv": (), "exe": None, "complete": False},
        {"complete": False},
    ],
    ids=["all of it", "its arguments", "something"],
)
def test_A1_a_process_that_may_be_the_daemon_proves_nothing(hidden: dict[str, Any]) -> None:
    with pytest.raises(NotProved) as refused:
        standing_of(RECORD, view_of(process(**hidden)))
    assert str(refused.value) == f"recorded pid {PID} is in use, and what it is cannot be read. Run as root."


# Its child, that one's child, and others: (how they differ, record, whether they are the daemon's)
CHILD = {"pid": PID + 1, "ppid": PID}
FAMILIES: dict[str, tuple[list[dict[str, Any]], list[int]]] = {
    "alone": ([{}], [0]),
    "a child": ([{}, CHILD], [0, 1]),
    "a child of another program": ([{}, {**CHILD, "argv": STRANGER}], [0, 1]),
    "a grandchild": ([{}, {**CHILD, "pid": PID + 2, "ppid": PID + 1}, CHILD], [0, 1, 2]),
    "a child that ended": ([{}, {**CHILD, "dead": True, "state": "Z"}], [0]),
    "a living child of one that ended": (
        [{}, {**CHILD, "dead": True}, {**CHILD, "pid": PID + 2, "ppid": PID + 1}],
        [0, 2],
    ),
    "nobody of its kin": ([{}, {"pid": PID + 1, "ppid": 1, "argv": STRANGER}], [0]),
    "a ring of parents": ([{}, {"pid": PID + 1, "ppid": PID + 2}, {"pid": PID + 2, "ppid": PID + 1}], [0]),
    "the child alone, in its cgroup": ([{**CHILD, "ppid": 1, "cgroups": LEAF}], [1]),
    "a zombie parent": ([{"dead": True, "argv": ()}, {**CHILD, "cgroups": LEAF}], [1]),
    "below its cgroup": ([{**CHILD, "ppid": 1, "cgroups": ("/x", LEAF[0] + "/inner")}], [1]),
    "alike, but somewhere else": ([{**CHILD, "ppid": 1, "cgroups": ("/sandboxed.containers/unit-leaf-2",)}], []),
    "in its cgroup, but not alike": ([{**CHILD, "ppid": 1, "cgroups": LEAF, "argv": STRANGER}], []),
    "the child beside a stranger": ([{"argv": STRANGER}, {**CHILD, "cgroups": LEAF}], [1]),
}


@pytest.mark.parametrize("case", FAMILIES)
def test_either_of_them_may_have_been_killed_alone(case: str) -> None:
    members, expected = FAMILIES[case]
    standing = standing_of(RECORD, view_of(*(process(**one) for one in members)))
    assert pids(standing) == [PID + number for number in expected]
    if 0 in expected:
        assert len(standing.reasons) == 1
    else:
        assert standing.reasons[0].startswith(f"recorded pid {PID} is ")
        assert [reason.endswith(", which it started, lives on") for reason in standing.reasons[1:]] == [True] * len(
            expected
        )


@pytest.mark.parametrize("number", ["listener", "connection"])
def test_a_child_is_known_by_the_socket_that_it_has_open(number: str) -> None:
    """With its parent gone, and no cgroup of its own."""
    with socket.socket(socket.AF_UNIX) as held:
        real = os.fstat(held.fileno()).st_ino
        own = process(pid=os.getpid(), ppid=1)
        bound: tuple[Bound, ...] = ()
        record = RECORD._replace(cgroups=())
        if number == "listener":
            record = record._replace(socket=real)
        else:
            bound = (Bound(FILE, "/run/unit-web.sock", False, real),)
        assert pids(standing_of(record, view_of(own, bound=bound))) == [os.getpid()]
        assert not standing_of(record, view_of(process(STRANGER, os.getpid()), bound=bound)).alive
    assert not standing_of(record, view_of(own, bound=bound)).alive


SHELL = ("/bin/sh", "-c", 'exec "$@" 3<&0 0</dev/null', *COMMAND_LINE[:1], *COMMAND_LINE)


@pytest.mark.parametrize(
    ("one", "alive"),
    [
        (process(SHELL, cgroups=("/system.slice/unit-u.service",)), True),
        (process(cgroups=("/system.slice/unit-u.service",)), True),
        (process(SHELL, cgroups=("/system.slice/other.service",)), False),
        (process(("/bin/sh", "-c", "true"), cgroups=("/system.slice/unit-u.service",)), False),
    ],
    ids=["the shell", "the daemon", "another unit", "another command"],
)
def test_V5_a_unit_that_was_just_being_started_is_known_without_a_pid(one: Process, alive: bool) -> None:
    """The task ended between the two: there is the unit's name in the record, and no pid yet."""
    record = RECORD._replace(pid=0, start_ticks=0, unit="unit-u.service", cgroups=())
    assert standing_of(record, view_of(one)).alive is alive


def test_a_process_without_arguments_is_never_alike() -> None:
    """A record cannot have an empty command line, which all kernel threads would have."""
    threads = [process((), PID + number, cgroups=LEAF) for number in range(3)]
    assert not standing_of(RECORD, view_of(*threads)).alive


def test_A1_one_with_its_command_line_that_hides_what_it_is_proves_nothing() -> None:
    """Its main process is gone, and this may be the child that lives on."""
    with pytest.raises(NotProved, match="has its command line, and what it is cannot be read"):
        standing_of(RECORD, view_of(process(pid=PID + 1, complete=False)))
    assert not standing_of(RECORD, view_of(process(pid=PID + 1))).alive
