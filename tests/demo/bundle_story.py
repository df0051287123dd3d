# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The demo's third part: a container's name that containerd itself cannot free any more, and that is freed."""

from __future__ import annotations

from ansible_collections.sandboxed.containers.tests.demo import bundle_by_hand
from ansible_collections.sandboxed.containers.tests.demo.expectations import expect
from ansible_collections.sandboxed.containers.tests.demo.screen import Screen
from ansible_collections.sandboxed.containers.tests.lab.containerd import IMAGE, RUNTIMES, SLEEP, Lab, available

NAME = "demo-2"
VERSION = "1.6"
PROVED = "a bundle on which containerd is stuck is removed, and containerd can use the name again"


def tell(screen: Screen) -> str:
    """The whole story, on a real containerd of its own on an inner host, or else on the same state made by hand; what
    it has proved. Raises Unexpected and RuntimeError."""
    screen.part("A name that containerd itself cannot free any more:")
    why = available(VERSION)
    if why:
        return bundle_by_hand.tell(screen, NAME, why)
    with Lab(VERSION) as lab:
        lab.start()
        _get_stuck(screen, lab)
        _free(screen, lab)
    return PROVED


def _get_stuck(screen: Screen, lab: Lab) -> None:
    with screen.step("containerd is killed inside a delete: ctr"):
        lab.run(NAME)
        lab.interrupt_delete(NAME)
        expect(lab.bundles() == [f".{NAME}"], f"there is {lab.bundles()}")
        screen.came_of_it(f"done, a hidden rest is left: .{NAME}")
    with screen.step("It runs and deletes that id again: ctr"):
        lab.start()
        lab.ctr("containers", "delete", NAME)
        lab.run(NAME)
        lab.delete(NAME)
        expect(sorted(lab.bundles()) == [f".{NAME}", NAME], f"there is {lab.bundles()}")
        screen.came_of_it("the rest is in the way: the bundle stays for good")
    with screen.step("From now on the name is taken: ctr"):
        refused = lab.ctr("run", "--detach", "--null-io", "--runtime", RUNTIMES["v2"], IMAGE, NAME, *SLEEP)
        expect(refused.code != 0 and "file exists" in refused.output, refused.output)
        screen.came_of_it("failed", refused.output.splitlines()[-1])


def _free(screen: Screen, lab: Lab) -> None:
    with screen.step("Removing it unasked is refused: container_bundle"):
        kept = lab.free(NAME)
        expect(kept.failed and not kept.changed, f"{kept.answer}")
        screen.came_of_it("ok", kept.message)
    with screen.step("It is dead, so force=true: container_bundle"):
        done = lab.free(NAME, force=True, on_mounted="unmount")
        expect(not done.failed and lab.bundles() == [], f"{done.answer} {lab.bundles()}")
        screen.came_of_it("changed: the bundle and the rest are gone")
    with screen.step("The same task again: container_bundle"):
        again = lab.free(NAME, force=True, on_mounted="unmount")
        expect(not again.failed and not again.changed, f"{again.answer}")
        screen.came_of_it("unchanged")
    with screen.step("containerd takes the name again: ctr"):
        lab.ctr("containers", "delete", NAME)
        lab.run(NAME)
        expect(lab.tasks() == {NAME: "RUNNING"}, f"{lab.tasks()}")
        screen.came_of_it(f"ok   pid {next(iter(lab.shims().values()))}")
