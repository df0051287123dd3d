# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The demo's main part: a host is provisioned, runs gVisor, crashes, is audited, reviewed and pruned, by the playbooks.

On a Debian 12 that systemd boots in a container (lab/booted.py); its tree is made once, below the lab.
"""

from __future__ import annotations

import json
import shlex
import shutil
import time
from typing import Any

from ansible_collections.sandboxed.containers.tests.demo.expectations import expect
from ansible_collections.sandboxed.containers.tests.demo.screen import Screen
from ansible_collections.sandboxed.containers.tests.lab import booted, containerd, fleet, processes
from ansible_collections.sandboxed.containers.tests.lab.booted import Booted
from ansible_collections.sandboxed.containers.tests.lab.packages import package
from ansible_collections.sandboxed.containers.tests.lab.workspace import Outcome

HOST = "demo-host"
CRASHES, LIVES, BY_HAND = "web-1", "web-2", "job-1"
PROVED = "a host is provisioned, and after a crash exactly what was reviewed goes, while the other container runs on"
# The host is a container: it has no network to give and no device for another platform, and the modules cannot know
# that its pid namespace has all of its processes. Nobody wants to wait ten minutes until a leftover is old enough.
VARIABLES = {
    "sandbox_provision_roles": ["host", "containerd", "gvisor"],
    "sandbox_gvisor_options": {"platform": "ptrace", "network": "none", "ignore_cgroups": True},
    **{f"sandbox_{name}_sees_all_processes": True for name in ("audit", "prune")},
    **{f"sandbox_{name}_min_age": 0 for name in ("audit", "prune")},
    "sandbox_prune_on_mounted": "unmount",
}
_RUNSC = "/usr/local/bin/runsc-with-options"
_GVISOR = ("--runtime=io.containerd.runc.v2", f"--runc-binary={_RUNSC}", "--snapshotter=native")
_BUNDLE = "/srv/job"


def available() -> str:
    """Why there can be no such host here and what would help; empty when there can."""
    return booted.available()


def tell(screen: Screen) -> None:
    """The whole story. Raises Unexpected, RuntimeError, TimeoutError."""
    screen.part("A host of its own, a Debian 12 below .lab, and what the collection's playbooks do there:")
    with screen.step("It boots: systemd-nspawn"):
        started = time.monotonic()
        system = Booted()
        screen.came_of_it(f"ok   in {time.monotonic() - started:.0f} s")
    with system:
        story = Story(screen, system)
        story.provision()
        story.run()
        story.crash()
        story.audit()
        story.prune()
        story.run_again()


class Story:
    """The host, and what the playbooks say of it."""

    def __init__(self, screen: Screen, system: Booted) -> None:
        self.screen = screen
        self.system = system
        self.plans = system.folder / "plans"

    def _play(self, name: str) -> tuple[Outcome, int]:
        """A playbook of the collection, by its full name: what it printed, and how many tasks changed something."""
        given = {**VARIABLES, "sandbox_plans": str(self.plans)}
        book: list[dict[str, Any]] = [{"import_playbook": f"sandboxed.containers.{name}"}]
        hosts = {HOST: self.system.connection()}
        done = booted.run_playbook(self.system.folder, book, hosts, "-e", json.dumps(given))
        expect(done.code == 0, done.output)
        return done, fleet.recap(done.output)[HOST]["changed"]

    def _pid(self, name: str) -> str:
        """The gVisor kernel of a container, by the host's own numbers; empty where none runs."""
        return self.system.run("pgrep", "-of", f"^runsc-sandbox .*{name}").output

    def _start(self, name: str) -> str:
        self.system.must("ctr", "run", "--detach", "--null-io", *_GVISOR, containerd.IMAGE, name, *containerd.SLEEP)
        return self._pid(name)

    def _start_by_hand(self) -> str:
        run = [_RUNSC, "run", "--detach", "--bundle", _BUNDLE, BY_HAND]
        self.system.must("sh", "-c", f"{shlex.join(run)} </dev/null >/dev/null 2>&1")
        return self._pid(BY_HAND)

    def provision(self) -> None:
        with self.screen.step("containerd and gVisor: playbook provision"):
            _done, changed = self._play("provision")
            expect(changed > 0, "nothing was changed")
            self.screen.came_of_it(f"changed: {changed} tasks")
        with self.screen.step("The same playbook again"):
            _done, changed = self._play("provision")
            expect(changed == 0, f"{changed} tasks changed something again")
            self.screen.came_of_it("unchanged")

    def run(self) -> None:
        with self.screen.step("Two containers run in gVisor: ctr run"):
            containerd.write_image(self.system.path("/srv/image.tar"))
            self.system.must("ctr", "images", "import", "--snapshotter=native", "/srv/image.tar")
            self.screen.came_of_it(", ".join(f"{name}: pid {self._start(name)}" for name in (CRASHES, LIVES)))
        with self.screen.step("One more by hand: runsc run"):
            programs = self.system.path(f"{_BUNDLE}/rootfs/bin")
            programs.mkdir(parents=True)
            shutil.copy2(package("busybox-static") / "bin/busybox", programs / "sleep")
            self.system.must("runsc", "spec", "--bundle", _BUNDLE, "--", *containerd.SLEEP)
            self.screen.came_of_it(f"{BY_HAND}: pid {self._start_by_hand()}")

    def crash(self) -> None:
        with self.screen.step(f"containerd, {CRASHES} and {BY_HAND} die at once: kill -9"):
            self.system.must("pkill", "-KILL", "-f", f"^/usr/bin/containerd$|{CRASHES}|{BY_HAND}")
            processes.wait_until(lambda: not self._pid(CRASHES) and not self._pid(BY_HAND), "the sandboxes to end")
            # systemd starts containerd again, which cleans up what it can.
            processes.wait_until(lambda: self.system.run("ctr", "c", "rm", CRASHES).code == 0, "containerd to be back")
            self.screen.came_of_it(f"done; containerd is back, and has forgotten {CRASHES}")

    def audit(self) -> None:
        with self.screen.step("What is left over: playbook audit"):
            done, changed = self._play("audit")
            expect(changed == 0 and "1 with leftovers" in done.output, done.output)
            self.screen.came_of_it("unchanged", " ".join(fleet.words(done.output)))
        with self.screen.step("What would go, to be reviewed: the host's plan"):
            plan = json.loads((self.plans / f"{HOST}.json").read_text(encoding="utf-8"))["plan"]
            steps = [_in_words(step) for step in plan["steps"]]
            expect(bool(steps) and LIVES not in str(steps), f"{steps}")
            self.screen.came_of_it(f"{len(steps)} steps")
            self.screen.lines(steps)

    def prune(self) -> None:
        before = self._pid(LIVES)
        with self.screen.step("What was reviewed goes: playbook prune"):
            done, changed = self._play("prune")
            expect(changed == 1, done.output)
            self.screen.came_of_it("changed", " ".join(fleet.words(done.output)))
        with self.screen.step("The other container runs on"):
            expect(before != "" and self._pid(LIVES) == before, f"it was {before}, and is {self._pid(LIVES)}")
            self.screen.came_of_it(f"ok   {LIVES}: pid {before}")

    def run_again(self) -> None:
        with self.screen.step("Another look: playbook audit"):
            done, _changed = self._play("audit")
            expect("1 clean" in done.output, done.output)
            self.screen.came_of_it("clean")
        with self.screen.step("Both names run again: ctr run, runsc run"):
            again = [f"{CRASHES}: pid {self._start(CRASHES)}", f"{BY_HAND}: pid {self._start_by_hand()}"]
            self.screen.came_of_it(", ".join(again))


def _in_words(step: dict[str, Any]) -> str:
    """A step of a plan: what goes, and where it lies."""
    name = "" if step["place"].endswith(step["id"]) else f"{step['id']} in "
    return f"- {step['kind']:<8} {name}{step['place']}"
