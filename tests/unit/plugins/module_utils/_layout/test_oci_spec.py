# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import copy
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import InvalidInput
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.oci_spec import (
    annotation,
    bundle_mode,
    check_spec,
    mapped_gid,
    sandbox_ids,
    shim_group,
)

SMALLEST: dict[str, Any] = {
    "ociVersion": "1.0.2",
    "process": {"args": ["/bin/true"], "cwd": "/"},
    "root": {"path": "rootfs"},
}
MAPPING = {"containerID": 0, "hostID": 100000, "size": 65536}


def with_value(place: str, value: Any) -> dict[str, Any]:
    """The smallest spec with one value set, or taken away (...), at a place as "process.args"."""
    spec = copy.deepcopy(SMALLEST)
    *names, last = place.split(".")
    inner = spec
    for name in names:
        inner = inner.setdefault(name, {})
    if value is ...:
        del inner[last]
    else:
        inner[last] = value
    return spec


@pytest.mark.parametrize(
    "spec",
    [
        SMALLEST,
        with_value("ociVersion", "1.1.0-rc.1"),
        with_value("ociVersion", "1.0.2-dev"),
        with_value("ociVersion", "1.2.0+build.5"),
        with_value("root.path", "/var/lib/rootfs"),
        with_value("root.readonly", True),
        with_value("process.user", {"uid": 0, "gid": 4294967294, "additionalGids": [1]}),
        with_value("process.env", ["PATH=/bin", "EMPTY="]),
        with_value("process.env", []),
        with_value("process.env", None),
        with_value("process.terminal", False),
        with_value("process.args", [""]),
        with_value("hostname", ""),
        with_value("mounts", [{"destination": "/proc", "type": "proc", "source": "proc", "options": ["ro"]}]),
        with_value("mounts", None),
        with_value("annotations", {"a": "b"}),
        with_value("annotations", {}),
        with_value("linux", None),
        with_value("linux", {}),
        with_value("linux.namespaces", [{"type": "pid"}, {"type": "network", "path": "/proc/1/ns/net"}]),
        with_value("linux.cgroupsPath", "/a"),
        with_value("linux.resources", {"memory": {"limit": 1}}),
        with_value("linux.gidMappings", [MAPPING]),
        with_value("linux.gidMappings", [{**MAPPING, "hostID": 0, "size": 4294967295}]),
        with_value("linux.gidMappings", [{"containerID": 4294967294, "hostID": 4294967294, "size": 1}]),
        with_value("hooks", {"prestart": []}),
        with_value("unknownToUs", [1, 2]),
    ],
)
def test_what_a_runtime_takes(spec: dict[str, Any]) -> None:
    before = copy.deepcopy(spec)
    assert check_spec(spec, "spec") == before


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (None, "spec: it is null, not a mapping. It must be a mapping."),
        ([], "spec: it is a list, not a mapping. It must be a mapping."),
        ("text", "spec: it is a text, not a mapping. It must be a mapping."),
        ({}, "spec.ociVersion: it is missing. A runtime needs it; it is a text."),
        (with_value("ociVersion", None), "spec.ociVersion: it is missing. A runtime needs it; it is a text."),
        (with_value("ociVersion", 1.0), "spec.ociVersion: it is a number, not a text. Quote it."),
        (with_value("ociVersion", "1.0"), "spec.ociVersion: '1.0' is no version. Give one as \"1.0.2\"."),
        (with_value("ociVersion", "1.0.2\n"), "spec.ociVersion: '1.0.2\n' is no version. Give one as \"1.0.2\"."),
        (with_value("process", ...), "spec.process: it is missing. A runtime needs it; it is a mapping."),
        (with_value("process", ["/bin/true"]), "spec.process: it is a list, not a mapping. It must be a mapping."),
        (
            with_value("process.args", ...),
            "spec.process.args: there is no program to run. Give the program and its arguments.",
        ),
        (
            with_value("process.args", []),
            "spec.process.args: there is no program to run. Give the program and its arguments.",
        ),
        (with_value("process.args", "/bin/true"), "spec.process.args: it is a text, not a list. It must be a list."),
        (
            with_value("process.args", ["sleep", 100]),
            "spec.process.args[1]: it is a whole number, not a text. Quote it.",
        ),
        (with_value("process.args", ["sleep", True]), "spec.process.args[1]: it is a boolean, not a text. Quote it."),
        (
            with_value("process.args", ["sleep", None]),
            "spec.process.args[1]: it is null, not a text. It must be a text.",
        ),
        (with_value("process.cwd", ...), "spec.process.cwd: it is missing. A runtime needs it; it is a text."),
        (with_value("process.cwd", ""), "spec.process.cwd: '' is no absolute path. Give one, for example \"/\"."),
        (with_value("process.cwd", "a"), "spec.process.cwd: 'a' is no absolute path. Give one, for example \"/\"."),
        (with_value("process.env", {"A": "b"}), "spec.process.env: it is a mapping, not a list. It must be a list."),
        (with_value("process.env", ["A=b", 5]), "spec.process.env[1]: it is a whole number, not a text. Quote it."),
        (
            with_value("process.terminal", "yes"),
            "spec.process.terminal: it is a text, not a boolean. It must be a boolean.",
        ),
        (
            with_value("process.user", 0),
            "spec.process.user: it is a whole number, not a mapping. It must be a mapping.",
        ),
        (
            with_value("process.user", {"uid": "0"}),
            "spec.process.user.uid: '0' is no id or size. It is a whole number from 0 to 4294967294.",
        ),
        (
            with_value("process.user", {"gid": -1}),
            "spec.process.user.gid: -1 is no id or size. It is a whole number from 0 to 4294967294.",
        ),
        (with_value("root", ...), "spec.root: it is missing. A runtime needs it; it is a mapping."),
        (with_value("root", "rootfs"), "spec.root: it is a text, not a mapping. It must be a mapping."),
        (with_value("root", {}), "spec.root.path: it is missing. A runtime needs it; it is a text."),
        (
            with_value("root.path", ""),
            "spec.root.path: it names no directory. Give a path; a relative one is in the bundle.",
        ),
        (
            with_value("root.readonly", "true"),
            "spec.root.readonly: it is a text, not a boolean. It must be a boolean.",
        ),
        (with_value("hostname", 83), "spec.hostname: it is a whole number, not a text. Quote it."),
        (with_value("mounts", {}), "spec.mounts: it is a mapping, not a list. It must be a list."),
        (with_value("mounts", ["/proc"]), "spec.mounts[0]: it is a text, not a mapping. It must be a mapping."),
        (
            with_value("mounts", [{"type": "proc"}]),
            "spec.mounts[0].destination: it is missing. A runtime needs it; it is a text.",
        ),
        (
            with_value("mounts", [{"destination": "/a", "options": "ro"}]),
            "spec.mounts[0].options: it is a text, not a list. It must be a list.",
        ),
        (with_value("annotations", {"a": 1}), "spec.annotations.a: it is a whole number, not a text. Quote it."),
        (with_value("linux", []), "spec.linux: it is a list, not a mapping. It must be a mapping."),
        (with_value("linux.cgroupsPath", 7), "spec.linux.cgroupsPath: it is a whole number, not a text. Quote it."),
        (
            with_value("linux.resources", []),
            "spec.linux.resources: it is a list, not a mapping. It must be a mapping.",
        ),
        (
            with_value("linux.namespaces", [{}]),
            "spec.linux.namespaces[0].type: it is missing. A runtime needs it; it is a text.",
        ),
        (
            with_value("linux.gidMappings", [MAPPING, {**MAPPING, "hostID": "x"}]),
            "spec.linux.gidMappings[1].hostID: 'x' is no id or size. It is a whole number from 0 to 4294967294.",
        ),
        (
            with_value("linux.gidMappings", [{**MAPPING, "hostID": 2**32 - 1}]),
            "spec.linux.gidMappings[0].hostID: 4294967295 is no id or size. It is a whole number from 0 to 4294967294.",
        ),
        (
            with_value("linux.uidMappings", [{"containerID": 0, "hostID": 1}]),
            "spec.linux.uidMappings[0].size: None is no id or size. It is a whole number from 0 to 4294967295.",
        ),
        (
            with_value("linux.uidMappings", [{**MAPPING, "size": True}]),
            "spec.linux.uidMappings[0].size: True is no id or size. It is a whole number from 0 to 4294967295.",
        ),
    ],
)
def test_what_a_runtime_refuses_is_named_by_its_path(spec: Any, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_spec(spec, "spec")
    assert str(caught.value) == message


@pytest.mark.parametrize("place", ["process.args", "process.env"])
def test_promise_8_a_value_that_may_be_secret_is_not_shown(place: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_spec(with_value(place, ["--pin", 987654]), "spec")
    assert "987654" not in str(caught.value)


CRI, CRIO, GROUP = "io.kubernetes.cri.sandbox-id", "io.kubernetes.cri-o.SandboxID", "io.containerd.runc.v2.group"
BROKEN: list[Any] = [
    None,
    [],
    "text",
    7,
    {"annotations": None},
    {"annotations": ["a"]},
    {"annotations": {CRI: 7, GROUP: None}},
]


@pytest.mark.parametrize(
    ("annotations", "ids"),
    [
        ({}, ()),
        ({CRI: "pod-1"}, ("pod-1",)),
        ({CRIO: "pod-1"}, ("pod-1",)),
        ({CRI: "pod-1", CRIO: "pod-1"}, ("pod-1",)),
        ({CRI: "pod-1", CRIO: "pod-2"}, ("pod-1", "pod-2")),
        ({CRI: "", CRIO: "pod-2"}, ("pod-2",)),
        ({GROUP: "group"}, ()),
        ({"io.kubernetes.cri.sandbox-name": "web"}, ()),
    ],
)
def test_A6_sandbox_ids(annotations: dict[str, str], ids: tuple[str, ...]) -> None:
    assert sandbox_ids({"annotations": annotations}) == ids


@pytest.mark.parametrize(
    ("annotations", "group"),
    [
        ({}, None),
        ({CRI: "pod-1"}, "pod-1"),
        ({CRIO: "pod-1"}, None),
        ({GROUP: "group"}, "group"),
        ({GROUP: "group", CRI: "pod-1"}, "group"),
        ({GROUP: "", CRI: "pod-1"}, ""),
    ],
)
def test_A6_shim_group(annotations: dict[str, str], group: str | None) -> None:
    assert shim_group({"annotations": annotations}) == group


@pytest.mark.parametrize("spec", BROKEN, ids=repr)
def test_a_wrong_spec_of_others_says_nothing(spec: Any) -> None:
    assert sandbox_ids(spec) == ()
    assert not shim_group(spec)
    assert annotation(spec, CRI) == ""
    assert mapped_gid(spec) == 0


@pytest.mark.parametrize(
    ("mappings", "gid"),
    [
        (None, 0),
        ([], 0),
        ([MAPPING], 100000),
        ([{**MAPPING, "containerID": 5}], 0),
        ([{**MAPPING, "containerID": 5}, MAPPING], 100000),
        ([{**MAPPING, "hostID": 0}, MAPPING], 0),
        ([{"hostID": 7, "size": 1}], 7),
        ([{**MAPPING, "hostID": "7"}], 0),
        ([{**MAPPING, "hostID": 2**32}], 0),
        ([{**MAPPING, "hostID": 2**32 - 1}], 0),  # chown takes it as "leave it"
        (["text", MAPPING], 100000),
        ("text", 0),
    ],
)
def test_C10_the_mode_of_a_bundle_follows_the_mapped_gid(mappings: Any, gid: int) -> None:
    spec = {"linux": {"gidMappings": mappings}}
    assert mapped_gid(spec) == gid
    assert bundle_mode(spec) == (0o710 if gid else 0o700)
