# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the runtimes write, for the bench's trees (contracts: Kata 1.8's store, runsc, containerd 1.7)."""

from __future__ import annotations

import json
from typing import Any

from ansible_collections.sandboxed.containers.tests.bench.trees import NO_PID, Entry, Kind

RUN, CONFIG = "run/vc/sbs", "var/lib/vc/sbs"
_KATA = {"run_root": "run/vc", "config_root": "var/lib/vc"}


def _go(document: Any) -> str:
    """As Go's encoder writes it: no blanks."""
    return json.dumps(document, separators=(",", ":"))


def _store(place: str, **documents: Any) -> list[Entry]:
    """A directory of the store with what Kata 1.8 makes in each: `raw/`, `lock` and the documents."""
    files = [Entry(f"{place}/{name}.json", 0o644, _go(content)) for name, content in documents.items()]
    return [Entry(place, 0o750), Entry(f"{place}/raw", 0o750), Entry(f"{place}/lock", 0o644, ""), *files]


_SANDBOX_CONFIG = {
    "ID": "@id@",
    "Hostname": "web-1",
    "HypervisorType": "qemu",
    "HypervisorConfig": {"NumVCPUs": 1, "DefaultMaxVCPUs": 2, "MemorySize": 2048, "MemSlots": 10, "Msize9p": 8192},
    "AgentType": "kata",
    "AgentConfig": None,
    "ProxyType": "kataBuiltInProxy",
    "ProxyConfig": {"Path": "", "Debug": False},
    "ShimType": "kataBuiltInShim",
    "ShimConfig": None,
    "NetworkConfig": {"NetNSPath": "", "NetNsCreated": False, "DisableNewNetNs": False, "InterworkingModel": 0},
    "Volumes": None,
    "Containers": None,
    "Annotations": None,
    "ShmSize": 67108864,
    "SharePidNs": False,
    "Stateful": False,
    "SystemdCgroup": False,
    "DisableGuestSeccomp": False,
    "Experimental": None,
}
_SANDBOX_STATE = {
    "state": "running",
    "blockIndex": 2,
    "guestMemoryBlockSize": 128,
    "guestMemoryHotplugProbe": False,
    "cgroupPath": "/kata/@id@",
}
# What a sandbox has as soon as it is created and before its first container: the least that is whole.
SMALL_KATA = Kind(
    "kata_store",
    _KATA,
    (RUN, CONFIG),
    (
        *_store(CONFIG + "/{id}", config=_SANDBOX_CONFIG),
        *_store(RUN + "/{id}", state=_SANDBOX_STATE),
    ),
)
_HYPERVISOR = {
    "Bridges": [{"Addr": 2, "Address": {}, "ID": "pci-bridge-0", "Type": "pci"}],
    "HotplugVFIOOnRootBus": False,
    "HotpluggedMemory": 0,
    "HotpluggedVCPUs": None,
    "UUID": "6c5bcd4f-9ab0-4ff0-a4f1-9ab0c0ffee00",
}
_MOUNT = {
    "Source": "/var/lib/data",
    "Destination": "/data",
    "Type": "bind",
    "Options": ["rbind"],
    "HostPath": "/var/lib/data",
    "ReadOnly": False,
    "BlockDeviceID": "",
}
_CONTAINER_CONFIG = {
    "ID": "@container@",
    "RootFs": {"Source": "", "Target": "", "Type": "", "Options": None, "Mounted": False},
    "ReadonlyRootfs": False,
    "Cmd": {"Args": None, "Envs": None, "User": "", "WorkDir": "", "Console": "", "Interactive": False},
    "Annotations": {"io.katacontainers.pkg.oci.bundle_path": "/run/bundle"},
    "Mounts": None,
    "DeviceInfos": None,
    "Resources": {},
}
# With one container and every document, as in a running pod.
WHOLE_KATA = Kind(
    "kata_store",
    _KATA,
    (RUN, CONFIG),
    (
        *_store(CONFIG + "/{id}", config=_SANDBOX_CONFIG),
        *_store(CONFIG + "/{id}/{container}", config=_CONTAINER_CONFIG),
        *_store(
            RUN + "/{id}",
            state=_SANDBOX_STATE,
            network={"Endpoints": [], "NetNsCreated": False, "NetNsPath": "/var/run/netns/cni-1234"},
            hypervisor=_HYPERVISOR,
            agent={"ProxyPid": NO_PID, "URL": "unix:///run/vc/sbs/@id@/proxy.sock"},
            devices=None,
        ),
        *_store(
            RUN + "/{id}/{container}",
            state={"state": "running", "BlockDeviceID": "", "fstype": "", "cgroupPath": "/kata/@id@/@container@"},
            process={"Token": "token", "Pid": NO_PID, "StartTime": "2026-11-21T23:13:13.086432775Z"},
            mounts=[_MOUNT],
            devices=[],
        ),
    ),
)
NO_KATA = Kind("kata_store", _KATA, (RUN, CONFIG), ())

