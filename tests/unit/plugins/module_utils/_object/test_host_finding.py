# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What decides whether the code for a kind is loaded at all must cover all places of that kind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._layout import (
    mappings,
    shim_sockets,
    virtiofsd_record,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.registry import LAYOUTS
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.trees import TreeLayout
from ansible_collections.sandboxed.containers.plugins.module_utils._object import host_finding
from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView


@pytest.mark.parametrize("name", list(LAYOUTS))
def test_every_place_of_a_sandbox_lies_below_one_that_is_looked_at(name: str) -> None:
    layout = LAYOUTS[name]
    defaults = {rule.option: rule.default for rule in layout.root_rules}
    places = [*defaults.values()]
    if isinstance(layout, TreeLayout):
        places += [os.path.normpath(f"{defaults[one.option]}/{one.relative}") for one in layout.places]
    for place in places:
        assert any(f"{place}/".startswith(f"{above}/") for above in host_finding.SANDBOXES), place


def test_the_other_places_are_those_of_their_kinds() -> None:
    assert host_finding.MAPPINGS == mappings.ROOT
    assert host_finding.DAEMONS == virtiofsd_record.RUN_DIR
    assert host_finding.SOCKETS == shim_sockets.SOCKET_FOLDER


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("run/vc/sbs/a", "sandbox"),
        ("var/lib/vc/sbs/a", "sandbox"),
        ("run/kata/a", "sandbox"),
        ("run/kata-containers/shared/sandboxes/a", "sandbox"),
        ("run/containerd/io.containerd.runtime.v2.task/default/a", "bundle"),
        ("var/lib/containerd/io.containerd.runtime.v2.task/default/a", "bundle"),
        ("var/run/kata-containers/containers-mapping/a/b", "mapping"),
    ],
)
def test_what_is_alone_on_a_host_is_found(path: str, kind: str, tmp_path: Path) -> None:
    (tmp_path / path).mkdir(parents=True)
    problems: list[str] = []
    found = host_finding.find_all(str(tmp_path), HostView(str(tmp_path), True), problems)
    assert ([(one.kind, one.name) for one in found], problems) == ([(kind, "a")], [])


def test_a_place_that_cannot_be_looked_at_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "vc").write_text("no directory")
    problems: list[str] = []
    assert host_finding.find_all(str(tmp_path), HostView(str(tmp_path), True), problems) == []
    assert problems and "run/vc" in problems[0]
