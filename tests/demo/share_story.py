# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The demo's fourth part: a directory is shared with a virtual machine, which reads and writes it.

On a host of its own (lab/own_host.py), so that no daemon, socket or record outlives it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ansible_collections.sandboxed.containers.tests.demo.expectations import Unexpected, expect
from ansible_collections.sandboxed.containers.tests.demo.screen import Screen
from ansible_collections.sandboxed.containers.tests.lab import own_host, processes
from ansible_collections.sandboxed.containers.tests.lab.ansible import Result, adhoc
from ansible_collections.sandboxed.containers.tests.lab.guest import Guest, kernel
from ansible_collections.sandboxed.containers.tests.lab.packages import Unavailable
from ansible_collections.sandboxed.containers.tests.lab.real_programs import qemu, standalone_virtiofsd

NAME = "demo-3"
PROVED = "a virtual machine reads and writes a directory that one task shares"
_GREETING = "hello from the host"
_COMMAND = "cat /mnt/hello; echo hello from the guest > /mnt/answer"


def available() -> str:
    """Why there can be no guest here and what would help; empty when there can."""
    why = own_host.available()
    if why:
        return why
    try:
        standalone_virtiofsd(), kernel(), qemu()
    except Unavailable as exc:
        return str(exc)
    return ""


def tell(screen: Screen) -> None:
    """The whole story, on a real virtiofsd and QEMU. Raises Unexpected."""
    screen.part("A directory for a virtual machine:")
    try:
        answer = json.loads(own_host.run(lambda: _told(screen)))
    except own_host.Ended as exc:
        raise Unexpected(str(exc).strip().splitlines()[-1]) from exc
    screen.number = answer["number"]
    if answer["unexpected"]:
        raise Unexpected(answer["unexpected"])


def _told(screen: Screen) -> bytes:
    unexpected = ""
    try:
        Story(screen, Path("/run/lab")).tell()
    except Unexpected as exc:
        unexpected = str(exc)
    return json.dumps({"number": screen.number, "unexpected": unexpected}).encode()


class Story:
    """A share, and the collection's answers about it."""

    def __init__(self, screen: Screen, folder: Path) -> None:
        self.screen = screen
        self.share = folder / "share"
        self.socket_path = folder / "share.sock"
        self.options: dict[str, Any] = {
            "name": NAME,
            "socket_path": str(self.socket_path),
            "shared_dir": str(self.share),
            "executable": str(standalone_virtiofsd()),
            "log_file": str(folder / "share.log"),
        }

    def tell(self) -> None:
        self.share.mkdir()
        (self.share / "hello").write_text(_GREETING, encoding="utf-8")
        try:
            self._serve()
            self._stop()
        finally:
            self._ask(name=NAME, state="stopped", force=True)

    def _ask(self, **options: Any) -> Result:
        return adhoc("virtiofsd_daemon", options)

    def _serve(self) -> None:
        with self.screen.step("A directory is shared: virtiofsd_daemon"):
            done = self._ask(**self.options)
            expect(not done.failed and done.changed, f"{done.answer}")
            (daemon,) = done.answer["daemons"]
            self.screen.came_of_it(f"changed: virtiofsd {daemon['version']} serves it, pid {daemon['pid']}")
        with self.screen.step("The same task again: virtiofsd_daemon"):
            again = self._ask(**self.options)
            expect(not again.failed and not again.changed, f"{again.answer}")
            self.screen.came_of_it("unchanged")

    def _stop(self) -> None:
        with Guest(self.socket_path, command=_COMMAND) as guest:
            with self.screen.step("A virtual machine mounts it: qemu"):
                read = guest.start()
                expect(read == _GREETING, f"it read {read!r}")
                self.screen.came_of_it(f'ok   it read "{read}"')
            with self.screen.step("It has written to the host's directory"):
                answer = (self.share / "answer").read_text(encoding="utf-8").strip()
                self.screen.came_of_it(f'ok   "{answer}"')
            with self.screen.step("Stopping it now is refused: virtiofsd_daemon"):
                refused = self._ask(name=NAME, state="stopped")
                expect(refused.failed and "a client is connected" in refused.message, f"{refused.answer}")
                self.screen.came_of_it("ok", refused.message)
        with self.screen.step("It is switched off, and the daemon ends with it"):
            processes.wait_until(lambda: self._verdict() == "leftover", "the daemon to end")
            self.screen.came_of_it("its record and its socket are left")
        with self.screen.step("It is stopped: virtiofsd_daemon"):
            done = self._ask(name=NAME, state="stopped")
            expect(done.changed and not self.socket_path.exists(), f"{done.answer}")
            self.screen.came_of_it("changed: both are gone")

    def _verdict(self) -> str:
        found = adhoc("virtiofsd_daemon_info", {"name": NAME}).answer["daemons"][0]
        return str(found.get("verdict"))
