# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import InvalidInput
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import (
    Document,
    Reading,
    RecordedProcess,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.kata import inside, list_of, recorded
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._layout.support_kata import (
    KATA,
    layout_of,
    roots_of,
)


def reading_of(**documents: Any) -> Reading:
    """A sandbox "s1" with these documents; a name like persist__app is that of the container "app"."""
    found = []
    for name, content in documents.items():
        document, _between, container_id = name.partition("__")
        found.append(Document(document, container_id, f"/p/{name}", content))
    return Reading("s1", documents=tuple(found), containers=("app",))


# The documents in which each layout keeps a pid, and the process that it is (kata-*.md, Files and JSON fields).
PIDS: list[tuple[str, str, Any, str, str]] = [
    ("kata_store", "agent", {"ProxyPid": "?"}, "proxy", ""),
    ("kata_store", "hypervisor", {"VirtiofsdPid": "?"}, "virtiofsd", ""),
    ("kata_store", "process__app", {"Pid": "?"}, "shim", "app"),
    ("kata_persist", "persist", {"HypervisorState": {"Pid": "?"}}, "hypervisor", ""),
    ("kata_persist", "persist", {"HypervisorState": {"VirtiofsDaemonPid": "?"}}, "virtiofsd", ""),
    ("kata_persist", "persist", {"HypervisorState": {"VirtiofsdPid": "?"}}, "virtiofsd", ""),
    ("kata_persist", "persist__app", {"Process": {"Pid": "?"}}, "shim", "app"),
    ("kata_rs", "state", {"hypervisor": {"pid": "?"}}, "hypervisor", ""),
    ("kata_rs", "state", {"hypervisor": {"virtiofs_daemon_pid": "?"}}, "virtiofsd", ""),
]
IDS = [f"{layout} {document} {role}" for layout, document, _content, role, _container in PIDS]


def filled(content: Any, value: Any) -> Any:
    """The content with the value in the place of its pid."""
    if isinstance(content, dict):
        return {key: filled(element, value) for key, element in content.items()}
    return value


@pytest.mark.parametrize(("layout", "document", "content", "role", "container_id"), PIDS, ids=IDS)
def test_A7_the_processes_that_documents_record(
    layout: str, document: str, content: Any, role: str, container_id: str
) -> None:
    found = layout_of(layout).recorded_processes(reading_of(**{document: filled(content, 4711)}))
    assert found == [RecordedProcess(role, 4711, container_id)]


FOREIGN = [0, -1, None, True, False, "4711", 4711.0, [], [4711], {}, {"Pid": 4711}]


@pytest.mark.parametrize(("layout", "document", "content", "role", "container_id"), PIDS, ids=IDS)
def test_promise_7_a_foreign_value_is_no_pid_and_no_traceback(
    layout: str, document: str, content: Any, role: str, container_id: str
) -> None:
    kata = layout_of(layout)
    for value in FOREIGN:
        assert kata.recorded_processes(reading_of(**{document: filled(content, value)})) == []
    for value in (None, [], 1.5, "text", {}):
        for key in content:
            reading = reading_of(**{document: {key: value}})
            assert kata.recorded_processes(reading) == []
            assert kata.referrers(reading) == [] and kata.aliases(list(reading.documents)) == frozenset()


@pytest.mark.parametrize("content", [None, [], [1], "text", 7, True])
@pytest.mark.parametrize("layout", KATA)
def test_promise_7_a_document_of_another_kind_says_nothing(layout: str, content: Any) -> None:
    kata = layout_of(layout)
    reading = reading_of(**{rule.name: content for rule in kata.documents})
    assert [*kata.recorded_processes(reading), *kata.doubts(reading), *kata.referrers(reading)] == []
    assert kata.aliases(list(reading.documents)) == frozenset()


def test_A7_one_process_is_recorded_once_and_pid_files_count_too() -> None:
    reading = reading_of(
        persist={"HypervisorState": {"Pid": 5, "VirtiofsDaemonPid": 5}}, persist__app={"Process": {"Pid": 5}}
    )._replace(pids=(RecordedProcess("hypervisor", 5, ""), RecordedProcess("hypervisor", 6, "")))
    assert [one.pid for one in layout_of("kata_persist").recorded_processes(reading)] == [5, 6]


@pytest.mark.parametrize(
    ("kind", "doubt"),
    [
        ("qemu", ""),
        ("clh", ""),
        ("firecracker", ""),
        ("", ""),
        ("remote", "its hypervisor is remote, whose machine runs elsewhere"),
        ("dragonball", "its hypervisor is dragonball, which runs inside the shim"),
    ],
)
@pytest.mark.parametrize(
    ("layout", "document", "content"),
    [
        ("kata_store", "config", {"HypervisorType": "?"}),
        ("kata_persist", "persist", {"Config": {"HypervisorType": "?"}}),
        ("kata_persist", "persist", {"HypervisorState": {"Type": "?"}}),
        ("kata_rs", "state", {"hypervisor": {"hypervisor_type": "?"}}),
    ],
)
def test_A7_a_hypervisor_without_a_process_of_its_own_leaves_the_owner_unknown(
    layout: str, document: str, content: Any, kind: str, doubt: str
) -> None:
    reading = reading_of(**{document: filled(content, kind)})
    assert layout_of(layout).doubts(reading) == ([doubt] if doubt else [])


def test_A7_a_containers_document_does_not_tell_the_hypervisor() -> None:
    assert layout_of("kata_persist").doubts(reading_of(persist__app={"Config": {"HypervisorType": "remote"}})) == []
    assert layout_of("kata_store").doubts(reading_of(config__app={"HypervisorType": "remote"})) == []


CONTAINERD = "/run/containerd/io.containerd.runtime.v2.task/k8s.io/s1"
CRIO = "/var/run/containers/storage/overlay-containers/s1/userdata"
OCI = "io.katacontainers.pkg.oci.bundle_path"
OLD_OCI = "com.github.containers.virtcontainers.pkg.oci.bundle_path"


@pytest.mark.parametrize("path", [CONTAINERD, CRIO])
@pytest.mark.parametrize(
    ("layout", "document", "content"),
    [
        ("kata_store", "config", {"Annotations": {OLD_OCI: "?"}}),
        ("kata_store", "config", {"Containers": [{"Annotations": {OLD_OCI: "?"}}]}),
        ("kata_store", "config__app", {"Annotations": {OCI: "?"}}),
        ("kata_persist", "persist__app", {"BundlePath": "?"}),
        ("kata_persist", "persist", {"Config": {"ContainerConfigs": [{"Annotations": {OCI: "?"}}]}}),
    ],
)
def test_A4_the_bundles_that_documents_name(layout: str, document: str, content: Any, path: str) -> None:
    def with_path(value: Any) -> Any:
        if isinstance(value, list):
            return [with_path(element) for element in value]
        return {key: with_path(element) for key, element in value.items()} if isinstance(value, dict) else path

    assert layout_of(layout).referrers(reading_of(**{document: with_path(content)})) == [path]


@pytest.mark.parametrize("path", ["/srv/bundles/s1", "io.containerd.runtime.v2.task/s1", "", None, 7, ["/run"], {}])
def test_A4_a_bundle_of_nobody_is_no_engines(path: Any) -> None:
    """runc's caller may have any directory; only an engine's own place means that it knows the sandbox."""
    assert layout_of("kata_persist").referrers(reading_of(persist__app={"BundlePath": path})) == []


@pytest.mark.parametrize(
    ("layout", "document", "content"),
    [
        ("kata_store", "config", {"HypervisorConfig": {"VMid": "?"}}),
        ("kata_persist", "persist", {"Config": {"HypervisorConfig": {"VMid": "?"}}}),
    ],
)
def test_R6_the_machine_of_a_factory_has_another_name(layout: str, document: str, content: Any) -> None:
    kata = layout_of(layout)
    for value, names in (("vm-1", {"vm-1"}), ("", set()), (["vm-1"], set()), ({}, set()), (7, set()), (None, set())):
        assert kata.aliases(list(reading_of(**{document: filled(content, value)}).documents)) == names


# Which documents each level has (kata-store.md, Files and JSON fields; design.md): S a sandbox, C a container.
LEVELS = {
    "kata_store": {
        "config": "SC",
        "state": "SC",
        "network": "S",
        "hypervisor": "S",
        "agent": "S",
        "process": "C",
        "mounts": "C",
        "devices": "SC",
    },
    "kata_persist": {"persist": "SC"},
    "kata_rs": {"state": "S"},
}


@pytest.mark.parametrize("layout", KATA)
def test_the_levels_of_all_documents(layout: str) -> None:
    kata = layout_of(layout)
    assert [rule.name for rule in kata.documents] == list(LEVELS[layout])
    for name, levels in LEVELS[layout].items():
        content: Any = [] if kata.rule_of(name).is_list else {}
        for level, container_id, other in (("S", "", "container"), ("C", "app", "sandbox")):
            if level in levels:
                kata.check_document(name, content, "s1", container_id)
                continue
            with pytest.raises(InvalidInput) as caught:
                kata.check_document(name, content, "s1", container_id)
            here = "sandbox" if level == "S" else "container"
            assert str(caught.value) == (
                f"documents.{name}: a {here} has no such document, only a {other} has. Leave it out."
            )


@pytest.mark.parametrize(
    ("layout", "document", "content", "container_id", "wrong"),
    [
        ("kata_store", "config", {"ID": "?"}, "", "ID"),
        ("kata_store", "config", {"ID": "?"}, "app", "ID"),
        ("kata_persist", "persist", {"SandboxContainer": "?"}, "", "SandboxContainer"),
        ("kata_rs", "state", {"hypervisor": {"id": "?"}}, "", "hypervisor.id"),
    ],
)
def test_a_document_must_be_its_own_objects(
    layout: str, document: str, content: Any, container_id: str, wrong: str
) -> None:
    kata = layout_of(layout)
    own = container_id or "s1"
    accepted: list[Any] = [own, None]
    for value in accepted:
        kata.check_document(document, filled(content, value), "s1", container_id)
    kata.check_document(document, {}, "s1", container_id)
    refused: list[Any] = ["other", "", 7, [own]]
    for value in refused:
        with pytest.raises(InvalidInput, match=f"^documents.{document}: its {wrong} is '.*', and it is for '{own}'"):
            kata.check_document(document, filled(content, value), "s1", container_id)


def test_a_containers_persist_json_does_not_name_it() -> None:
    """SandboxContainer is a sandbox's key; a container that has it for whatever reason is not judged by it."""
    layout_of("kata_persist").check_document("persist", {"SandboxContainer": "other"}, "s1", "app")


def test_A8_the_tokens_by_which_processes_are_found() -> None:
    reading = Reading("s" * 40, containers=("app",), aliases=frozenset({"vm-1"}))
    for layout, cut in (("kata_store", {"s" * 32}), ("kata_persist", {"s" * 32}), ("kata_rs", set())):
        with roots_of(layout, Path("/")) as roots:
            assert layout_of(layout).tokens(roots, reading) == {"s" * 40, "app", "vm-1"} | cut


@pytest.mark.parametrize(
    ("content", "keys", "found"),
    [
        ({"a": {"b": 1}}, ("a", "b"), 1),
        ({"a": {"b": None}}, ("a", "b"), None),
        ({"a": [1]}, ("a", "b"), None),
        ({"a": "b"}, ("a", "b"), None),
        ({}, ("a", "b"), None),
        ([], ("a",), None),
        (None, ("a",), None),
        ({"a": 1}, (), {"a": 1}),
    ],
)
def test_a_value_at_a_path_of_keys(content: Any, keys: tuple[str, ...], found: Any) -> None:
    assert inside(content, *keys) == found


def test_a_list_or_nothing() -> None:
    others: list[Any] = [None, {}, "ab", 7]
    assert list_of([1]) == [1] and [list_of(value) for value in others] == [[]] * 4


def test_recorded_keeps_the_order_of_what_is_a_pid() -> None:
    found = recorded(("a", 2, ""), ("b", 0, ""), ("c", 1, "x"), ("d", True, ""))
    assert found == [RecordedProcess("a", 2, ""), RecordedProcess("c", 1, "x")]
