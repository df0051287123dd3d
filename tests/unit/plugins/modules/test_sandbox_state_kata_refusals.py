# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._basis import support_mounts as support
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._layout.support_kata import (
    KATA,
    NAME,
    SANDBOX,
    SHARE,
    make,
    put,
    state_of,
    titled,
)
from ansible_collections.sandboxed.containers.tests.unit.plugins.modules.support_sandbox_state import (
    ABSENT,
    Options,
    call,
    of_container,
    of_sandbox,
    ok,
    refusal,
    two,
)


@pytest.mark.parametrize("layout", KATA)
def test_refusals_of_something_new(tmp_path: Path, layout: str) -> None:
    label = f"Sandbox '{NAME}' ({layout})"
    first = next(iter(SANDBOX[layout]))
    assert refusal(tmp_path, layout, sandbox_id=NAME) == (
        f"{label}: it does not exist, and there is nothing to make it from. Give documents.{first}."
    )
    key, inside = {
        "kata_store": ("ID", {"ID": "other"}),
        "kata_persist": ("SandboxContainer", {"SandboxContainer": "other"}),
        "kata_rs": ("hypervisor.id", {"hypervisor": {"id": "other"}}),
    }[layout]
    documents = {**SANDBOX[layout], first: inside}
    assert refusal(tmp_path, layout, sandbox_id=NAME, documents=documents) == (
        f"{label}: documents.{first}: its {key} is 'other', and it is for '{NAME}'. Make the two the same."
    )
    assert refusal(tmp_path, layout, sandbox_id="a__b", documents=SANDBOX[layout]) == (
        f"Sandbox 'a__b' ({layout}): sandbox_id: 'a__b' cannot be the name of something new. A new name has 2 to 76 "
        "letters (A-Z, a-z) and digits, with single '.', '_' or '-' between them: what every runtime accepts."
    )


@pytest.mark.parametrize("layout", ["kata_store", "kata_persist"])
def test_refusals_of_a_container(tmp_path: Path, layout: str) -> None:
    assert refusal(tmp_path, layout, **of_container(layout)) == (
        f"Container 'app-1' of sandbox '{NAME}' ({layout}): sandbox '{NAME}' does not exist. Make it first; one task "
        "with sandboxes can do both."
    )


def test_refusals_of_documents_of_the_wrong_level(tmp_path: Path) -> None:
    make("kata_store", tmp_path, containers=("app-1",))
    assert refusal(tmp_path, "kata_store", sandbox_id=NAME, documents={"process": {"Pid": 1}}) == (
        f"Sandbox '{NAME}' (kata_store): documents.process: a sandbox has no such document, only a container has. "
        "Leave it out."
    )
    assert refusal(tmp_path, "kata_store", sandbox_id=NAME, container_id="app-1", documents={"agent": {}}) == (
        f"Container 'app-1' of sandbox '{NAME}' (kata_store): documents.agent: a container has no such document, only "
        "a sandbox has. Leave it out."
    )
    assert refusal(
        tmp_path, "kata_store", sandbox_id=NAME, documents={"devices": [{"ID": "d", "ContainerPath": "/"}]}
    ) == (
        f"Sandbox '{NAME}' (kata_store): documents.devices[0]: a sandbox's device has Type and Data, and this one has "
        "no Type. Give the list of the right level."
    )


@pytest.mark.parametrize("layout", KATA)
def test_refusals_of_a_live_sandbox(tmp_path: Path, layout: str) -> None:
    make(layout, tmp_path)
    label = f"Sandbox '{NAME}' ({layout}) is in use: virtiofsd (pid "
    with titled("virtiofsd", f"--shared-dir={tmp_path}/{SHARE}/{NAME}/shared", "--fd=3") as child:
        text = refusal(tmp_path, layout, **ABSENT)
        assert text.startswith(f"{label}{child.pid}, running since ") and text.endswith(
            ") serves its files. Stop the container first, or set stop_processes=true to stop it here."
        )
        assert refusal(tmp_path, layout, **ABSENT, force=True) == text, "force never overrides a live owner"
        text = refusal(tmp_path, layout, **of_sandbox(layout, more=1))
        assert text.endswith(") serves its files. Stop the container first. Nothing was changed.")
        assert ok(call(tmp_path, layout, **of_sandbox(layout))).actions == ["unchanged"]


