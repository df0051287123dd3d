# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role sandbox_containerd on a booted systemd: Debian's containerd 1.6 as a package, 2.1 as an archive."""

from __future__ import annotations

import base64
import hashlib
import io
import tarfile
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.tests.lab import roles
from ansible_collections.sandboxed.containers.tests.lab.booted import Booted
from ansible_collections.sandboxed.containers.tests.lab.packages import Unavailable, package
from ansible_collections.sandboxed.containers.tests.lab.roles import changes, files, refusal

pytestmark = pytest.mark.real
ROLE = "sandbox_containerd"
GONE = {"sandbox_containerd_state": "absent"}
CONFIG, DROP_IN = "/etc/containerd/config.toml", "/etc/containerd/conf.d/sandbox_containerd.toml"
VERSIONS = "/usr/local/lib/sandbox_containerd"
CRUN = {"name": "crun", "runtime_type": "io.containerd.runc.v2", "options": {"BinaryName": "/usr/bin/crun"}}
KATA = {
    "name": "kata-qemu",
    "runtime_type": "io.containerd.kata.v2",
    "privileged_without_host_devices": True,
    "pod_annotations": ["io.katacontainers.*"],
}
HANDLERS = {"sandbox_containerd_handlers": [CRUN, KATA]}
# Left by dpkg and by containerd's own work.
KEPT = (
    "/var/lib/dpkg",
    "/var/lib/apt",
    "/var/lib/containerd",
    "/run/containerd",
    "/opt/containerd",
    "/etc/cni",
    "/run/nri",
)


def dump(system: Booted) -> str:
    """The configuration as containerd itself sees it, with the one form of quotes."""
    program = "/usr/local/bin/containerd" if system.path("/usr/local/bin/containerd").is_symlink() else "containerd"
    return system.must(program, "--config", CONFIG, "config", "dump").replace("'", '"')


def runs(system: Booted) -> str:
    """When the containerd that runs was started."""
    assert system.must("systemctl", "is-active", "containerd") == "active"
    return system.must("systemctl", "show", "--property=ActiveEnterTimestampMonotonic", "containerd")


def archive(system: Booted, name: str = "2.tar.gz", **more: str) -> dict[str, Any]:
    """The variables of an archive in the layout of containerd's releases. more: further files by name."""
    try:
        programs = package("containerd", "sid").resolve() / "usr/bin"
    except Unavailable as exc:
        pytest.skip(str(exc))
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=1) as tar:
        for one in ("containerd", "containerd-shim-runc-v2", "ctr"):
            tar.add(programs / one, f"bin/{one}")
        for path, text in more.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))
    return put(system, name, packed.getvalue())


def put(system: Booted, name: str, data: bytes) -> dict[str, Any]:
    system.path(f"/srv/{name}").write_bytes(data)
    checksum = f"sha256:{hashlib.sha256(data).hexdigest()}"
    return {"sandbox_containerd_archive": f"file:///srv/{name}", "sandbox_containerd_archive_checksum": checksum}


@pytest.mark.long
def test_package_handlers_and_back(system: Booted) -> None:
    """containerd 1.6 has all handlers, and what Debian's configuration says of the plugin."""
    before = files(system)
    assert changes(roles.play(system, ROLE, HANDLERS, "--check", "--diff")) > 0
    assert files(system) == before
    assert changes(roles.play(system, ROLE, HANDLERS)) > 0
    started = runs(system)
    assert changes(roles.play(system, ROLE, HANDLERS)) == 0
    assert runs(system) == started
    unit = system.must("systemctl", "show", "--property=KillMode,Delegate", "containerd").splitlines()
    assert set(unit) == {"KillMode=process", "Delegate=yes"}
    seen = dump(system)
    for line in (
        "containerd.runtimes.crun]", "containerd.runtimes.kata-qemu]", "containerd.runtimes.runc]",
        'BinaryName = "/usr/bin/crun"', 'pod_annotations = ["io.katacontainers.*"]', 'bin_dir = "/usr/lib/cni"',
    ):  # fmt: skip
        assert line in seen, line
    # Of another tool, and read before ours: containerd 1 would forget its handler.
    theirs = 'version = 2\n[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.theirs]\n'
    theirs += '  runtime_type = "io.containerd.runc.v2"\n'
    system.path("/etc/containerd/conf.d/aa.toml").write_text(theirs, encoding="utf-8")
    assert "would not have bin_dir; the handler theirs. Move" in refusal(roles.play(system, ROLE, HANDLERS))
    system.must("rm", "/etc/containerd/conf.d/aa.toml")
    assert changes(roles.play(system, ROLE, {})) > 0
    assert runs(system) != started and "runtimes.crun]" not in dump(system)
    assert "imports" not in system.must("cat", CONFIG)
    assert changes(roles.play(system, ROLE, GONE)) > 0
    assert system.run("ls", "/usr/bin/containerd").code != 0
    left = {path for path in files(system) ^ before if not path.startswith(KEPT)}
    assert left <= {"/etc/containerd", CONFIG}, left  # dpkg keeps the configuration of a package that is removed
    assert changes(roles.play(system, ROLE, GONE)) == 0


