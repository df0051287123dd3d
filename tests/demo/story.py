# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The demo, and its second part: a sandbox is killed, and its state is removed so that runsc can use the name again."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from types import ModuleType
from typing import Any

from ansible_collections.sandboxed.containers.tests.demo import bundle_story, host_story, share_story
from ansible_collections.sandboxed.containers.tests.demo.expectations import Unexpected, expect
from ansible_collections.sandboxed.containers.tests.demo.screen import Screen
from ansible_collections.sandboxed.containers.tests.lab import processes
from ansible_collections.sandboxed.containers.tests.lab.ansible import Result, adhoc
from ansible_collections.sandboxed.containers.tests.lab.runsc import Lab, Runsc, available

NAME = "demo-1"
PROVED = (
    "a live sandbox is kept, a dead one is removed without a trace, the same task twice changes nothing, and runsc "
    "can use the name again"
)
PROVED_WITHOUT = "a state is written and removed, the same task twice changes nothing (and nothing about real crashes)"


class Story:
    """What the steps share: the screen, the runtime's root directory, and the collection's answers about it."""

    def __init__(self, screen: Screen, run_root: Path) -> None:
        self.screen = screen
        self.run_root = run_root

    def ask(self, module: str, *flags: str, **options: Any) -> Result:
        """Run a module of the collection as a user would."""
        where = {"layout": "gvisor", "run_root": str(self.run_root), "sandbox_id": NAME}
        return adhoc(module, {**where, **options}, *flags)

    def files(self) -> list[str]:
        """What runsc keeps on disk, in its root directory and as filestores in the root file systems of bundles."""
        found = [*self.run_root.iterdir(), *self.run_root.parent.glob("*/rootfs/.gvisor.*")]
        return sorted(path.name for path in found)

    def looks(self, sentence: str, verdict: str, evidence: str) -> None:
        """The collection tells whether the sandbox has an owner, and how it knows."""
        with self.screen.step(f"{sentence}: sandbox_state_info"):
            result = self.ask("sandbox_state_info")
            found = result.sandboxes[0] if result.sandboxes else {}
            sentences = "; ".join(found.get("evidence", [result.message]))
            expect(found.get("verdict") == verdict and evidence in sentences, f"{found.get('verdict')}: {sentences}")
            self.screen.came_of_it(f"{verdict}: {sentences}")

    def removal_is_refused(self, owner: str) -> None:
        """No task removes what a live process uses."""
        with self.screen.step("Removing its state is refused: sandbox_state"):
            result = self.ask("sandbox_state", state="absent")
            expect(result.failed and not result.changed and owner in result.message, f"{result.answer}")
            self.screen.came_of_it("ok", result.message)

    def state_is_removed(self, **options: Any) -> None:
        """Everything of the sandbox goes, the lock that runsc knows as the last."""
        with self.screen.step("Its state is removed, the lock last: sandbox_state"):
            result = self.ask("sandbox_state", "--diff", state="absent", **options)
            expect(not result.failed and result.changed, f"{result.answer}")
            removed = [line[1:] for line in result.shown.splitlines() if line.startswith("-") and "---" not in line]
            expect(bool(removed) and removed[-1].startswith("lock"), f"the lock does not go last: {removed}")
            expect(not self.files(), f"left behind: {', '.join(self.files())}")
            kinds = " ".join(line.split()[0] for line in removed)
            self.screen.came_of_it(f"changed: {kinds} are gone, in this order")

    def is_idempotent(self, what: str, **options: Any) -> None:
        """The same task again changes nothing (promise 1)."""
        with self.screen.step("The same task again: sandbox_state"):
            result = self.ask("sandbox_state", state=what, **options)
            expect(not result.failed and not result.changed, f"{result.answer}")
            self.screen.came_of_it("unchanged")