@pytest.mark.parametrize("layout", KATA)
def test_refusals_of_what_is_not_proved(tmp_path: Path, layout: str) -> None:
    make(layout, tmp_path)
    assert refusal(tmp_path, layout, **ABSENT, sees_all_processes=False) == (
        f"Sandbox '{NAME}' ({layout}): it may still have an owner: sees_all_processes=false says that some processes "
        "are not visible here. Run as root if you did not; set force=true only if you know that it is dead. Nothing "
        "was removed."
    )
    (tmp_path / f"run/containerd/io.containerd.runtime.v2.task/k8s.io/{NAME}").mkdir(parents=True)
    assert "its engine may still know it: the bundle " in refusal(tmp_path, layout, **ABSENT)
    put(tmp_path / SHARE / NAME / "x")
    text = refusal(tmp_path, layout, **ABSENT, force=True)
    assert text.startswith(
        f"Sandbox '{NAME}' ({layout}): {tmp_path}/{SHARE}/{NAME} belongs to it, and it is not proved "
    )
    assert text.endswith("force does not override this. Nothing was removed.")


@pytest.mark.parametrize(("layout", "name"), [("kata_store", "lock"), ("kata_persist", ".")])
def test_refusals_of_a_locked_sandbox_do_not_stop_the_others(tmp_path: Path, layout: str, name: str) -> None:
    two(tmp_path, layout)
    state = state_of(layout, tmp_path)

    def hold() -> None:
        fcntl.flock(os.open(state / name, os.O_RDONLY), fcntl.LOCK_EX)

    with support.another_process(hold) as pid:
        result = call(tmp_path, layout, sandbox_id=[NAME, f"{NAME}-2"], state="absent")
    assert result.actions == ["failed", "deleted"] and result.value["changed"] is True
    path = f"{state}/lock" if name == "lock" else str(state)
    assert result.msg.startswith(f"1 of 2 sandboxes failed, 1 changed. Sandbox '{NAME}' ({layout}): the lock {path} is")
    assert f"(pid {pid}, running since " in result.msg and "this task has waited 0.2 s" in result.msg
    assert state.exists() and not state_of(layout, tmp_path, f"{NAME}-2").exists()


@pytest.mark.parametrize("layout", KATA)
def test_fail_if_exists(tmp_path: Path, layout: str) -> None:
    make(layout, tmp_path)
    assert refusal(tmp_path, layout, **of_sandbox(layout), fail_if_exists=True) == (
        f"Sandbox '{NAME}' ({layout}): it exists already. Nothing was changed. Remove it, or leave fail_if_exists out."
    )