@pytest.mark.long
def test_archive_its_unit_and_an_old_version_that_a_bundle_names(system: Booted) -> None:
    """containerd deletes a live bundle whose shim is gone."""
    before = files(system)
    known = {**archive(system), **HANDLERS}
    assert changes(roles.play(system, ROLE, known, "--check", "--diff")) > 0
    assert changes(roles.play(system, ROLE, known)) > 0
    started = runs(system)
    assert changes(roles.play(system, ROLE, known)) == 0 and runs(system) == started
    seen = dump(system)
    assert "containerd.runtimes.crun]" in seen and "containerd.runtimes.runc]" in seen
    (old,) = system.must("ls", VERSIONS).split()
    bundle = "/run/containerd/io.containerd.runtime.v2.task/k8s.io/web-1"
    foreign = bundle.replace("/run/", "/run/k3s/")  # of an engine that is not restarted, and then looks after its own
    system.must("mkdir", "-p", foreign)
    system.path(f"{foreign}/shim-binary-path").write_text(f"{VERSIONS}/{old}/bin/containerd-shim-runc-v2")
    newer = {**archive(system, "3.tar.gz", extra="newer"), **HANDLERS}
    assert changes(roles.play(system, ROLE, newer)) > 0
    assert runs(system) != started
    assert old in system.must("ls", VERSIONS).split() and len(system.must("ls", VERSIONS).split()) == 2
    system.must("mkdir", "-p", bundle)
    assert f"containerd has 1 containers, for instance {bundle}" in refusal(roles.play(system, ROLE, GONE))
    system.must("rm", "-r", bundle, "/run/k3s")
    assert changes(roles.play(system, ROLE, newer)) == 1
    assert old not in system.must("ls", VERSIONS).split()
    assert changes(roles.play(system, ROLE, GONE)) > 0
    left = {path for path in files(system) ^ before if not path.startswith((*KEPT, "/srv"))}
    assert left == set(), left


@pytest.mark.long
def test_what_a_configuration_says_is_not_hidden(system: Booted) -> None:
    """containerd 2 ignores a section of version 2 without a word where a drop-in has the form of version 3."""
    known = {**archive(system), **HANDLERS}
    system.must("mkdir", "-p", "/etc/containerd/conf.d")
    cri = 'plugins."io.containerd.grpc.v1.cri"'
    theirs = f'version = 2\n\n[{cri}]\n  sandbox_image = "mine"\n[{cri}.containerd.runtimes.theirs]\n'
    theirs += '  runtime_type = "io.containerd.runc.v2"\n'
    theirs += f'[{cri}.registry.configs."registry.example.com".auth]\n  password = "hunter2"\n'
    system.path(CONFIG).write_text(theirs)
    system.path(CONFIG).chmod(0o640)
    outcome = roles.play(system, ROLE, known, "--diff", "-vvv")
    assert changes(outcome) > 0
    # Promise 8: neither what ran, nor what was read, nor the difference, nor the journal tells it.
    hidden = ("hunter2", base64.b64encode(theirs.encode()).decode()[-40:])
    assert not [word for word in hidden if word in outcome.output + system.must("journalctl", "--no-pager")]
    assert system.must("stat", "-c", "%a", CONFIG) == "640"
    seen = dump(system)
    for line in ('sandbox = "mine"', "runtimes.theirs]", "runtimes.crun]"):
        assert line in seen, line
    changes(roles.play(system, ROLE, GONE))
    assert system.must("cat", CONFIG) == theirs.strip()
    # A drop-in of somebody else with the newer form, which hides what config.toml says, is beside ours all the same.
    system.must("mkdir", "/etc/containerd/conf.d")
    system.path("/etc/containerd/conf.d/zz.toml").write_text(
        'version = 3\n[plugins."io.containerd.cri.v1.runtime".containerd]\n  default_runtime_name = "theirs"\n'
    )
    refused = roles.play(system, ROLE, known)
    assert refused.code == 2 and "containerd would not have" in " ".join(refused.output.split()), refused.output
    assert system.must("cat", CONFIG) == theirs.strip()


@pytest.mark.long
def test_wrong_input_is_refused_before_anything_is_changed(system: Booted) -> None:
    known = archive(system)
    wrong = {**known, "sandbox_containerd_archive_checksum": f"sha256:{'0' * 64}"}
    twice = {"sandbox_containerd_handlers": [CRUN, CRUN]}
    for variables, text in (
        ({"sandbox_containerd_archive": "/x.tar.gz"}, "must be sha256: and 64 hexadecimal digits"),
        ({"sandbox_containerd_default_handler": "no"}, "is neither runc nor a name in sandbox_containerd_handlers"),
        ({"sandbox_containerd_handlers": [{"name": "a"}]}, "missing required arguments: runtime_type"),
        ({"sandbox_containerd_handlers": [{**CRUN, "name": "a/b"}]}, "sandbox_containerd_handlers: 'a/b': a name has"),
    ):
        assert text in refusal(roles.play(system, ROLE, variables)), text
    before = files(system)
    for variables, text in (
        (wrong, "checksum"),
        (put(system, "no.tar.gz", tarball_of_nothing()), "is no release of containerd: it has no bin/containerd, no"),
    ):
        refused = roles.play(system, ROLE, variables)
        assert refused.code == 2 and text in " ".join(refused.output.split()), refused.output
    assert {path for path in files(system) - before if not path.startswith("/srv")} <= {VERSIONS}
    refused = roles.play(system, ROLE, {**known, **twice})
    assert refused.code == 2 and "crun: registered by another role or twice" in " ".join(refused.output.split())
    system.path("/usr/local/bin/ctr").write_text("theirs", encoding="utf-8")
    assert "/usr/local/bin/ctr: not made by this role" in refusal(roles.play(system, ROLE, known))


def tarball_of_nothing() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=1) as tar:
        tar.add(Path(__file__), "bin/other")
    return packed.getvalue()
