# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role sandbox_kata on a booted systemd, with an archive in the layout of Kata's releases.

What the role writes is read as both runtimes read it: ConfigPath without its links, and then each file of config.d
beside it, in the order of their names.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.tests.lab import roles
from ansible_collections.sandboxed.containers.tests.lab.booted import Booted
from ansible_collections.sandboxed.containers.tests.lab.kata_release import (
    CONFIGURATIONS,
    DEFAULTS,
    PROGRAMS,
    archive,
    contents,
    packed,
    vendor_text,
)
from ansible_collections.sandboxed.containers.tests.lab.roles import changes, files, inodes, install_containerd, refusal

tomllib = pytest.importorskip("tomllib", reason="it is in Python from 3.11 on")
pytestmark = [pytest.mark.real, pytest.mark.long]
ROLE = "sandbox_kata"
GONE = {"sandbox_kata_state": "absent"}
VERSIONS, LINK, BIN = "/opt/sandbox_kata", "/opt/kata", "/usr/local/bin"
ALL = {"sandbox_kata_runtimes": ["go", "rust"], "sandbox_kata_hypervisors": ["qemu", "cloud-hypervisor", "firecracker"]}
OPTIONS: dict[str, dict[str, Any]] = {
    "sandbox_kata_options": {
        "default_vcpus": 2,
        "default_memory": 1024,
        "kernel_params": 'agent.log=debug quiet="é"',
        "enable_annotations": ["kernel_params", "default_.*"],
        "shared_fs": "virtio-fs",
        "virtio_fs_cache": "never",
        "internetworking_model": "macvtap",
        "sandbox_cgroup_only": True,
        "enable_debug": True,
    },
    "sandbox_kata_extra_options": {
        "runtime": {"enable_tracing": True, "sandbox_cgroup_only": False},
        "hypervisor.qemu": {
            "pflashes": ["/a", "/b"], "guest_extension_images": [{"name": "x", "path": "/y"}], "memory_slots": 30,
        },
        "hypervisor": {"memory_slots": 20},
        "hypervisor.clh": {"hypervisor_loglevel": 2},
    },
    "sandbox_kata_handler_options": {
        "kata-qemu-runtime-rs": {
            "agent.kata": {"reconnect_timeout_ms": 5000},
            "hypervisor": {"factory": {"enable_template": True}},
        },
    },
}  # fmt: skip


def versions(system: Booted) -> list[str]:
    return system.run("ls", VERSIONS).output.split()


def registered(system: Booted) -> dict[str, dict[str, Any]]:
    """The handlers, by name, that the role has asked for."""
    text = system.must("cat", "/etc/containerd/sandbox_handlers.d/sandbox_kata.json")
    return {one["name"]: one for one in json.loads(text)["handlers"]}


def read(system: Booted, config_path: str) -> dict[str, Any]:
    """A configuration as both runtimes read it."""
    resolved = system.must("readlink", "-f", config_path)
    folder = str(Path(resolved).parent / "config.d")
    config: dict[str, Any] = tomllib.loads(system.must("cat", resolved))
    for name in sorted(system.must("ls", "-A", folder).split()):
        assert system.must("stat", "-c", "%F %a", f"{folder}/{name}") == "regular file 644"
        merge(config, tomllib.loads(system.must("cat", f"{folder}/{name}")))
    return config


