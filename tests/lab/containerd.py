# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run Debian's containerd on an inner host, with its own places and a busybox image, and break it as crashes do.

with Lab("1.7") as lab:
    lab.start()
    lab.run("a5")
    lab.kill_daemon()
"""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import tarfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.sandboxed.containers.tests.lab import host, processes, runsc
from ansible_collections.sandboxed.containers.tests.lab.ansible import Result, result_of, words_of
from ansible_collections.sandboxed.containers.tests.lab.host import Host
from ansible_collections.sandboxed.containers.tests.lab.packages import Unavailable, package, tool
from ansible_collections.sandboxed.containers.tests.lab.workspace import Outcome, Running, Workspace

# The generation's name in tests, and the suite that has it: 1.6.20 and 1.7.24.
VERSIONS = {"1.6": "", "1.7": "trixie"}
RUNTIMES = {"v1": "io.containerd.runtime.v1.linux", "v2": "io.containerd.runc.v2"}

# containerd's own defaults, below the inner host's own /run and /var/lib.
STATE, ROOT = "/run/containerd", "/var/lib/containerd"
ADDRESS = f"{STATE}/containerd.sock"
BUNDLES = {"v1": f"{STATE}/io.containerd.runtime.v1.linux", "v2": f"{STATE}/io.containerd.runtime.v2.task"}
WORK = {"v1": f"{ROOT}/io.containerd.runtime.v1.linux", "v2": f"{ROOT}/io.containerd.runtime.v2.task"}
SOCKETS = f"{STATE}/s"
METADATA = f"{ROOT}/io.containerd.metadata.v1.bolt"

IMAGE = "docker.io/library/lab:latest"
APPLETS = ("sh", "sleep", "true", "echo", "cat", "ls")
SLEEP = ("/bin/sleep", "1000")
NAMESPACE = "default"


def available(version: str = "1.7") -> str:
    """Why containerd cannot run here and what would make it run; empty when it can."""
    why = host.available()
    if why:
        return why
    try:
        words = [str(program(version, "containerd")), "--version"]
        done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
        package("runc")
        package("busybox-static")
    except Unavailable as exc:
        return f"no containerd: {exc}"
    except OSError as exc:
        return f"containerd does not run on this machine: {exc.strerror}; it needs an amd64 or arm64 Linux"
    return "" if done.returncode == 0 else f"containerd --version failed: {done.stderr.strip()}"


def program(version: str, name: str) -> Path:
    """A program of a version, fetched on first use. Raises Unavailable."""
    return package("containerd", VERSIONS[version]) / "usr/bin" / name


class Lab:
    """An inner host with a containerd; on leaving it, nothing of them is left, also after a failure."""

    def __init__(self, version: str = "1.7") -> None:
        self.version = version
        self.workspace = Workspace()
        try:
            self.host = Host(self.workspace)
        except BaseException:
            self.workspace.close()
            raise
        folders = [program(version, "containerd").parent, package("runc") / "usr/sbin"]
        self._env = {"PATH": ":".join([*map(str, folders), "/usr/sbin:/usr/bin:/sbin:/bin"])}
        self._config = self.workspace.folder / "containerd.toml"
        self._config.write_text(_config(), encoding="utf-8")

    def __enter__(self) -> Lab:
        return self

    def __exit__(self, *_why: object) -> None:
        self.close()

    def close(self) -> None:
        """End everything and remove the folder; safe to call twice."""
        try:
            self.host.close()
        finally:
            self.workspace.close()

    # -- the daemon --------------------------------------------------------------------------------------------------

    def start(self) -> int:
        """Start the daemon, again if it was there before, and wait until it answers; its pid, by our numbers."""
        log = self.workspace.folder / "containerd.log"
        self.host.spawn(["sh", "-c", f"exec containerd --config {self._config} >>{log} 2>&1"], self._env)
        processes.wait_until(lambda: self.ctr("plugins", "ls").code == 0, "containerd to answer", 60)
        return self.daemon()

    def daemon(self) -> int:
        """The pid of the daemon, 0 where none runs."""
        return next(iter(self.host.pids("containerd")), 0)

    def kill_daemon(self) -> None:
        processes.kill(*self.host.pids("containerd"))

    def log(self) -> str:
        """All that the daemon has logged."""
        return (self.workspace.folder / "containerd.log").read_text(encoding="utf-8", errors="replace")

    def ctr(self, *arguments: str, namespace: str = NAMESPACE) -> Outcome:
        """Run a ctr command to its end."""
        return self.host.run(self._ctr(*arguments, namespace=namespace), self._env)

    def must(self, *arguments: str, namespace: str = NAMESPACE) -> str:
        """Run a ctr command that has to succeed; its output without warnings."""
        output = self.host.must(self._ctr(*arguments, namespace=namespace), self._env)
        return "\n".join(line for line in output.splitlines() if not line.startswith("time="))

    def spawn_ctr(self, *arguments: str, namespace: str = NAMESPACE) -> Running:
        """Start a ctr command and return while it works."""
        return self.host.spawn(self._ctr(*arguments, namespace=namespace), self._env)

    def shell(self, script: str) -> str:
        """Run a script in which ctr is on PATH, and which has to succeed; its output."""
        return self.host.must(["sh", "-euc", script], self._env)

    def spawn_shell(self, script: str) -> Running:
        """Start such a script."""
        return self.host.spawn(["sh", "-c", script], self._env)

    def _ctr(self, *arguments: str, namespace: str) -> list[str]:
        return ["ctr", "--address", ADDRESS, "--namespace", namespace, *arguments]

    # -- containers --------------------------------------------------------------------------------------------------

    def run(
        self,
        container_id: str,
        args: Sequence[str] = SLEEP,
        runtime: str = "v2",
        namespace: str = NAMESPACE,
        annotations: Mapping[str, str] | None = None,
        options: Sequence[str] = (),
    ) -> None:
        """Run a container of the busybox image in the background."""
        self.import_image(namespace)
        named = [word for key, value in (annotations or {}).items() for word in ("--annotation", f"{key}={value}")]
        words = ["run", "--detach", "--null-io", "--runtime", RUNTIMES[runtime], *named, *options]
        self.must(*words, IMAGE, container_id, *args, namespace=namespace)

    def run_pod(self, sandbox_id: str, *container_ids: str, namespace: str = NAMESPACE) -> None:
        """Run containers behind the one shim of a pod, as CRI does: by annotations."""
        kind, name = "io.kubernetes.cri.container-type", "io.kubernetes.cri.sandbox-id"
        for one in (sandbox_id, *container_ids):
            of_pod = {kind: "sandbox" if one == sandbox_id else "container", name: sandbox_id}
            self.run(one, namespace=namespace, annotations=of_pod)

    def run_gvisor(self, container_id: str, namespace: str = NAMESPACE) -> None:
        """Run a container with runsc in the place of runc. Its state is below /run/containerd/runc/<namespace>."""
        wrapper = self.workspace.folder / "runsc"
        flags = "--platform=ptrace --network=none --ignore-cgroups"
        wrapper.write_text(f'#!/bin/sh\nexec {runsc.binary("new")} {flags} "$@"\n', encoding="utf-8")
        wrapper.chmod(0o755)
        self.run(container_id, namespace=namespace, options=["--runc-binary", str(wrapper)])

    def import_image(self, namespace: str) -> None:
        """Give a namespace the image, once."""
        if IMAGE in self.must("images", "ls", "--quiet", namespace=namespace).splitlines():
            return
        archive = self.workspace.folder / "image.tar"
        if not archive.exists():
            write_image(archive)
        self.must("images", "import", str(archive), namespace=namespace)

    def tasks(self, namespace: str = NAMESPACE) -> dict[str, str]:
        """The status of each task that containerd knows: "RUNNING", "STOPPED"."""
        rows = [line.split() for line in self.must("tasks", "ls", namespace=namespace).splitlines()[1:]]
        return {row[0]: row[2] for row in rows}

    def containers(self, namespace: str = NAMESPACE) -> list[str]:
        """The ids that containerd lists."""
        return self.must("containers", "ls", "--quiet", namespace=namespace).splitlines()

    def delete(self, container_id: str, namespace: str = NAMESPACE) -> Outcome:
        """Delete task and container, by force; the first outcome that failed, or the last."""
        task = self.ctr("tasks", "delete", "--force", container_id, namespace=namespace)
        return task if task.code else self.ctr("containers", "delete", container_id, namespace=namespace)

    # -- what it leaves on disk, by paths that are valid here ----------------------------------------------------------

    def bundle(self, container_id: str, runtime: str = "v2", namespace: str = NAMESPACE) -> Path:
        return self.host.path(f"{BUNDLES[runtime]}/{namespace}/{container_id}")

    def host_bundle(self, container_id: str, runtime: str = "v2", namespace: str = NAMESPACE) -> str:
        """The bundle's path as the inner host has it."""
        return f"{BUNDLES[runtime]}/{namespace}/{container_id}"

    def bundles(self, runtime: str = "v2", namespace: str = NAMESPACE) -> list[str]:
        """The names in the namespace's directory, hidden ones too."""
        folder = self.bundle("", runtime, namespace)
        return sorted(path.name for path in folder.iterdir()) if folder.exists() else []

    def sockets(self) -> list[str]:
        """The names in the folder of shim sockets."""
        return sorted(path.name for path in self.host.path(SOCKETS).iterdir())

    def shims(self, runtime: str = "v2") -> dict[str, int]:
        """The pid of each shim by the id that it was started for."""
        name = "containerd-shim-runc-v2" if runtime == "v2" else "containerd-shim"
        found = {}
        for pid in self.host.pids(name):
            words = processes.argv(pid)
            if runtime == "v2":
                found[words[words.index("-id") + 1]] = pid
            else:
                found[Path(words[words.index("-workdir") + 1]).name] = pid
        return found

    # -- our modules -------------------------------------------------------------------------------------------------

    def module(self, name: str, /, **options: Any) -> Result:
        """Run a module on the inner host to its end. Its processes are all that there are (safety.md A2)."""
        return self.start_module(name, **options)()

    def start_module(self, name: str, /, **options: Any) -> Callable[[], Result]:
        """Start a module there; what is returned waits for its answer."""
        return self.start_under((), name, **options)

    def start_under(self, command: Sequence[str | Path], name: str, /, **options: Any) -> Callable[[], Result]:
        """The same, by a command that starts it."""
        given = self.workspace.folder / "options.json"
        given.write_text(json.dumps({"sees_all_processes": True, **options}), encoding="utf-8")
        script = 'options=$1; shift; exec "$@" <"$options"'
        running = self.host.spawn(["sh", "-c", script, "sh", given, *command, *words_of(name)])

        def result() -> Result:
            try:
                outcome = running.wait(60)
            finally:
                running.close()
            return result_of(outcome.output, outcome.code)

        return result

    def free(self, container_id: str, runtime: str = "v2", **options: Any) -> Result:
        """container_bundle with state=absent, for a bundle of containerd's."""
        layout = f"containerd_{runtime}"
        return self.module("container_bundle", layout=layout, container_id=container_id, state="absent", **options)

    def look(self, container_id: str, runtime: str = "v2") -> dict[str, Any]:
        """The entry of container_bundle_info for it."""
        layout = f"containerd_{runtime}"
        result = self.module("container_bundle_info", layout=layout, namespace=NAMESPACE, container_id=container_id)
        entry: dict[str, Any] = result.answer["bundles"][0]
        return entry

    # -- crashes -----------------------------------------------------------------------------------------------------

    def kill_shim(self, container_id: str, runtime: str = "v2") -> None:
        processes.kill(self.shims(runtime)[container_id])

    def kill_all(self) -> None:
        """SIGKILL to the daemon first, then to every shim and container, as a crash of all of them would."""
        self.kill_daemon()
        processes.kill(*self.host.pids())
        processes.kill(*self.host.nested_pids())  # a container has a pid namespace of its own, and outlives its shim

    def interrupt_delete(self, container_id: str, runtime: str = "v2", namespace: str = NAMESPACE) -> None:
        """Have the daemon killed inside its own atomic delete: renamed to `.<id>`, and nothing of it removed yet."""
        tombstone = f"{BUNDLES[runtime]}/{namespace}/.{container_id}"
        inject = ["-e", "trace=unlinkat", "-P", tombstone, "-e", "inject=unlinkat:signal=SIGKILL:when=1"]
        daemon = self.daemon()
        strace = tool("strace", "strace", "libunwind8")
        tracer = self.host.spawn([*strace, "-f", "-p", str(self.host.inside(daemon)), *inject])
        processes.wait_until(lambda: _traced(daemon), "strace to trace containerd")
        deletion = self.spawn_ctr("tasks", "delete", "--force", container_id, namespace=namespace)
        try:
            processes.wait_until(lambda: not processes.lives(daemon), "containerd to be killed", 30)
        finally:
            deletion.close()
            tracer.close()
        # A fork of it that has not become a shim or runc yet, and was traced with it, may be left, and dies with it.
        self.kill_daemon()
        processes.wait_until(lambda: not self.host.pids("containerd"), "all of containerd to end", 30)