@pytest.mark.parametrize(
    ("layout", "options", "text"),
    [
        (
            "gvisor",
            {"sandbox_id": "ab", "config_root": "/x"},
            "config_root: gvisor has no such directory. Leave it out.",
        ),
        (
            "kata_persist",
            {"sandbox_id": "ab", "config_root": "/x"},
            "config_root: kata_persist has no such directory. Leave it out.",
        ),
        (
            "kata_rs",
            {"sandbox_id": "ab", "config_root": "/x"},
            "config_root: kata_rs has no such directory. Leave it out.",
        ),
        (
            "kata_rs",
            {"sandbox_id": "ab", "container_id": "c"},
            "container_id: kata_rs keeps nothing for single containers. Leave it out.",
        ),
        (
            "kata_rs",
            {"sandbox_id": "firecracker", "state": "absent"},
            "sandbox_id: 'firecracker' is the runtime's own, and no sandbox. Give a sandbox's name.",
        ),
        *(
            (
                "kata_store",
                {"sandbox_id": "ab", "container_id": name, "state": state},
                f"container_id: '{name}' is the runtime's own, and no container. Give a container's name.",
            )
            for name in ("config.json", "state.json", "raw", "lock")
            for state in ("present", "absent")
        ),
        (
            "kata_persist",
            {"sandbox_id": "ab", "container_id": "persist.json"},
            "container_id: 'persist.json' is the runtime's own, and no container. Give a container's name.",
        ),
        (
            "kata_store",
            {"sandbox_id": "ab", "raw_items": {"a": "\ud800"}},
            "raw_items.a: it is not valid Unicode. Give another text.",
        ),
        (
            "kata_rs",
            {"sandbox_id": "ab", "documents": {"persist": {}}},
            "documents.persist: kata_rs has no such document. It has state.",
        ),
        (
            "kata_persist",
            {"sandbox_id": "ab", "documents": {"config": {}}},
            "documents.config: kata_persist has no such document. It has persist.",
        ),
        (
            "kata_store",
            {"sandbox_id": "ab", "documents": {"persist": {}}},
            (
                "documents.persist: kata_store has no such document. It has config, state, network, hypervisor, "
                "agent, process, mounts, devices."
            ),
        ),
        (
            "gvisor",
            {"sandbox_id": "ab", "documents": {"config": {}}},
            "documents.config: gvisor has no such document. It has state.",
        ),
        (
            "kata_persist",
            {"sandbox_id": "ab", "raw_items": {"a": "b"}},
            "raw_items: kata_persist has no raw items, only kata_store has. Leave it out.",
        ),
        (
            "kata_store",
            {"sandbox_id": "ab", "raw_items": {"../x": "b"}},
            "raw_items: '../x' is not a name. A name is not empty, '.' or '..', and has no '/'.",
        ),
        (
            "kata_store",
            {"sandbox_id": "ab", "raw_items": {"a": 7}},
            "raw_items.a: it is a int, not a text. Quote it.",
        ),
        (
            "kata_store",
            {"sandbox_id": "ab", "raw_items": {"a": "b"}, "state": "absent"},
            "raw_items: there is nothing to write with state=absent. Leave it out.",
        ),
        (
            "kata_store",
            {"sandbox_id": "ab", "documents": {"config": {}}, "state": "absent"},
            "documents: there is nothing to write with state=absent. Leave it out.",
        ),
        (
            "kata_store",
            {"sandbox_id": 83},
            (
                "sandbox_id: 83 is a number, not a name (YAML reads an unquoted 0123 as 83). Quote it: "
                'sandbox_id: "83", or "0123" if it was written so.'
            ),
        ),
        (
            "kata_store",
            {"sandbox_id": "ab", "container_id": 5},
            (
                "container_id: 5 is a number, not a name (YAML reads an unquoted 05 as 5). Quote it: "
                'container_id: "5", or "05" if it was written so.'
            ),
        ),
        (
            "kata_store",
            {"sandboxes": [{"sandbox_id": "ab"}, {"sandbox_id": True}]},
            'sandboxes[1].sandbox_id: True is a boolean, not a name. Quote it: sandboxes[1].sandbox_id: "yes".',
        ),
        (
            "kata_store",
            {"sandboxes": [{"sandbox_id": "ab"}, {"sandbox_id": "ab"}]},
            "sandboxes: 'ab' is there twice. Give it once.",
        ),
        (
            "kata_store",
            {"sandbox_id": ["ab", "cd"]},
            "sandbox_id: several ids share everything only with state=absent. Give a list of entries as sandboxes.",
        ),
        (
            "kata_persist",
            {"sandbox_id": "../../x", "state": "absent"},
            "sandbox_id: '../../x' is not a name. A name is not empty, '.' or '..', and has no '/'.",
        ),
        (
            "kata_store",
            {},
            "sandbox_id: it is missing. Give sandbox_id, or a list of entries as sandboxes.",
        ),
    ],
)
def test_options_that_cannot_be_used(tmp_path: Path, layout: str, options: Options, text: str) -> None:
    result = call(tmp_path, layout, **options)
    assert result.failed and result.msg == text
    assert "sandboxes" not in result.value and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sandbox_id": "ab", "raw_items": {}, "sandboxes": []}, "mutually exclusive"),
        ({"sandbox_id": "ab", "documents": {"mounts": {}}}, "mounts"),
        ({"sandbox_id": "ab", "documents": {"unknown": {}}}, "unknown"),
        ({"sandbox_id": "ab", "layout": "kata"}, "layout"),
    ],
)
def test_options_that_ansible_refuses(tmp_path: Path, options: Options, words: str) -> None:
    result = call(tmp_path, **{"layout": "kata_store", **options})
    assert result.failed and words in result.msg and list(tmp_path.iterdir()) == []