_MAPPING = "run/kata-containers/containers-mapping"
NO_MAPPING = Kind("", {"root": _MAPPING}, (_MAPPING,), ())

_RUNSC = "run/runsc"
_RUNSC_STATE = {
    "id": "@id@",
    "spec": {
        "ociVersion": "1.0.0",
        "process": {"user": {"uid": 0, "gid": 0}, "args": ["/bin/sleep", "600"], "env": ["PATH=/bin"], "cwd": "/"},
        "root": {"path": "rootfs"},
        "hostname": "web-1",
        "linux": {"cgroupsPath": "/@id@", "namespaces": [{"type": "pid"}, {"type": "mount"}, {"type": "network"}]},
    },
    "bundleDir": "/run/bundles/@id@",
    "createdAt": "2026-11-21T23:13:13.086432775Z",
    "owner": "",
    "consoleSocket": "",
    "status": "running",
    "goferPid": NO_PID,
    "sandbox": {
        "id": "@id@",
        "podName": "",
        "namespace": "",
        "pid": NO_PID,
        "uid": 0,
        "gid": 0,
        "cgroup": None,
        "controlSocketPath": "",
        "startTime": "2026-11-21T23:13:13.085771164Z",
    },
    "saver": {"rootDir": "/run/runsc", "id": {"sandboxId": "@id@", "containerId": "@id@"}},
    "goferMountConfs": [{"upper": 2, "lower": 1}],
}
GVISOR = Kind(
    "gvisor",
    {"run_root": _RUNSC},
    (_RUNSC,),
    (
        Entry(_RUNSC + "/{id}_sandbox:{id}.state", 0o640, _go(_RUNSC_STATE)),
        Entry(_RUNSC + "/{id}_sandbox:{id}.lock", 0o600, ""),
    ),
)

