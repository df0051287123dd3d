# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
from itertools import product
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import InvalidInput
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.mounts import parse_mountinfo
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.cgroup_hierarchies import (
    Hierarchy,
    hierarchies,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.cgroup_paths import to_find, to_make

ROW = "{} 1 0:{} {} {} rw - {} none rw{}\n"
# A systemd host with v1: cpu and cpuacct share a hierarchy, v2 is mounted beside them.
V1_TEXT = "".join(
    [
        ROW.format(10, 50, "/", "/sys/fs/cgroup", "tmpfs", ",mode=755"),
        ROW.format(11, 51, "/", "/sys/fs/cgroup/unified", "cgroup2", ",nsdelegate"),
        ROW.format(12, 52, "/", "/sys/fs/cgroup/systemd", "cgroup", ",xattr,release_agent=/x,name=systemd"),
        ROW.format(13, 53, "/", "/sys/fs/cgroup/cpu,cpuacct", "cgroup", ",cpu,cpuacct"),
        ROW.format(14, 54, "/", "/sys/fs/cgroup/memory", "cgroup", ",memory"),
        ROW.format(15, 55, "/", "/sys/fs/cgroup/blkio", "cgroup", ",blkio"),
        ROW.format(16, 56, "/", "/sys/fs/cgroup/pids", "cgroup", ",pids"),
        ROW.format(17, 57, "/", "/sys/fs/cgroup/net_cls,net_prio", "cgroup", ",net_cls,net_prio,clone_children"),
    ]
)
V2_TEXT = ROW.format(11, 51, "/", "/sys/fs/cgroup", "cgroup2", ",nsdelegate,memory_recursiveprot")


def of(text: str) -> tuple[Hierarchy, ...]:
    return hierarchies(parse_mountinfo(text))


V1, V2 = of(V1_TEXT), of(V2_TEXT)
ALL: dict[str, Any] = {"memory": {}, "cpu": {}, "pids": {}, "blockIO": {}}
CG = "/sys/fs/cgroup"


def spec(path: Any = None, resources: Any = ..., **more: Any) -> dict[str, Any]:
    linux = {"cgroupsPath": path, "resources": ALL if resources is ... else resources}
    return {"linux": {key: value for key, value in linux.items() if value is not None}, **more}


def test_CG4_hierarchies_of_a_v1_host() -> None:
    assert list(V1) == [
        Hierarchy(("name=systemd",), f"{CG}/systemd"),
        Hierarchy(("cpu", "cpuacct"), f"{CG}/cpu,cpuacct"),
        Hierarchy(("memory",), f"{CG}/memory"),
        Hierarchy(("blkio",), f"{CG}/blkio"),
        Hierarchy(("pids",), f"{CG}/pids"),
        Hierarchy(("net_cls", "net_prio"), f"{CG}/net_cls,net_prio"),
        Hierarchy(("unified",), f"{CG}/unified"),
    ]


def test_CG4_hierarchies_of_a_v2_host_and_of_none() -> None:
    assert list(V2) == [Hierarchy(("unified",), CG)]
    assert V2[0].unified
    assert of(ROW.format(10, 50, "/", "/run", "tmpfs", "")) == ()


def test_CG7_one_hierarchy_under_two_names_counts_once() -> None:
    text = ROW.format(13, 53, "/", f"{CG}/cpu", "cgroup", ",cpu,cpuacct")
    text += ROW.format(14, 53, "/", f"{CG}/cpuacct", "cgroup", ",cpu,cpuacct")
    assert of(text) == (Hierarchy(("cpu", "cpuacct"), f"{CG}/cpu"),)


@pytest.mark.parametrize("first", [True, False])
def test_CG2_a_containers_view_of_a_hierarchy_is_not_the_hosts(first: bool) -> None:
    inner = ROW.format(40, 54, "/default/a5", "/run/b/a5/rootfs/sys/fs/cgroup/memory", "cgroup", ",memory")
    assert set(of(inner + V1_TEXT if first else V1_TEXT + inner)) == set(V1)
    above = ROW.format(40, 54, "/../..", f"{CG}/old", "cgroup", ",memory")
    assert of(above + V1_TEXT) == V1
    gone = ROW.format(40, 54, "//deleted", "/run/b/a5/rootfs/x", "cgroup", ",memory")
    assert of(gone + V1_TEXT) == V1


@pytest.mark.parametrize(
    ("resources", "names"),
    [
        (ALL, ["cpu,cpuacct", "memory", "blkio", "pids"]),
        ({"memory": {"limit": 1}}, ["memory"]),
        ({"cpu": {}}, ["cpu,cpuacct"]),
        ({"pids": {"limit": 0}, "blockIO": {}}, ["blkio", "pids"]),
        ({"memory": None, "network": {}, "devices": [], "hugepageLimits": []}, []),
        ({}, []),
        (None, []),
        ("text", []),
    ],
)
@pytest.mark.parametrize("path", ["/kata/a5", "kata/a5", "/kata//./a5/", "kata/b/../a5"])
def test_to_make_on_v1_is_one_for_each_controller_that_resources_name(
    path: str, resources: Any, names: list[str]
) -> None:
    found = to_make(spec(path, resources), V1)
    assert [one.path for one in found] == [f"{CG}/{name}/kata/a5" for name in names]
    assert all(one.place.form == "plain" and one.carries("a5") for one in found)


@pytest.mark.parametrize(
    ("resources", "paths"), [(ALL, [f"{CG}/kata/a5"]), ({"pids": {}}, [f"{CG}/kata/a5"]), ({}, []), (None, [])]
)
def test_to_make_on_v2_is_one_directory(resources: Any, paths: list[str]) -> None:
    assert [one.path for one in to_make(spec("/kata/a5", resources), V2)] == paths


def test_to_make_where_v1_only_keeps_the_names_of_systemd() -> None:
    text = ROW.format(12, 52, "/", f"{CG}/systemd", "cgroup", ",name=systemd")
    text += ROW.format(11, 51, "/", f"{CG}/unified", "cgroup2", "")
    assert [one.path for one in to_make(spec("/kata/a5"), of(text))] == [f"{CG}/unified/kata/a5"]


@pytest.mark.parametrize("given", [{}, {"linux": None}, {"linux": {}}, spec(), spec(""), {"linux": {"resources": ALL}}])
def test_to_make_nothing_without_a_path(given: dict[str, Any]) -> None:
    assert to_make(given, V1) == ()


def test_CG2_the_containers_own_cgroup_mount_decides_nothing() -> None:
    mounted = spec("/kata/a5", mounts=[{"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup"}])
    assert to_make(mounted, V1) == to_make(spec("/kata/a5"), V1)


SYSTEMD = [
    ("system.slice:docker:a5", "/system.slice/docker-a5.scope"),
    ("a-b-c.slice:runc:a5", "/a.slice/a-b.slice/a-b-c.slice/runc-a5.scope"),
    (
        "kubepods-burstable-pod1_2.slice:cri-containerd:a5",
        "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1_2.slice/cri-containerd-a5.scope",
    ),
    ("-.slice:runc:a5", "/runc-a5.scope"),
    ("user.slice:runc:a5.slice", "/user.slice/a5.slice"),
    ("system.slice::a5", "/system.slice/-a5.scope"),
]


@pytest.mark.parametrize(("path", "inside"), SYSTEMD)
def test_CG5_the_systemd_form_is_expanded(path: str, inside: str) -> None:
    assert [one.path for one in to_make(spec(path), V2)] == [CG + inside]
    found = to_find(spec(path), "a5", "", V2)
    assert found[0].place.inside == inside
    assert found[0].place.form == "scope"


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/../a5", "leads out of the cgroup tree"),
        ("..", "leads out of the cgroup tree"),
        ("../../etc/a5", "leads out of the cgroup tree"),
        ("/a/../../a5", "leads out of the cgroup tree"),
        ("/", "is no cgroup of its own"),
        (".", "is no cgroup of its own"),
        ("a/..", "is no cgroup of its own"),
        ("//", "is no cgroup of its own"),
        ("a\0b", "has a control character"),
        ("a\nb", "has a control character"),
        ("a\udc80", "has a control character or is not valid Unicode"),
        ("x" * 256, "is too long for a name"),
        ("a--b.slice:runc:a5", "is no name of a slice"),
        ("-a.slice:runc:a5", "is no name of a slice"),
        (".slice:runc:a5", "is no name of a slice"),
        ("a.slice:runc:", "is no systemd form"),
        ("a.slice:runc:../a5", "is no systemd form"),
        (f"a.slice:runc:{'x' * 250}", "is too long for a name"),
        (7, "it is a int, not a text"),
        (["a"], "it is a list, not a text"),
    ],
)
def test_CG3_a_path_that_leads_outside_is_refused(path: Any, why: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        to_make(spec(path), V1)
    assert why in caught.value.why
    assert caught.value.where == "linux.cgroupsPath"


def inside(path: str, sandbox_id: str = "", bases: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    return [(one.place.form, one.place.inside) for one in to_find(spec(path), "a5", sandbox_id, V2, bases)]


@pytest.mark.parametrize(
    ("path", "bases", "found"),
    [
        ("", (), [("scope", "/system.slice/runc-a5.scope")]),
        ("/default/a5", (), [("plain", "/default/a5"), ("kata", "/default/kata_a5"),
                             ("kata", "/kata/default/kata_a5")]),
        ("/a5", (), [("plain", "/a5"), ("kata", "/kata_a5"), ("kata", "/kata/kata_a5")]),
        ("b/a5", (), [("plain", "/b/a5"), ("kata", "/vc/b/kata_a5"), ("kata", "/kata/vc/b/kata_a5")]),
        (
            "a5",
            ("/system.slice", "/"),
            [("plain", "/a5"), ("plain", "/system.slice/a5"), ("kata", "/vc/kata_a5"), ("kata", "/kata/vc/kata_a5")],
        ),
        (
            "system.slice:docker:a5",
            (),
            [
                ("scope", "/system.slice/docker-a5.scope"),
                ("literal", "/system.slice:docker:a5"),
                ("kata", "/vc/kata_system.slice:docker:a5"),
                ("kata", "/kata/vc/kata_system.slice:docker:a5"),
            ],
        ),
        (
            ":runc:a5",
            (),
            [
                ("scope", "/system.slice/runc-a5.scope"),
                ("literal", "/:runc:a5"),
                ("kata", "/vc/kata_:runc:a5"),
                ("kata", "/kata/vc/kata_:runc:a5"),
            ],
        ),
        # No systemd would take these; a runtime that did not understand them has made a directory all the same.
        (
            "a--b.slice:x:a5",
            (),
            [
                ("literal", "/a--b.slice:x:a5"),
                ("kata", "/vc/kata_a--b.slice:x:a5"),
                ("kata", "/kata/vc/kata_a--b.slice:x:a5"),
            ],
        ),
        ("a:b", (), [("plain", "/a:b"), ("kata", "/vc/kata_a:b"), ("kata", "/kata/vc/kata_a:b")]),
        (
            "/system.slice:docker:a5",
            (),
            [
                ("plain", "/system.slice:docker:a5"),
                ("kata", "/kata_system.slice:docker:a5"),
                ("kata", "/kata/kata_system.slice:docker:a5"),
            ],
        ),
    ],
)  # fmt: skip
def test_to_find_is_all_that_a_runtime_may_have_made(
    path: str, bases: tuple[str, ...], found: list[tuple[str, str]]
) -> None:
    assert inside(path, bases=bases) == found


def test_R10_katas_overhead_is_looked_for_where_the_sandbox_is_known() -> None:
    assert inside("/default/a5", "pod-1")[-3:] == [
        ("overhead", "/kata_overhead/pod-1"),
        ("overhead", "/kata.slice/kata-overhead.slice/runtime-rs-pod-1.scope"),
        ("literal", "/kata-overhead.slice:runtime-rs:pod-1"),
    ]


def test_P27_every_hierarchy_is_looked_in_once() -> None:
    """kata#9953: not only in those that resources name."""
    found = to_find(spec("/default/a5", {}), "a5", "", V1)
    assert len({one.path for one in found}) == len(found) == 3 * len(V1)
    assert f"{CG}/cpu,cpuacct/default/a5" in [one.path for one in found]
    assert f"{CG}/systemd/default/a5" in [one.path for one in found]


@pytest.mark.parametrize(
    ("path", "object_id", "sandbox_id", "carrying"),
    [
        ("/default/a5", "a5", "", ["/default/a5", "/default/kata_a5", "/kata/default/kata_a5"]),
        ("/default/a5", "5", "", []),
        ("/default/a5", "default", "", []),
        ("/a5/init", "a5", "", []),
        ("/libpod-a5", "a5", "", []),
        ("", "a5", "", ["/system.slice/runc-a5.scope"]),
        ("s.slice:runc:web-1", "1", "", []),
        ("s.slice:runc:web-1", "runc-web-1", "", []),
        (
            "s.slice:runc:web-1",
            "web-1",
            "",
            ["/s.slice/runc-web-1.scope", "/s.slice:runc:web-1", "/vc/kata_s.slice:runc:web-1",
             "/kata/vc/kata_s.slice:runc:web-1"],
        ),
        (
            "s.slice:runc:x.slice",
            "x.slice",
            "",
            ["/s.slice/x.slice", "/s.slice:runc:x.slice", "/vc/kata_s.slice:runc:x.slice",
             "/kata/vc/kata_s.slice:runc:x.slice"],
        ),
        (
            "/default/a5",
            "pod-1",
            "pod-1",
            ["/kata_overhead/pod-1", "/kata.slice/kata-overhead.slice/runtime-rs-pod-1.scope",
             "/kata-overhead.slice:runtime-rs:pod-1"],
        ),
        ("/default/a5", "", "", []),
    ],
)  # fmt: skip
def test_D7_only_a_leaf_with_the_id_in_its_own_place_carries_it(
    path: str, object_id: str, sandbox_id: str, carrying: list[str]
) -> None:
    found = to_find(spec(path), object_id, sandbox_id, V2)
    assert [one.place.inside for one in found if one.carries(object_id)] == carrying


@pytest.mark.parametrize(
    ("path", "carries"),
    [
        ("/kubepods", False),
        ("/kubepods/besteffort", False),
        ("/kubepods.slice/kubepods-burstable.slice", False),
        ("/kubepods/burstable", False),
        ("/kata_overhead", False),
        ("/init.scope", False),
        ("/system.slice", False),
        ("/user.slice/user-0.slice", False),
        ("/system.slice/containerd.service", False),
        ("/kubepods/web-1", True),
        ("/kubepods/my-kubepods", True),
        ("/system.slice/web.scope", True),
    ],
)
def test_D7_what_engines_and_systemd_have_of_their_own_is_no_containers(path: str, carries: bool) -> None:
    name = path.rpartition("/")[2]
    found = {one.place.inside: one.carries(name) for one in to_find(spec(path), name, "", V2)}
    assert found[path] is carries


PIECES = ["", "/", "..", ".", "a", "a5", ":", ".slice", "-", "x.slice:y:z", "kata_", " ", "é"]


def test_CG3_nothing_is_ever_outside_of_its_hierarchy() -> None:
    """Every text of up to three pieces is refused, or leads to directories that are really below their mount."""
    accepted = 0
    for pieces in product(PIECES, repeat=3):
        given = spec("".join(pieces))
        try:
            found = to_find(given, "a5", "pod-1", V2, ("/system.slice",)) + to_make(given, V2)
        except InvalidInput:
            continue
        accepted += 1
        for one in found:
            assert one.path.startswith(CG + "/")
            assert os.path.normpath(one.path) == one.path
    assert accepted > 500
