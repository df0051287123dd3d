# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import Unreadable
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory, open_given
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.containerd_metadata import (
    METADATA_FILE,
    Listed,
    read_listed,
)
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._basis.support_bolt import (
    Tree,
    database,
    flipped,
)

FIXTURES = Path(__file__).parent / "fixtures"
NOTHING = Listed(frozenset(), frozenset())
CONTAINER: Tree = {b"createdat": b"1", b"image": b"", b"runtime": {b"name": b"io.containerd.runc.v2"}}


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Directory]:
    with open_given(str(tmp_path)) as one:
        yield one


def listed(directory: Directory, data: bytes) -> dict[str, Listed] | None:
    Path(directory.path, METADATA_FILE).write_bytes(data)
    return read_listed(directory)


def schema(namespaces: Tree) -> Tree:
    return {b"v1": {b"version": b"\x06", **namespaces}}


# What was done with the real daemon: 12 containers web-1 to web-12 in "default" without every third up to 9, 100 with
# names of 64 digits in "k8s.io" without every seventh, two sandboxes (1.7 only), and an empty namespace.
WEB = {f"web-{number}" for number in range(1, 13) if number not in (3, 6, 9)}
LONG = {hashlib.sha256(b"%d\n" % number).hexdigest() for number in range(1, 101) if number % 7 != 1}


@pytest.mark.parametrize(("version", "pods"), [("1.6.20", set()), ("1.7.24", {"pod-1", "pod-2"})])
def test_A5_the_file_of_a_real_daemon(directory: Directory, version: str, pods: set[str]) -> None:
    data = gzip.decompress((FIXTURES / f"containerd-{version}-meta.db.gz").read_bytes())
    assert listed(directory, data) == {
        "default": Listed(frozenset(WEB), frozenset()),
        "k8s.io": Listed(frozenset(LONG), frozenset(pods)),
        "empty-1": NOTHING,
    }


def test_promise_7_absent_is_none(directory: Directory) -> None:
    assert read_listed(directory) is None


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (schema({}), {}),
        (schema({b"default": {}}), {"default": NOTHING}),
        (schema({b"default": {b"labels": {b"a": b"b"}, b"containers": {}}}), {"default": NOTHING}),
        (schema({b"a.b": {b"containers": {b"a5": CONTAINER}}}), {"a.b": Listed(frozenset({"a5"}), frozenset())}),
        (schema({b"a": {b"sandboxes": {b"x" * 76: {}}}}), {"a": Listed(frozenset(), frozenset({"x" * 76}))}),
        (schema({b"a": {b"images": {b"docker.io/../x": {}}}}), {"a": NOTHING}),
        # 1.7 keeps sandboxes beside v1, 2.0 moved them; a namespace may have either or both.
        ({**schema({}), b"a": {b"sandboxes": {b"pod-1": {}}}}, {"a": Listed(frozenset(), frozenset({"pod-1"}))}),
        ({**schema({}), b"a": {b"sandboxes": {}}}, {"a": NOTHING}),
        (
            {
                **schema({b"a": {b"containers": {b"c-1": {}}, b"sandboxes": {b"pod-2": {}}}}),
                b"a": {b"sandboxes": {b"pod-1": {}}},
            },
            {"a": Listed(frozenset({"c-1"}), frozenset({"pod-1", "pod-2"}))},
        ),
        # A namespace named v1 in 1.7: its sandboxes look like a namespace "sandboxes".
        (
            schema({b"sandboxes": {b"pod-1": {b"labels": {}}}}),
            {"sandboxes": NOTHING, "v1": Listed(frozenset(), frozenset({"pod-1"}))},
        ),
    ],
)
def test_A5_ids_by_namespace(directory: Directory, content: Tree, found: dict[str, Listed]) -> None:
    assert listed(directory, database(content)) == found


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ({}, "it has no version of a schema v1"),
        ({b"v1": {b"default": {}}}, "it has no version of a schema v1"),
        ({b"v1": {b"version": {}}}, "it has no version of a schema v1"),
        ({b"v1": b"text"}, "is no bucket"),
        ({**schema({}), b"v2": {b"default": {b"containers": {}}}}, "its bucket v2 is not known"),
        ({**schema({}), b"v2": b"text"}, "is no bucket"),
        (schema({b"-": {}}), "b'-' cannot be an id"),
        (schema({b"default": b"text"}), "b'default' cannot be an id"),
        (schema({b"default": {b"images": b"text"}}), "is no bucket"),
        (schema({b"default": {b"containers": b"text"}}), "is no bucket"),
        (schema({b"default": {b"sandboxes": b"text"}}), "is no bucket"),
        (schema({b"default": {b"containers": {b"a5": b"text"}}}), "b'a5' cannot be an id"),
        (schema({b"default": {b"containers": {b"..": {}}}}), "b'..' cannot be an id"),
        (schema({b"default": {b"containers": {b"a\n": {}}}}), "cannot be an id"),
        (schema({b"default": {b"containers": {b"x" * 77: {}}}}), "cannot be an id"),
        (schema({b"default": {b"sandboxes": {b"\xff": {}}}}), "cannot be an id"),
    ],
)
def test_promise_7_what_is_not_understood_is_unreadable(directory: Directory, content: Any, why: str) -> None:
    with pytest.raises(Unreadable) as caught:
        listed(directory, database(content))
    assert why in caught.value.why
    assert caught.value.where == f"{directory.path}/{METADATA_FILE}"


@pytest.mark.parametrize(
    ("entries", "bits"),
    [
        (3, range(1)),
        pytest.param(3, range(1, 8), marks=pytest.mark.long),
        pytest.param(16, range(8), marks=pytest.mark.long),
    ],
    ids=["a bit", "branches", "leaves"],
)
def test_promise_7_no_flipped_bit_loses_an_id(directory: Directory, entries: int, bits: range) -> None:
    """Any single bit: the whole file is unreadable, or the ids are all there, one of them perhaps under another name.

    Only the name of a bucket, and how long it is, has nothing that it could be compared with.
    """
    ids: Tree = {b"web-%d" % number: CONTAINER for number in range(8)}
    content = schema({b"default": {b"containers": ids, b"sandboxes": {b"pod-1": {}}}, b"k8s.io": {}})
    names = [len(name) for name in (b"containers", b"sandboxes")]
    lost = 0
    for data in flipped(database(content, page_size=1024, entries=entries), 1024, bits):
        try:
            found = listed(directory, data)
        except Unreadable:
            continue
        assert found is not None
        lost += sum(len(one.containers) + len(one.sandboxes) for one in found.values()) != 9
    assert lost <= sum(names) * len(bits) + 8 * len(names)
