# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A booted system (booted.py) that stays when the program that asked for it has ended, as molecule's does.

    python -m ansible_collections.sandboxed.containers.tests.lab.kept start FOLDER    prints an inventory
    python -m ansible_collections.sandboxed.containers.tests.lab.kept stop FOLDER

A process of its own keeps it. With that it ends, however that ends: by `stop`, when its file in the folder is gone, by
itself after two hours, or killed.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

from ansible_collections.sandboxed.containers.tests.lab import booted, workspace
from ansible_collections.sandboxed.containers.tests.lab.booted import Booted
from ansible_collections.sandboxed.containers.tests.lab.packages import Unavailable

LONGEST = 7200.0  # seconds: while one is there, all other tests of the checkout wait
STOPPING = 60.0  # seconds that its own end may take
# It has a process table of its own, and nobody outside of it owns what lies in it: for modules and for playbooks.
SEEING = [f"sandbox_{job}sees_all_processes" for job in ("", "audit_", "prune_", "decommission_")]
MODULE = "ansible_collections.sandboxed.containers.tests.lab.kept"


class Mark:
    """The file by which a later `stop` finds the process that keeps a system."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "kept.json"

    def write(self, workspace_folder: str = "") -> None:
        """Note this process."""
        known = {"pid": os.getpid(), "started": _started(os.getpid()), "workspace": workspace_folder}
        scratch = self.path.with_suffix(".new")
        scratch.write_text(json.dumps(known), encoding="utf-8")
        scratch.rename(self.path)

    def read(self) -> dict[str, Any]:
        """What was noted, empty if nothing was."""
        try:
            known: dict[str, Any] = json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        return known


def _started(pid: int) -> str:
    """When a process was started, in ticks; empty when there is none. A number that was reused has another one."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def start(folder: Path) -> str:
    """Boot a system that stays; an inventory with it. Raises SystemExit with the reason why not."""
    why = booted.available()
    if why:
        raise SystemExit(why)
    if Mark(folder).path.exists():
        raise SystemExit(f"{Mark(folder).path} is there: there is a system already, stop it first")
    with open(folder / "kept.log", "wb") as log:
        keeper = subprocess.Popen(
            [sys.executable, "-m", MODULE, "keep", str(folder)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True,
        )  # fmt: skip
    assert keeper.stdout is not None  # asked for above
    inventory = keeper.stdout.read()
    if not inventory:
        keeper.wait()
        raise SystemExit((folder / "kept.log").read_text(encoding="utf-8", errors="replace"))
    return inventory


def keep(folder: Path) -> None:
    """Boot a system, print an inventory, and stay."""
    signal.signal(signal.SIGTERM, _end)
    mark = Mark(folder)
    mark.write()
    try:
        with Booted() as system:
            mark.write(str(system.folder))
            host = {**system.connection(), **dict.fromkeys(SEEING, True)}
            print(json.dumps({"all": {"hosts": {"booted": host}}}), flush=True)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # `start` reads until this
            deadline = time.monotonic() + LONGEST
            while mark.path.exists() and time.monotonic() < deadline:
                time.sleep(0.2)
    finally:
        mark.path.unlink(missing_ok=True)


def _end(*_signal: object) -> NoReturn:
    raise SystemExit(0)


def stop(folder: Path) -> bool:
    """End the system and wait until nothing of it is left; whether there was one."""
    known = Mark(folder).read()
    if not known:
        return False
    _end_process(known["pid"], known["started"])
    left = Path(known["workspace"]) if known["workspace"] else None
    if left is not None and left.is_dir():  # it was killed: nothing runs any more, but its folder and cgroups are there
        workspace.clear(left)
    Mark(folder).path.unlink(missing_ok=True)
    return True


def _end_process(pid: int, started: str) -> None:
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        for number in (signal.SIGTERM, signal.SIGKILL):
            if _started(pid) != started or select.select([handle], [], [], 0)[0]:
                return  # it is another one, or has ended and nobody has reaped it yet
            signal.pidfd_send_signal(handle, number)
            select.select([handle], [], [], STOPPING)
    finally:
        os.close(handle)


def main(verb: str, folder: str) -> None:
    """Do what is asked for."""
    place = Path(folder)
    try:
        if verb == "start":
            print(start(place), end="")
        elif verb == "keep":
            keep(place)
        elif verb == "stop":
            print("stopped" if stop(place) else "there was none")
        else:
            raise SystemExit(f"{verb}: start, stop")
    except Unavailable as exc:
        raise SystemExit(str(exc)) from exc


if __name__ == "__main__":
    main(*sys.argv[1:])
