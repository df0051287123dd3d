# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.host import boot_time
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.processes import Process, read
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.containerd_metadata import Listed
from ansible_collections.sandboxed.containers.plugins.module_utils._object.bundle_engine import Engine

OLD = Process(7, 1, "S", 0, "containerd", None, ("containerd",), "/", "/", (), 0, complete=True, dead=False)


@pytest.fixture
def young() -> Iterator[Process]:
    """A daemon that has just started."""
    with subprocess.Popen(["sleep", "1000"]) as popen:
        process = read(popen.pid)
        assert process is not None
        yield process
        popen.kill()


@pytest.mark.parametrize(
    ("engine", "changed", "text"),
    [
        (Engine(), 0.0, ""),
        (Engine(installed=True), 0.0, "containerd, which needs the bundle to clean up, does not run"),
        (Engine(installed=True, locked=True), 0.0, "containerd runs out of sight"),
        (Engine(installed=True, locked=True, process=OLD), boot_time() + 60, ""),
        (Engine(installed=True, locked=True, process=OLD), time.time(), "ran when it changed"),
    ],
    ids=["none", "stopped", "hidden", "older", "younger"],
)
def test_A4_what_an_engine_may_still_need(engine: Engine, changed: float, text: str) -> None:
    found = engine.unsettled(changed)
    assert len(found) == bool(text)
    assert text in "".join(found)


def test_A4_a_daemon_that_has_just_started_may_still_clean_up(young: Process) -> None:
    (found,) = Engine(installed=True, locked=True, process=young).unsettled(0.0)
    assert "has just started, and may still clean up itself" in found


@pytest.mark.parametrize(
    ("namespace", "container_id", "expected"),
    [
        ("k8s.io", "web-1", ["containerd lists the container"]),
        ("k8s.io", "pod-1", ["containerd lists the container", "containerd lists it as a sandbox"]),
        ("k8s.io", "web-10", []),
        ("moby", "web-1", []),
    ],
)
def test_A5_what_is_listed_is_in_doubt(namespace: str, container_id: str, expected: list[str]) -> None:
    listed = {"k8s.io": Listed(frozenset({"web-1", "pod-1"}), frozenset({"pod-1"}))}
    assert Engine(installed=True, listed=listed).listing(namespace, container_id) == expected


def test_A5_a_list_that_cannot_be_read_leaves_every_id_in_doubt() -> None:
    (found,) = Engine(installed=True, problem="meta.db: it is damaged").listing("k8s.io", "web-1")
    assert found == "what containerd lists cannot be read: meta.db: it is damaged"