_TASKS = "io.containerd.runtime.v2.task/default"
_BUNDLE, _WORK = f"run/containerd/{_TASKS}", f"var/lib/containerd/{_TASKS}"
_CAPABILITIES = ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_KILL", "CAP_SETGID", "CAP_SETUID"]
_BUNDLE_SPEC = {
    "ociVersion": "1.0.2-dev",
    "process": {
        "user": {"uid": 0, "gid": 0, "additionalGids": [0]},
        "args": ["/bin/sleep", "1000"],
        "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
        "cwd": "/",
        "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), _CAPABILITIES),
        "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
        "noNewPrivileges": True,
    },
    "root": {"path": "rootfs"},
    "mounts": [
        {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=65536k"]},
        {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
    ],
    "linux": {
        "resources": {"devices": [{"allow": False, "access": "rwm"}]},
        "cgroupsPath": "/default/@id@",
        "namespaces": [{"type": kind} for kind in ("pid", "ipc", "uts", "mount", "network")],
        "maskedPaths": ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"],
        "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
    },
}
_BUNDLE_FILES = {
    "address": "unix:///run/containerd/s/@id@",
    "config.json": _go(_BUNDLE_SPEC),
    "init.pid": str(NO_PID),
    "log.json": "",
    "options.json": _go({"binary_name": "", "root": ""}),
    "runtime": "io.containerd.runc.v2",
}


def _bundle(name: str) -> list[Entry]:
    """name: "id" or "container"."""
    bundle, work = f"{_BUNDLE}/{{{name}}}", f"{_WORK}/{{{name}}}"
    files = {file: content.replace("@id@", f"@{name}@") for file, content in _BUNDLE_FILES.items()}
    return [
        Entry(bundle, 0o700),
        *(Entry(f"{bundle}/{file}", 0o644, content) for file, content in files.items()),
        Entry(f"{bundle}/shim-binary-path", 0o600, "/usr/bin/containerd-shim-runc-v2"),
        Entry(f"{bundle}/rootfs", 0o711),
        Entry(f"{bundle}/work", 0o777, f"/{_WORK}/@{name}@", is_link=True),
        Entry(work, 0o711),
    ]


# What a container leaves whose shim and daemon were killed; its root file system is unmounted.
BUNDLE = Kind("containerd_v2", {"host_root": ""}, (_BUNDLE, _WORK), tuple(_bundle("id")))

_HYPERVISOR_STATE = {"Type": "qemu", "UUID": _HYPERVISOR["UUID"], "VirtiofsDaemonPid": NO_PID, "Pid": NO_PID}
_PERSIST_STATE = {
    "CgroupPaths": {},
    "Devices": None,
    "State": "running",
    "SandboxContainer": "@id@",
    "SandboxCgroupPath": "/kubepods/besteffort/pod1/@id@",
    "OverheadCgroupPath": "/kata_overhead/@id@",
    "HypervisorState": {"BlockIndexMap": {}, "APISocket": "", "Bridges": None, **_HYPERVISOR_STATE},
    "AgentState": {"URL": "vsock://2557420117:1024"},
    "Network": {"NetworkID": "/var/run/netns/cni-1234", "Endpoints": None, "NetworkCreated": False},
    "Config": {
        "HypervisorType": "qemu",
        "ContainerConfigs": [{"Annotations": {}, "Resources": {}, "ID": "@id@", "RootFs": ""}],
        "NetworkConfig": {"NetworkID": "", "NetworkCreated": False, "DisableNewNetwork": False},
        "HypervisorConfig": {"KernelPath": "", "ImagePath": "", "VMid": "", "NumVCPUs": 0, "MemorySize": 0},
    },
}
_PERSIST_CONTAINER = {
    "State": "running",
    "CgroupPath": "/kubepods/besteffort/pod1/@container@",
    "BundlePath": f"/{_BUNDLE}/@container@",
    "Rootfs": {"BlockDeviceID": "", "FsType": ""},
    "Process": {"StartTime": "2023-11-14T22:13:20Z", "Token": "t1", "Pid": NO_PID},
    "DeviceMaps": None,
    "Mounts": [_MOUNT],
}
SHARED = "run/kata-containers/shared/sandboxes"
_PERSIST = [
    Entry(RUN + "/{id}", 0o750),
    Entry(RUN + "/{id}/persist.json", 0o600, _go(_PERSIST_STATE)),
    Entry(RUN + "/{id}/{container}", 0o700),
    Entry(RUN + "/{id}/{container}/persist.json", 0o600, _go(_PERSIST_CONTAINER)),
    *(Entry(f"{SHARED}/{{id}}{below}", 0o700) for below in ("", "/mounts", "/mounts/{container}", "/shared")),
]
_IN_POD = {**_RUNSC_STATE, "id": "@container@", "saver": {"id": {"sandboxId": "@id@", "containerId": "@container@"}}}
_GVISOR_POD = [
    *GVISOR.entries,
    Entry(_RUNSC + "/{container}_sandbox:{id}.state", 0o640, _go(_IN_POD)),
    Entry(_RUNSC + "/{container}_sandbox:{id}.lock", 0o600, ""),
]
_MAPPED = [Entry(_MAPPING + "/{container}", 0o750), Entry(_MAPPING + "/{container}/{id}", 0o750)]
_POD = [*_bundle("id"), *_bundle("container"), *_MAPPED]
_STORE_POD = (*WHOLE_KATA.entries, *_POD)
# A host with pods of several generations, of which nobody lives: of each a sandbox, two bundles and a mapping. gVisor
# has no mappings; they are from before the host was moved to it.
HOST = Kind(
    "",
    {"host_root": ""},
    (RUN, CONFIG, _RUNSC, _BUNDLE, _WORK, _MAPPING, SHARED),
    _STORE_POD,
    ((*_PERSIST, *_POD), _STORE_POD, (*_GVISOR_POD, *_POD), _STORE_POD),
    objects=4,
    links=(("var/run", "../run"),),
)
# The same, with empty directories below the shared trees on which much can be mounted.
VOLUMES = 40
_VOLUMES = [Entry(f"{SHARED}/{{id}}/mounts/volume-{number}", 0o750) for number in range(VOLUMES)]
HOST_WITH_VOLUMES = HOST._replace(others=((*_PERSIST, *_VOLUMES, *_POD), *HOST.others[1:]))
EMPTY_HOST = Kind("", {"host_root": ""}, (), ())
