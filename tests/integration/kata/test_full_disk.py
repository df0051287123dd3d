# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A file system of 2 MB that is full: the old documents stay whole, and room can be made (promise 2; K3, K4, P1)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.sandboxed.containers.tests.integration.kata.conftest import Modules, gone
from ansible_collections.sandboxed.containers.tests.integration.kata.test_leftovers import shapes, wanted
from ansible_collections.sandboxed.containers.tests.lab import kata, mounting
from ansible_collections.sandboxed.containers.tests.lab.kata import Places, Sandbox

pytestmark = pytest.mark.real


SMALL = Path("/var/lib/small")


@pytest.fixture
def small(host: None, layout: str) -> tuple[Sandbox, Path]:
    """A sandbox on a small ext4, which is full; the file that fills it."""
    mounting.small_ext4(SMALL, Path("/var/lib/image"))
    box = kata.sandbox(layout, "lab-web-1", ["lab-web-1"], places=Places(SMALL))
    box.write()
    return box, mounting.fill(SMALL)


def longer(box: Sandbox) -> list[dict[str, object]]:
    """Documents that need more room than there is."""
    entries = json.loads(json.dumps(wanted(box)[:1]))
    documents = entries[0]["documents"]
    one = documents["persist" if box.layout == "kata_persist" else "state"]
    one["More"] = "x" * 20_000
    found: list[dict[str, object]] = entries
    return found


def test_K4_P1_a_full_disk_keeps_the_old_documents(small: tuple[Sandbox, Path]) -> None:
    """Kata 1.x ignores the result of the write; the Go runtime then deletes the whole sandbox."""
    box, ballast = small
    before = shapes(box)
    refused = Modules(box).make(longer(box))
    assert refused.failed and "o space left" in refused.message, refused.answer
    assert shapes(box) == before
    ballast.unlink()
    made = Modules(box).make(longer(box))
    assert made.changed and not made.failed, made.message


def test_a_create_on_a_full_disk_leaves_nothing(small: tuple[Sandbox, Path]) -> None:
    box, ballast = small
    new = kata.sandbox(box.layout, "lab-web-2", ["lab-web-2"], places=box.places)
    refused = Modules(new).make(wanted(new))
    assert refused.failed and "o space left" in refused.message, refused.answer
    assert gone(new) == []
    ballast.unlink()
    made = Modules(new).make(wanted(new))
    assert made.changed and not made.failed, made.message


def test_a_full_disk_can_be_cleared(small: tuple[Sandbox, Path]) -> None:
    """A removal needs no room where there is none."""
    box, _ballast = small
    done = Modules(box).absent()
    assert done.changed and not done.failed, done.message
    assert gone(box) == []