def merge(base: dict[str, Any], more: dict[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            merge(base[key], value)
        else:
            base[key] = value


def expected(handler: str) -> dict[str, Any]:
    """The vendor's configuration with OPTIONS."""
    table = CONFIGURATIONS[handler][1]
    config: dict[str, Any] = tomllib.loads(vendor_text(handler))
    given = OPTIONS["sandbox_kata_options"]
    debug = {"enable_debug": True}
    shared = {} if table == "firecracker" else {name: given[name] for name in ("shared_fs", "virtio_fs_cache")}
    names = ("default_vcpus", "default_memory", "kernel_params", "enable_annotations")
    hypervisor = {**{name: given[name] for name in names}, **debug, **shared, "memory_slots": 20}
    if table == "qemu":
        hypervisor.update(pflashes=["/a", "/b"], guest_extension_images=[{"name": "x", "path": "/y"}], memory_slots=30)
    if table == "clh":
        hypervisor.update(hypervisor_loglevel=2)
    agent: dict[str, Any] = dict(debug)
    if handler == "kata-qemu-runtime-rs":
        agent["reconnect_timeout_ms"] = 5000
        hypervisor["factory"] = {"enable_template": True}
    runtime = {"internetworking_model": "macvtap", "sandbox_cgroup_only": False, "enable_tracing": True}
    merge(config, {"hypervisor": {table: hypervisor}, "agent": {"kata": agent}, "runtime": {**runtime, **debug}})
    return config


def run_from(system: Booted, program: str) -> str:
    """Have a stand-in run as `sleep`; the unit that it is, which `systemctl stop` ends."""
    unit = f"stand-in-{Path(program).name}"
    start = ["bash", "-c", f"exec -a sleep {program} 1000"]
    system.must("systemd-run", "--quiet", "--collect", f"--unit={unit}", *start)
    return unit


def test_two_runtimes_three_hypervisors_and_back(system: Booted) -> None:
    release = archive(system)
    known = {**release, **ALL, **OPTIONS}
    before, bare = files(system), inodes(system)
    assert changes(roles.play(system, ROLE, known, "--check", "--diff")) > 0
    assert inodes(system) == bare
    assert changes(roles.play(system, ROLE, known)) > 0
    installed = inodes(system)
    assert changes(roles.play(system, ROLE, known)) == 0
    assert changes(roles.play(system, ROLE, known, "--check", "--diff")) == 0
    assert inodes(system) == installed

    # The vendor's files are as they were, and the links lead to them.
    for path, data in contents("4.1.0").items():
        assert system.path(f"{VERSIONS}/{versions(system)[0]}/opt/kata/{path}").read_bytes() == data, path
    assert system.must("readlink", f"{BIN}/containerd-shim-kata-v2") == f"{LINK}/bin/containerd-shim-kata-v2"
    assert system.must("readlink", "-f", f"{BIN}/containerd-shim-kata-rs-v2").endswith(
        "/opt/kata/runtime-rs/bin/containerd-shim-kata-v2"
    )
    handlers = registered(system)
    assert set(handlers) == set(CONFIGURATIONS)
    for name, handler in handlers.items():
        rust = "-rs" if "runtime-rs" in name else ""
        assert handler["runtime_type"] == f"io.containerd.kata{rust}.v2"
        assert handler["runtime_path"] == f"{BIN}/containerd-shim-kata{rust}-v2"
        assert handler["privileged_without_host_devices"] and handler["pod_annotations"] == ["io.katacontainers.*"]
        assert read(system, handler["options"]["ConfigPath"]) == expected(name), name

    # Other options are another drop-in, and nothing else; what is not chosen any more goes.
    fewer = {
        **release,
        "sandbox_kata_hypervisors": ["qemu"],
        "sandbox_kata_snapshotters": {"kata-qemu-runtime-rs": "blockfile"},
    }
    outcome = roles.play(system, ROLE, fewer, "--check", "--diff")
    assert changes(outcome) > 0 and "-default_memory = 1024" in outcome.output
    assert inodes(system) == installed
    assert changes(roles.play(system, ROLE, fewer)) > 0
    assert changes(roles.play(system, ROLE, fewer)) == 0
    (left,) = registered(system).values()
    assert left["snapshotter"] == "blockfile"
    assert read(system, left["options"]["ConfigPath"]) == tomllib.loads(vendor_text("kata-qemu-runtime-rs"))
    assert system.must("ls", f"{LINK}/sandbox_kata") == "kata-qemu-runtime-rs"
    assert system.run("ls", f"{BIN}/containerd-shim-kata-v2").code != 0

    # An editor that makes a file anew takes the second name from it.
    vendors = f"{LINK}/{DEFAULTS}/{CONFIGURATIONS['kata-qemu-runtime-rs'][0]}"
    system.must("sh", "-euc", f"cp -p {vendors} {vendors}.new && mv {vendors}.new {vendors}")
    assert changes(roles.play(system, ROLE, fewer)) == 1
    assert changes(roles.play(system, ROLE, fewer)) == 0

    assert changes(roles.play(system, ROLE, GONE, "--check")) > 0
    assert changes(roles.play(system, ROLE, GONE)) > 0
    assert files(system) ^ before == set()
    assert changes(roles.play(system, ROLE, GONE)) == 0


def test_old_version_stays_while_a_process_runs_from_it(system: Booted) -> None:
    """And the new one has its own configuration from the beginning: one rename switches both. /opt may be elsewhere."""
    system.must("sh", "-euc", "mv /opt /srv/opt; ln -s srv/opt /opt; mkdir /srv/images; touch /srv/images/precious")
    old, new = archive(system), archive(system, "4.1.1")
    before = files(system)
    changes(roles.play(system, ROLE, {**old, "sandbox_kata_options": {"default_memory": 512}}))
    (first,) = versions(system)
    unit = run_from(system, f"{LINK}/bin/qemu-system-x86_64")
    assert changes(roles.play(system, ROLE, {**new, "sandbox_kata_options": {"default_memory": 1024}})) > 0
    assert first in versions(system) and len(versions(system)) == 2
    assert system.must("cat", f"{LINK}/VERSION") == "4.1.1"
    path = "opt/kata/sandbox_kata/kata-qemu-runtime-rs/configuration.toml"
    memory = [
        read(system, f"{VERSIONS}/{one}/{path}")["hypervisor"]["qemu"]["default_memory"] for one in versions(system)
    ]
    assert dict(zip(versions(system), memory, strict=True))[first] == 512 and 1024 in memory
    assert f"Kata is in use: {VERSIONS} by process" in refusal(roles.play(system, ROLE, GONE))
    system.must("systemctl", "stop", unit)
    mounted = f"{VERSIONS}/{first}/opt/kata/libexec"
    system.must("mount", "--bind", "/srv/images", mounted)
    assert changes(roles.play(system, ROLE, {**new, "sandbox_kata_options": {"default_memory": 1024}})) == 0
    assert f"{VERSIONS} by the mount on " in refusal(roles.play(system, ROLE, GONE))
    system.must("umount", mounted)
    assert system.must("ls", "/srv/images") == "precious"
    assert changes(roles.play(system, ROLE, {**new, "sandbox_kata_options": {"default_memory": 1024}})) == 1
    assert first not in versions(system) and len(versions(system)) == 1
    changes(roles.play(system, ROLE, GONE))
    assert {path for path in files(system) ^ before if not path.startswith("/srv/images")} == set()


def test_shim_that_a_bundle_names_stays(system: Booted) -> None:
    """containerd deletes a live bundle whose shim is gone: by its name or because the version does not have it."""
    known, without = archive(system), archive(system, "5.0.0", "bin/containerd-shim-kata-v2")
    changes(roles.play(system, ROLE, {**known, "sandbox_kata_runtimes": ["go"]}))
    bundle = "/run/containerd/io.containerd.runtime.v2.task/k8s.io/web-1"
    system.must("mkdir", "-p", bundle)
    system.path(f"{bundle}/shim-binary-path").write_text(f"{BIN}/containerd-shim-kata-v2", encoding="utf-8")
    assert changes(roles.play(system, ROLE, known)) > 0
    assert system.must("ls", BIN).split()[:2] == ["containerd-shim-kata-rs-v2", "containerd-shim-kata-v2"]
    assert f"containerd-shim-kata-v2 by {bundle}/shim-binary-path" in refusal(roles.play(system, ROLE, GONE))
    refused = roles.play(system, ROLE, without)
    assert refused.code == 2
    assert f"does not have what is in use: {BIN}/containerd-shim-kata-v2 by" in flat(refused.output)
    assert system.must("cat", f"{LINK}/VERSION") == "4.1.0"
    # Another containerd, with a root of its own: its shim works in the bundle.
    system.must("mv", "/run/containerd", "/srv/odd")
    start = ["bash", "-c", "exec -a containerd-shim-kata-v2 sleep 1000"]
    odd = f"--working-directory=/srv/odd/{bundle.partition('containerd/')[2]}"
    system.must("systemd-run", "--quiet", "--collect", "--unit=odd", odd, *start)
    assert changes(roles.play(system, ROLE, known)) == 0, "what was refused is not left unpacked"
    assert "containerd-shim-kata-v2" in system.must("ls", BIN).split()
    assert "cwd/shim-binary-path" in refusal(roles.play(system, ROLE, GONE))
    system.must("systemctl", "stop", "odd")
    assert changes(roles.play(system, ROLE, known)) == 1
    assert "containerd-shim-kata-v2" not in system.must("ls", BIN).split()
    assert changes(roles.play(system, ROLE, without)) > 0


def test_older_release_calls_its_hypervisor_otherwise(system: Booted) -> None:
    """The vendor's file and the table of Cloud Hypervisor, for the Rust runtime before Kata 3.30."""
    text = vendor_text("kata-clh-runtime-rs").replace("[hypervisor.clh]", "[hypervisor.cloud-hypervisor]")
    name = f"{DEFAULTS}/runtime-rs/configuration-cloud-hypervisor.toml"
    newer = f"{DEFAULTS}/{CONFIGURATIONS['kata-clh-runtime-rs'][0]}"
    chosen = {"sandbox_kata_hypervisors": ["cloud-hypervisor"]}
    extra = {"sandbox_kata_extra_options": {"hypervisor.clh": {"memory_slots": 20}}}
    known = {**archive(system, "3.20.0", newer, **{name: text.encode()}), **chosen, **extra}
    assert changes(roles.play(system, ROLE, known)) > 0
    (handler,) = registered(system).values()
    wanted = tomllib.loads(text)
    wanted["hypervisor"]["cloud-hypervisor"]["memory_slots"] = 20
    assert read(system, handler["options"]["ConfigPath"]) == wanted
    assert changes(roles.play(system, ROLE, known)) == 0


@pytest.mark.parametrize("suite", ["trixie", "sid"])
def test_containerd_1_and_2_read_the_handlers(system: Booted, suite: str) -> None:
    install_containerd(system, suite)
    known = {**archive(system), **ALL, "sandbox_kata_handlers": ["kata-qemu", "kata-fc-runtime-rs"]}
    assert changes(roles.play(system, ROLE, known)) > 0
    dump = [f"{BIN}/containerd", "--config", "/etc/containerd/config.toml", "config", "dump"]
    seen = system.must(*dump).replace("'", '"')
    for line in (
        "containerd.runtimes.runc]", "containerd.runtimes.kata-qemu]", "containerd.runtimes.kata-fc-runtime-rs]",
        f'runtime_path = "{BIN}/containerd-shim-kata-rs-v2"',
        f'ConfigPath = "{LINK}/sandbox_kata/kata-fc-runtime-rs/configuration.toml"',
    ):  # fmt: skip
        assert line in seen, line
    assert "runtimes.kata-clh" not in seen
    assert changes(roles.play(system, ROLE, known)) == 0
    changes(roles.play(system, ROLE, GONE))
    assert "kata" not in system.run(*dump).output


def of_the_controller(system: Booted, known: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The same archive in a folder of the controller, by a path from where Ansible is started."""
    there = system.path(known["sandbox_kata_archive"].removeprefix("file://"))
    here = folder / there.name
    here.write_bytes(there.read_bytes())
    return {**known, "sandbox_kata_archive": os.path.relpath(here)}


def test_options_that_kata_does_not_take_are_refused(system: Booted, tmp_path: Path) -> None:
    """The Go runtime starts no sandbox with a key that it does not know."""
    known = {**of_the_controller(system, archive(system), tmp_path), "sandbox_kata_runtimes": ["go"]}
    theirs = "/etc/containerd/sandbox_handlers.d/theirs.json"
    system.must("mkdir", "-p", str(Path(theirs).parent))
    system.path(theirs).write_text('{"handlers": [{"name": "kata-qemu"}], "default": ""}', encoding="utf-8")
    refused = roles.play(system, ROLE, known)
    assert refused.code == 2 and "kata-qemu: registered by another role or twice" in flat(refused.output)
    assert system.run("ls", LINK).code != 0, "it is not the current version"
    assert system.run("ls", VERSIONS).code != 0, "what was refused is not left unpacked"
    system.must("rm", theirs)
    wrong = {**known, "sandbox_kata_extra_options": {"hypervisor.qemu": {"no_such_key": 1}}}
    refused = roles.play(system, ROLE, wrong)
    assert refused.code == 2 and "Kata does not take the options of kata-qemu: error applying" in flat(refused.output)
    assert system.run("ls", LINK).code != 0, "it is not the current version"
    assert changes(roles.play(system, ROLE, known)) > 0
    drop_in = system.must("cat", f"{LINK}/sandbox_kata/kata-qemu/config.d/50-sandbox_kata.toml")
    assert roles.play(system, ROLE, wrong).code == 2
    assert system.must("cat", f"{LINK}/sandbox_kata/kata-qemu/config.d/50-sandbox_kata.toml") == drop_in
    assert changes(roles.play(system, ROLE, known)) == 0
    older = {**archive(system, "3.1.3"), "sandbox_kata_options": {"virtio_fs_cache": "never"}}
    refused = roles.play(system, ROLE, older)
    assert refused.code == 2 and "Kata 3.1.3 starts no sandbox with virtio_fs_cache=never" in flat(refused.output)
    shim = contents("")[PROGRAMS[0]]
    alien = archive(system, "4.2.0", **{PROGRAMS[0]: shim[:18] + b"\xff\xff" + shim[20:]})
    refused = roles.play(system, ROLE, {**known, **alien})
    assert refused.code == 2 and "is of another architecture than the host" in flat(refused.output)
    assert system.must("cat", f"{LINK}/VERSION") == "4.1.0"
    assert len(system.must("ls", VERSIONS).split()) == 1, "what was refused is not left unpacked"


def flat(text: str) -> str:
    return " ".join(text.split())


def test_wrong_input_is_refused_before_anything_is_changed(system: Booted) -> None:
    known = archive(system)
    shared = {**known, "sandbox_kata_options": {"shared_fs": "virtio-9p"}}
    for variables, text in (
        ({}, "sandbox_kata_archive must be given"),
        ({"sandbox_kata_archive": "/x.tar.zst"}, "must be sha256: and 64 hexadecimal digits"),
        ({**known, "sandbox_kata_archive": __file__}, "on the controller is not the file with the checksum sha256:"),
        ({**known, "sandbox_kata_archive": "no/such.tar.zst"}, "no/such.tar.zst on the controller does not exist."),
        ({**known, "sandbox_kata_handlers": ["kata-fc"]}, "kata-fc: sandbox_kata_runtimes and"),
        ({**known, "sandbox_kata_hypervisors": []}, "Nothing to install: sandbox_kata_runtimes and"),
        ({**known, "sandbox_kata_extra_options": {"hypervisor.xen": {}}}, "have tables (runtime, factory,"),
        ({**known, "sandbox_kata_extra_options": {"runtime": {"a b": 1}}}, "have tables (runtime, factory,"),
        ({**known, "sandbox_kata_extra_options": {"hypervisor": {"a": {"b": [None]}}}}, "texts, numbers, booleans,"),
        ({**known, "sandbox_kata_runtimes": "go"}, "sandbox_kata_runtimes is no list."),
        ({**known, "sandbox_kata_handlers": "kata-qemu"}, "sandbox_kata_handlers is no list."),
        ({**known, "sandbox_kata_options": "default_memory=1024"}, "sandbox_kata_options is no dictionary."),
        (shared, "value of shared_fs must be one of: virtio-fs, none"),
    ):
        assert text in refusal(roles.play(system, ROLE, variables)), text


def test_archive_of_another_layout_is_refused_and_leaves_nothing(system: Booted) -> None:
    known = archive(system)
    before = files(system)
    for variables, text in (
        ({**known, "sandbox_kata_archive_checksum": f"sha256:{'0' * 64}"}, "did not match"),
        (packed(system, "bin/kata-runtime"), "no release of Kata Containers with what was chosen: it has no opt/kata"),
        (archive(system, "4.1.0", "bin/qemu-system-x86_64"), "has no opt/kata/bin/qemu-system-x86_64 or opt/kata/bin"),
        (packed(system, "../../../../etc/evil"), "Member name contains '..'"),
        (packed(system, "out/evil", out="/etc"), "evil"),
    ):
        refused = roles.play(system, ROLE, variables)
        assert refused.code == 2 and text in flat(refused.output), refused.output
        assert {path for path in files(system) ^ before if not path.startswith("/srv")} == set()


def test_kata_of_somebody_else_is_not_touched(system: Booted) -> None:
    known = archive(system)
    system.must("mkdir", LINK)
    assert f"{LINK}: not made by this role" in refusal(roles.play(system, ROLE, known))
    assert changes(roles.play(system, ROLE, GONE)) == 0
    shim = f"{BIN}/containerd-shim-kata-v2"
    system.must("ln", "-s", f"{LINK}/bin/containerd-shim-kata-v2", shim)
    assert changes(roles.play(system, ROLE, GONE)) == 0
    assert system.must("readlink", shim) == f"{LINK}/bin/containerd-shim-kata-v2"
    system.must("rm", "-r", LINK, shim)
    system.path(f"{BIN}/containerd-shim-kata-rs-v2").write_text("theirs", encoding="utf-8")
    assert f"{BIN}/containerd-shim-kata-rs-v2: not made by this role" in refusal(roles.play(system, ROLE, known))
    assert changes(roles.play(system, ROLE, GONE)) == 0
    assert system.must("cat", f"{BIN}/containerd-shim-kata-rs-v2") == "theirs"