def _traced(pid: int) -> bool:
    """Whether each thread of a process has a tracer."""
    statuses = list(Path(f"/proc/{pid}/task").glob("*/status"))
    return all("\nTracerPid:\t0\n" not in status.read_text(encoding="utf-8") for status in statuses)


def _config() -> str:
    """A containerd without CRI and without what this machine cannot do."""
    plugins = ["grpc.v1.cri", "snapshotter.v1.aufs", "snapshotter.v1.btrfs", "snapshotter.v1.devmapper"]
    plugins += ["snapshotter.v1.zfs", "internal.v1.opt"]
    names = ", ".join(f'"io.containerd.{name}"' for name in plugins)
    places = f'root = "{ROOT}"\nstate = "{STATE}"\n[grpc]\naddress = "{ADDRESS}"\n'
    return f"version = 2\ndisabled_plugins = [{names}]\n{places}"


def write_image(path: Path) -> None:
    """An OCI image of busybox alone, as `ctr images import` takes it."""
    blobs: dict[str, bytes] = {}

    def blob(data: bytes, kind: str) -> dict[str, Any]:
        digest = hashlib.sha256(data).hexdigest()
        blobs[f"blobs/sha256/{digest}"] = data
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{digest}", "size": len(data)}

    layer = _layer()
    difference = "sha256:" + hashlib.sha256(layer).hexdigest()
    architecture = {"x86_64": "amd64", "aarch64": "arm64"}[_machine()]
    config = {
        "architecture": architecture,
        "os": "linux",
        "config": {"Env": ["PATH=/bin"], "Cmd": list(SLEEP)},
        "rootfs": {"type": "layers", "diff_ids": [difference]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": blob(json.dumps(config).encode(), "config.v1+json"),
        "layers": [blob(layer, "layer.v1.tar")],
    }
    entry = blob(json.dumps(manifest).encode(), "manifest.v1+json")
    entry["annotations"] = {"io.containerd.image.name": IMAGE}
    entry["platform"] = {"architecture": architecture, "os": "linux"}
    blobs["index.json"] = json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()
    blobs["oci-layout"] = b'{"imageLayoutVersion": "1.0.0"}'
    with tarfile.open(path, "w") as archive:
        for name, data in blobs.items():
            _add(archive, name, data)


def _machine() -> str:
    import platform  # slow, and only here

    return platform.machine()


def _layer() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for folder in ("bin", "proc", "sys", "dev", "tmp", "etc"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(entry)
        _add(archive, "bin/busybox", (package("busybox-static") / "bin/busybox").read_bytes(), 0o755)
        for applet in APPLETS:
            entry = tarfile.TarInfo(f"bin/{applet}")
            entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
            archive.addfile(entry)
    return stream.getvalue()


def _add(archive: tarfile.TarFile, name: str, data: bytes, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(data), mode
    archive.addfile(entry, io.BytesIO(data))
