# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The demo's third part where no containerd can run: the state on which it would be stuck, made by hand.

A delete of containerd's is a rename of the bundle to `.<id>`, and then a removal of that. A rest of an older one under
that name, which is not empty, is in the way of each later one.
"""

from __future__ import annotations

import errno
import json
import os
import subprocess
from pathlib import Path
from typing import Any

from ansible_collections.sandboxed.containers.tests.demo.expectations import expect
from ansible_collections.sandboxed.containers.tests.demo.screen import Screen
from ansible_collections.sandboxed.containers.tests.lab.ansible import Result, adhoc
from ansible_collections.sandboxed.containers.tests.lab.workspace import Workspace

SEES_ALL = os.geteuid() == 0  # a user cannot ask other people's network namespaces who listens there
# The module's own lock is below /run, which is not the demo's to change: an empty one is put over it meanwhile, which a
# user may do in a user namespace.
_MOUNTS = ["unshare", "--mount", *([] if SEES_ALL else ["--user", "--map-root-user"])]
_OWN_RUN = [*_MOUNTS, "sh", "-c", 'mount -t tmpfs tmpfs /run && exec "$@"', "sh"]
TASKS = "io.containerd.runtime.v2.task/default"
FOUND = "a bundle with the rest of a broken delete in its way, made by hand, is found"
PROVED = "a bundle with the rest of a broken delete in its way, made by hand, is removed, and its name is free"
SPEC = {"ociVersion": "1.0.2", "process": {"args": ["/bin/true"], "cwd": "/"}, "root": {"path": "rootfs"}}


class Place:
    """containerd's two directories, in a temporary folder."""

    def __init__(self, folder: Path, name: str) -> None:
        self.state, self.work = folder / "state", folder / "work"
        self.bundle = self.state / TASKS / name
        self.rest = self.bundle.with_name(f".{name}")

    def make(self) -> None:
        """A bundle as containerd leaves it, and its work directory."""
        (self.bundle / "rootfs").mkdir(parents=True)
        (self.bundle / "config.json").write_text(json.dumps(SPEC), encoding="utf-8")
        work = self.work / TASKS / self.bundle.name
        work.mkdir(parents=True)
        (self.bundle / "work").symlink_to(work)

    def leave_rest(self) -> None:
        """What a containerd that was killed inside a delete leaves."""
        self.rest.mkdir()
        (self.rest / "config.json").write_text(json.dumps(SPEC), encoding="utf-8")

    def names(self) -> list[str]:
        """What is there of bundles and of work directories."""
        return sorted(path.name for root in (self.state, self.work) for path in (root / TASKS).iterdir())

    def ask(self, module: str, **options: Any) -> Result:
        """Run a module of the collection as a user would, who does not see all processes: nobody else can use a folder
        that was made a second ago."""
        where = {"layout": "containerd_v2", "state_root": str(self.state), "work_root": str(self.work)}
        known = {**where, "container_id": self.bundle.name, "sees_all_processes": True}
        return adhoc(module, {**known, **options}, prefix=() if module.endswith("_info") else _OWN_RUN)


def tell(screen: Screen, name: str, why: str) -> str:
    """The whole story; what it has proved. why: no containerd can run. Raises Unexpected and RuntimeError."""
    screen.cannot("A real containerd is stuck on a bundle: ctr", why)
    workspace = Workspace()
    try:
        place = Place(workspace.folder, name)
        _get_stuck(screen, place)
        _look(screen, place)
        if subprocess.run([*_OWN_RUN, "true"], capture_output=True, check=False).returncode:
            screen.cannot("It is removed, and the rest too: container_bundle", "its lock needs root; run it as root")
            return FOUND
        _free(screen, place)
        return PROVED
    finally:
        workspace.close()


def _get_stuck(screen: Screen, place: Place) -> None:
    with screen.step("The same state is made by hand instead: mkdir"):
        place.make()
        place.leave_rest()
        screen.came_of_it(f"a bundle, {place.bundle.name}, and of an older delete a rest, {place.rest.name}")
    with screen.step("A delete as containerd begins it: rename"):
        try:
            place.bundle.rename(place.rest)
            outcome = "it was possible"
        except OSError as exc:
            expect(exc.errno in (errno.ENOTEMPTY, errno.EEXIST), str(exc))
            outcome = str(exc.strerror)
        expect(place.bundle.is_dir(), outcome)
        screen.came_of_it("failed: the rest is in the way", f"rename {place.bundle.name} {place.rest.name}: {outcome}")


def _look(screen: Screen, place: Place) -> None:
    with screen.step("The collection looks: container_bundle_info"):
        found = place.ask("container_bundle_info").answer["bundles"][0]
        verdict = "leftover" if SEES_ALL else "unknown"
        expect(found.get("verdict") == verdict, f"{found}")
        screen.came_of_it(f"{verdict}: {found['evidence'][0]}")


def _free(screen: Screen, place: Place) -> None:
    how = "It is removed, and the rest too" if SEES_ALL else "It is dead, so force=true"
    with screen.step(f"{how}: container_bundle"):
        done = place.ask("container_bundle", state="absent", force=not SEES_ALL)
        expect(not done.failed and done.changed and place.names() == [], f"{done.answer} {place.names()}")
        screen.came_of_it("changed: the bundle, its work directory and the rest are gone")
    with screen.step("The same task again: container_bundle"):
        again = place.ask("container_bundle", state="absent", force=not SEES_ALL)
        expect(not again.failed and not again.changed, f"{again.answer}")
        screen.came_of_it("unchanged")
    with screen.step("The name can be used again: mkdir, rename"):
        place.make()
        place.bundle.rename(place.rest)
        screen.came_of_it("ok   a new bundle, and its delete begins")
