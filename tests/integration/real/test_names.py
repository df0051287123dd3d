# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names that are parts of other names, patterns, and junk beside valid names."""

from __future__ import annotations

import pytest
from ansible_collections.sandboxed.containers.tests.integration.real.conftest import Collection, crashed, files
from ansible_collections.sandboxed.containers.tests.lab.runsc import Lab, Runsc

pytestmark = pytest.mark.real
newest = pytest.mark.parametrize("version", ["new"], indirect=True)


def test_g7_a_prefix_never_hits_the_longer_name(lab: Lab, runsc: Runsc, collection: Collection) -> None:
    runsc.launch("foobar", lab.bundle("foobar"))
    assert runsc.delete("foo").output != ""  # runsc takes it for foobar: "not stopped", or deletes it when it is
    assert collection.absent("foo", stop_processes=True, force=True).unchanged
    assert runsc.listed() == ["foobar"]
    assert collection.verdict("foobar") == "live"


def test_g7_the_shorter_of_two_names_is_not_ambiguous(lab: Lab, runsc: Runsc, collection: Collection) -> None:
    crashed(lab, runsc, "foo")
    pid = runsc.launch("foobar", lab.bundle("foobar"))
    assert "ambiguous" in runsc.state("foo").output
    assert collection.verdict("foo") == "leftover"
    removed = collection.absent("foo")
    assert not removed.failed, removed.message
    assert runsc.listed() == ["foobar"]
    assert runsc.sandbox_pid("foobar") == pid


@newest
@pytest.mark.parametrize("pattern", ["*", "foo?", "[f]oo", "fo\\o", "foo/../foo", ".."])
def test_g7_patterns_and_paths_are_refused(lab: Lab, runsc: Runsc, collection: Collection, pattern: str) -> None:
    runsc.root.mkdir(mode=0o711)
    runsc.file("foo", "lock").touch()
    collection_answer = collection.absent(pattern, force=True, stop_processes=True)
    assert not collection_answer.changed
    assert collection_answer.failed or pattern == ".."  # a name that runsc allows, and that is not there
    assert files(runsc) == ["foo_sandbox:foo.lock"]


def test_g8_a_corrupt_longer_name_does_not_matter(lab: Lab, runsc: Runsc, collection: Collection) -> None:
    """Runsc loads every container whose sandbox begins with the name, and stumbles over the corrupt one."""
    crashed(lab, runsc, "foo")
    runsc.file("x", "state", "foobar").write_text("{", encoding="utf-8")
    assert collection.verdict("foo") == "leftover"
    removed = collection.absent("foo")
    assert not removed.failed, removed.message
    assert files(runsc) == ["x_sandbox:foobar.state"]


@newest
def test_g9_junk_around_a_name_is_no_name(lab: Lab, runsc: Runsc, collection: Collection) -> None:
    runsc.launch("live-1", lab.bundle("live-1"))
    real = files(runsc)
    junk = [
        "live-1_sandbox:live-1.state.bak",
        "~live-2_sandbox:live-2.state",
        "a b_sandbox:c.state",
        "live-3.state",
        "d:e.lock",
    ]
    for name in junk:
        (runsc.root / name).touch()
    assert [one["sandbox_id"] for one in collection.info().sandboxes] == ["live-1"]
    for name in ("live-2", "live-3", "c"):
        assert collection.absent(name).unchanged
    assert files(runsc) == sorted([*real, *junk])
