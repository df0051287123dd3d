# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What hypothesis makes up: names and documents, likely ones and such as nobody thinks of."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

from ansible_collections.sandboxed.containers.tests.integration.hostile.ground import CANARY, NEIGHBOUR
from hypothesis import strategies as st

# Ansible hands bytes that are not UTF-8 to a module as these lone surrogates; others come from JSON's own escapes.
_BYTES = st.binary(max_size=40).map(lambda data: data.decode("utf-8", "surrogateescape"))
_SPECIAL = [
    "", ".", "..", "../canary", "../../canary", "../../../canary", "canary", "way-out", "link", NEIGHBOUR, ".hidden",
    "README", "template", "sbs", "root", "lock", "raw", "firecracker", "a/b", f"{NEIGHBOUR}/link", "a\0b", "a\nb",
    "-rf", "*", "~", "$(id)", "é", "\udcff", "\ud800", "x" * 76, "x" * 255, "x" * 256, "é" * 128, ",", "a,a",
    f"{NEIGHBOUR},..", f".sbx-del.{NEIGHBOUR}.0123456789abcdef", f"{NEIGHBOUR}_sandbox:{NEIGHBOUR}", str(CANARY),
    "0123", " a ",
]  # fmt: skip
# Not all of Unicode: hypothesis would need seconds for its table of that, in each host anew.
_LETTERS = "".join(map(chr, range(0x180))) + "\u0660\u202e\u2028\u2029\ufeff\uffff😀\U0010ffff"
_ALPHANUMERIC = "ABCXYZabcxyz0189"
# A float above 2**53 is written as Go writes it, in digits that another reader may take for a slightly other integer.
_FLOATS = st.one_of(st.floats(-(2.0**53), 2.0**53), st.sampled_from([math.nan, math.inf]))
_NUMBERS = st.one_of(st.integers(), _FLOATS, st.sampled_from([1, 2, -1, 2**31, 2**63, 2**70, 10**400, 1e308]))
_TEXTS = st.one_of(
    st.sampled_from(_SPECIAL), st.text(_LETTERS, max_size=20), st.text("./\\-_:,\0\n a", max_size=12), _BYTES
)
LEAVES = st.one_of(st.none(), st.booleans(), _NUMBERS, _TEXTS)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(_TEXTS, inner, max_size=4)),
    max_leaves=12,
)
_WORDS = st.lists(st.text(_ALPHANUMERIC, min_size=1, max_size=12), min_size=1, max_size=6)
NEW_NAMES = st.builds(str.join, st.sampled_from("._-"), _WORDS).filter(lambda name: 2 <= len(name) <= 76)
NAMES = st.one_of(_TEXTS, st.text(_LETTERS, max_size=300), NEW_NAMES, JSON)


# What the collection itself reads in a document: values there are replaced more often than others.
_READ = {
    *("HypervisorState", "Pid", "VirtiofsDaemonPid", "Type", "Config", "HypervisorType", "HypervisorConfig", "VMid"),
    *("ContainerConfigs", "Annotations", "SandboxContainer", "hypervisor", "hypervisor_type", "id", "pid"),
    *("virtiofs_daemon_pid", "sandbox", "goferPid", "bundleDir", "spec", "annotations", "root", "ID", "ProxyPid"),
}


def _places(content: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The keys that lead to each value in a document."""
    yield above
    for key in content if isinstance(content, dict) else range(len(content) if isinstance(content, list) else 0):
        yield from _places(content[key], (*above, key))


def _replaced(content: Any, place: tuple[Any, ...], value: Any) -> Any:
    if not place:
        return value
    copy: Any = list(content) if isinstance(content, list) else dict(content)
    copy[place[0]] = _replaced(content[place[0]], place[1:], value)
    return copy


def changed(content: Any, keep: bool = False) -> st.SearchStrategy[Any]:
    """A document with one value in it replaced. keep: the outermost value stays a mapping."""
    places = [place for place in _places(content) if place or not keep]
    read = [place for place in places if place and place[-1] in _READ] or places
    chosen = st.one_of(st.sampled_from(read), st.sampled_from(places))
    return st.builds(_replaced, st.just(content), chosen, JSON)


def mappings(content: Any) -> st.SearchStrategy[dict[str, Any]]:
    """Documents that are given to a module."""
    return st.one_of(changed(content, keep=True), st.dictionaries(_TEXTS, JSON, max_size=5))


def _twice(value: Any) -> bytes:
    """A mapping with each of its keys twice."""
    text = json.dumps(value)
    return f"{text[:-1]},{text[1:]}".encode()


def files(content: Any) -> st.SearchStrategy[bytes]:
    """What may be found where a document should be."""
    special = [
        b"", b" ", b"null", b"true", b"{}", b"[]", b"0", b'"x"', b"\xff\xfe", b"\xef\xbb\xbf{}", b"\0" * 4096,
        b"[" * 50_000, b'{"a":' * 20_000, b"9" * 5000, b'{"a":' + b"9" * 5000 + b"}", b'{"a":1e999}', b'{"a":NaN}',
        b'{"a":-Infinity}', b'{"id":"x","id":"y"}', b'{"\\ud800":"\\udfff"}', json.dumps(content).encode()[:-1],
    ]  # fmt: skip
    return st.one_of(
        st.sampled_from(special),
        st.binary(max_size=200),
        JSON.map(lambda value: json.dumps(value).encode()),
        changed(content).map(lambda value: json.dumps(value).encode()),
        changed(content).map(_twice),
    )