def with_runsc(story: Story, lab: Lab, runsc: Runsc) -> None:
    """The whole story, on a real container."""
    screen = story.screen
    with screen.step("A container starts: runsc create, start"):
        pid = runsc.launch(NAME, lab.bundle(NAME))
        screen.came_of_it(f"ok   pid {pid}")
    who = f"runsc-sandbox (pid {pid},"
    story.looks("The collection looks", "live", who)
    story.removal_is_refused(who)
    with screen.step(f"kill -9 {pid}"):
        processes.kill(pid)
        processes.wait_until(lambda: not runsc.pids(), "the gofer to follow its sandbox")
        screen.came_of_it("done, what runsc kept is left: " + ", ".join(story.files()))
    story.looks("It looks again", "leftover", f"recorded pid {pid} (sandbox) is gone")
    story.state_is_removed()
    story.is_idempotent("absent")
    with screen.step("runsc takes the name again: runsc create, start"):
        again = runsc.launch(NAME, lab.folder / NAME)
        expect(again != pid and runsc.listed() == [NAME], f"runsc lists {runsc.listed()}")
        screen.came_of_it(f"ok   pid {again}")


def without_runsc(story: Story, why: str) -> None:
    """What needs no runtime: a state that the collection itself writes."""
    screen = story.screen
    screen.cannot("A real container starts and is killed: runsc", why)
    story.run_root.mkdir(mode=0o711)
    document = {"state": {"id": NAME, "status": "stopped", "goferPid": 0, "sandbox": {"id": NAME, "pid": 0}}}
    with screen.step("A state is written instead: sandbox_state"):
        result = story.ask("sandbox_state", documents=document)
        expect(not result.failed and result.changed, f"{result.answer}")
        screen.came_of_it("changed: " + ", ".join(story.files()))
    story.is_idempotent("present", documents=document)
    # A user does not see all processes; nobody else can use a folder that was made a second ago.
    story.state_is_removed(sees_all_processes=True)
    story.is_idempotent("absent", sees_all_processes=True)


def _tell_of_runsc(screen: Screen) -> str:
    """The part with one sandbox; what it has proved."""
    why = available("new")
    with Lab() as lab:
        if why:
            without_runsc(Story(screen, lab.folder / "root"), why)
            return PROVED_WITHOUT
        runsc = lab.runsc("new")
        screen.part(f"One sandbox, module by module, with Debian's {runsc.version()}, unpacked below .lab:")
        with_runsc(Story(screen, runsc.root), lab, runsc)
    return PROVED


def _tell_where_it_can(screen: Screen, story: ModuleType, sentence: str) -> list[str]:
    """A part that needs more of the machine; what it has proved, nothing where it cannot run."""
    why = story.available()
    if why:
        screen.cannot(sentence, why)
        return []
    story.tell(screen)
    return [story.PROVED]


def tell() -> int:
    """Run the demo; the exit status."""
    screen, started = Screen(), time.monotonic()
    try:
        proved = [
            *_tell_where_it_can(screen, host_story, "A host is provisioned, crashes, and is pruned: playbooks"),
            _tell_of_runsc(screen),
            bundle_story.tell(screen),
            *_tell_where_it_can(screen, share_story, "A directory is shared with a virtual machine: qemu"),
        ]
    except (Unexpected, RuntimeError, OSError, subprocess.TimeoutExpired) as exc:
        screen.failed(str(exc))
        return 1
    except KeyboardInterrupt:
        screen.failed("interrupted; what was started is ended, what was made is removed")
        return 130
    screen.say("")
    screen.say(f"Proved in {time.monotonic() - started:.0f} s: {'; '.join(proved)}.")
    screen.say("Install it; look at a host of yours, which changes nothing; read about the options; run all tests:")
    screen.say("(with .venv/bin on your PATH, if you have no Ansible)")
    screen.command("ansible-galaxy collection install .")
    screen.command("ansible HOST -b -m sandboxed.containers.sandbox_host_info")
    screen.command("ansible-doc sandboxed.containers.sandbox_state")
    screen.command("make test" if os.geteuid() == 0 else "sudo make test")
    return 0
