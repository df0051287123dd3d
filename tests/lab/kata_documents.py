# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The documents of three generations of Kata, as the runtimes' own code writes them, key order included.

Contracts: kata-store.md (1.8), kata-persist.md (3.2), kata-runtime-rs.md (4.1). Those of the first two are the same
byte for byte as samples that Kata's own code wrote; a test compares them. runtime-rs sorts all keys, because it goes
through a value of serde_json, whose objects are sorted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

UUID = "6c5bcd4f-9ab0-4ff0-a4f1-9ab0c0ffee00"
NEVER = "0001-01-01T00:00:00Z"  # Go's zero time
VIRTIOFS = "virtio-fs"


@dataclass(frozen=True)
class Facts:
    """What varies between sandboxes. The defaults are those of a QEMU sandbox that runs.

    hypervisor: qemu, clh, firecracker, dragonball, remote, …, as the document spells it. bundles: container to its
    bundle directory. vm_id: the VM of a factory that it runs in. jailed: Firecracker in a jail (runtime-rs).
    old_keys: the spelling of Kata 2.0 to 2.2. binds: container to the host path of a volume.
    """

    hypervisor: str = "qemu"
    state: str = "running"
    vmm_pid: int = 0
    virtiofsd_pid: int = 0
    proxy_pid: int = 0
    container_pid: int = 0
    token: str = "tok"
    vm_id: str = ""
    shared_fs: str = ""
    agent_url: str = "vsock://2557420117:1024"
    jailed: bool = False
    old_keys: bool = False
    bundles: Mapping[str, str] = field(default_factory=dict)
    binds: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] | None = None


def go(content: Any, newline: bool = False) -> bytes:
    """As Go's encoding/json writes it: no blanks, three characters and two line separators escaped."""
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text.encode() + (b"\n" if newline else b"")


def serde(content: Any) -> bytes:
    """As serde_json's to_writer_pretty writes a value: sorted keys, two blanks, no newline at the end."""
    return json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False).encode()


# -- Kata 1.6 to 1.8, the store --------------------------------------------------------------------------------------


def store_sandbox(sandbox_id: str, facts: Facts, run_root: str) -> dict[str, Any]:
    """The documents of a sandbox by name; `config` belongs to the configuration tree, the others to the state tree."""
    return {
        "config": {
            "ID": sandbox_id,
            "Hostname": "web-1",
            "HypervisorType": facts.hypervisor,
            "HypervisorConfig": _store_hypervisor_config(facts),
            "AgentType": "kata",
            "AgentConfig": None,
            "ProxyType": "kataBuiltInProxy",
            "ProxyConfig": {"Path": "", "Debug": False},
            "ShimType": "kataBuiltInShim",
            "ShimConfig": None,
            "NetworkConfig": {
                "NetNSPath": "",
                "NetNsCreated": False,
                "DisableNewNetNs": False,
                "NetmonConfig": {"Path": "", "Debug": False, "Enable": False},
                "InterworkingModel": 0,
            },
            "Volumes": None,
            "Containers": None,
            "Annotations": facts.annotations and dict(facts.annotations),
            "ShmSize": 67108864,
            "SharePidNs": False,
            "Stateful": False,
            "SystemdCgroup": False,
            "DisableGuestSeccomp": False,
            "Experimental": None,
        },
        "state": {
            "state": facts.state,
            "blockIndex": 2,
            "guestMemoryBlockSize": 128,
            "guestMemoryHotplugProbe": False,
            "cgroupPath": f"/kata/{sandbox_id}",
        },
        "network": {"Endpoints": [], "NetNsCreated": False, "NetNsPath": "/var/run/netns/cni-1234"},
        "hypervisor": {
            "Bridges": [{"Addr": 2, "Address": {}, "ID": "pci-bridge-0", "Type": "pci"}],
            "HotplugVFIOOnRootBus": False,
            "HotpluggedMemory": 0,
            "HotpluggedVCPUs": None,
            "UUID": UUID,
        },
        "agent": {"ProxyPid": facts.proxy_pid, "URL": f"unix://{run_root}/sbs/{sandbox_id}/proxy.sock"},
        "devices": None,
    }


def _store_hypervisor_config(facts: Facts) -> dict[str, Any]:
    numbers = "NumVCPUs DefaultMaxVCPUs MemorySize DefaultBridges Msize9p MemSlots MemOffset VirtioFSCacheSize"
    texts = (
        "KernelPath ImagePath InitrdPath FirmwarePath MachineAccelerators HypervisorPath BlockDeviceDriver "
        "HypervisorMachineType MemoryPath DevicesStatePath EntropySource"
    )
    switches = (
        "BlockDeviceCacheSet BlockDeviceCacheDirect BlockDeviceCacheNoflush DisableBlockDeviceUse EnableIOThreads "
        "Debug MemPrealloc HugePages"
    )
    more = (
        "Realtime Mlock DisableNestingChecks UseVSock HotplugVFIOOnRootBus BootToBeTemplate BootFromTemplate "
        "DisableVhostNet"
    )
    return {
        **dict.fromkeys(numbers.split(), 0),
        "KernelParams": None,
        "HypervisorParams": None,
        **dict.fromkeys(texts.split(), ""),
        "SharedFS": facts.shared_fs,
        "VirtioFSDaemon": "",
        "VirtioFSCache": "",
        **dict.fromkeys(switches.split(), False),
        "FileBackedMemRootDir": "",
        **dict.fromkeys(more.split(), False),
        "GuestHookPath": "",
        "VMid": facts.vm_id,
    }


def store_container(sandbox_id: str, container_id: str, facts: Facts) -> dict[str, Any]:
    """The documents of a container by name; `config` belongs to the configuration tree."""
    sets = "Bounding Effective Inheritable Permitted Ambient"
    bundle = facts.bundles.get(container_id, "/run/bundle")
    return {
        "config": {
            "ID": container_id,
            "RootFs": {"Source": "", "Target": "", "Type": "", "Options": None, "Mounted": False},
            "ReadonlyRootfs": False,
            "Cmd": {
                **dict.fromkeys(["Args", "Envs", "SupplementaryGroups"]),
                **dict.fromkeys(["User", "PrimaryGroup", "WorkDir", "Console"], ""),
                "Capabilities": dict.fromkeys(sets.split()),
                **dict.fromkeys(["Interactive", "Detach", "NoNewPrivileges"], False),
            },
            "Annotations": {"io.katacontainers.pkg.oci.bundle_path": bundle},
            "Mounts": None,
            "DeviceInfos": None,
            "Resources": {},
        },
        "state": {
            "state": facts.state,
            "BlockDeviceID": "",
            "fstype": "",
            "cgroupPath": f"/kata/{sandbox_id}/{container_id}",
        },
        "process": {"Token": facts.token, "Pid": facts.container_pid, "StartTime": NEVER},
        "mounts": [_mount(facts.binds.get(container_id, "/var/lib/data"), store=True)],
        "devices": [],
    }


def _mount(host_path: str, store: bool) -> dict[str, Any]:
    """A volume. The two generations order the same keys differently."""
    head = {"Source": host_path, "Destination": "/data", "Type": "bind"}
    if store:
        return {**head, "Options": ["rbind"], "HostPath": host_path, "ReadOnly": False, "BlockDeviceID": ""}
    return {**head, "HostPath": host_path, "BlockDeviceID": "", "Options": ["rbind"], "ReadOnly": False}


# -- Kata 1.11 to 4.x, persist.json ----------------------------------------------------------------------------------


def persist_sandbox(sandbox_id: str, facts: Facts, run_root: str) -> dict[str, Any]:
    """The sandbox's persist.json of Kata 3.2, or with the keys of 2.1."""
    own_cgroup = f"/kubepods/besteffort/pod1/{sandbox_id}"
    cgroups: dict[str, Any] = {
        "SandboxCgroupPath": own_cgroup,
        "OverheadCgroupPath": f"/kata_overhead/{sandbox_id}",
    }
    if facts.old_keys:
        cgroups = {"CgroupPath": own_cgroup}
    return {
        "CgroupPaths": {},
        "Devices": None,
        "State": facts.state,
        "SandboxContainer": sandbox_id,
        **cgroups,
        "HypervisorState": _persist_hypervisor(sandbox_id, facts, run_root),
        "AgentState": {"URL": facts.agent_url},
        "Network": {"NetworkID": "/var/run/netns/cni-1234", "Endpoints": None, "NetworkCreated": False},
        "Config": {
            "cgroups": None,
            "KataShimConfig": None,
            "GuestSeLinuxLabel": "",
            "HypervisorType": facts.hypervisor,
            "SandboxBindMounts": None,
            "Experimental": None,
            "ContainerConfigs": [
                {
                    "Annotations": {
                        "io.katacontainers.pkg.oci.container_type": "pod_sandbox",
                        **(facts.annotations or {}),
                    },
                    "Resources": {},
                    "ID": sandbox_id,
                    "RootFs": "",
                }
            ],
            "NetworkConfig": {
                "NetworkID": "",
                "NetworkCreated": False,
                "DisableNewNetwork": False,
                "InterworkingModel": 0,
            },
            "HypervisorConfig": _persist_hypervisor_config(facts),
            "ShmSize": 0,
            "SharePidNs": False,
            "Stateful": False,
            "SystemdCgroup": False,
            "SandboxCgroupOnly": False,
            "DisableGuestSeccomp": False,
            "EnableVCPUsPinning": False,
        },
        "PersistVersion": 2,
        "GuestMemoryBlockSizeMB": 128,
        "GuestMemoryHotplugProbe": False,
    }


def _persist_hypervisor(sandbox_id: str, facts: Facts, run_root: str) -> dict[str, Any]:
    api = f"{run_root}/vm/{facts.vm_id or sandbox_id}/clh-api.sock" if facts.hypervisor == "clh" else ""
    return {
        "BlockIndexMap": {},
        "Type": facts.hypervisor,
        "UUID": UUID,
        "APISocket": api,
        "Bridges": None,
        "HotpluggedVCPUs": None,
        "HotpluggedMemory": 0,
        "VirtiofsdPid" if facts.old_keys else "VirtiofsDaemonPid": facts.virtiofsd_pid,
        "Pid": facts.vmm_pid,
        "HotPlugVFIO": "",
        "ColdPlugVFIO": "",
    }


def _persist_hypervisor_config(facts: Facts) -> dict[str, Any]:
    texts = (
        "KernelPath ImagePath InitrdPath FirmwarePath MachineAccelerators CPUFeatures HypervisorPath HypervisorCtlPath "
        "JailerPath BlockDeviceDriver HypervisorMachineType MemoryPath DevicesStatePath EntropySource"
    )
    paths = "VirtioFSDaemon VirtioFSCache FileBackedMemRootDir VhostUserStorePath SeccompSandbox GuestHookPath"
    lists = (
        "HypervisorPathList HypervisorCtlPathList JailerPathList EntropySourceList VirtioFSDaemonList "
        "VirtioFSExtraArgs FileBackedMemRootList VhostUserStorePathList EnableAnnotations"
    )
    numbers = (
        "MemOffset RxRateLimiterMaxRate TxRateLimiterMaxRate SGXEPCSize NumVCPUs DefaultMaxVCPUs MemorySize "
        "DefaultBridges Msize9p MemSlots VirtioFSCacheSize"
    )
    switches = (
        "BlockDeviceCacheSet BlockDeviceCacheDirect BlockDeviceCacheNoflush DisableBlockDeviceUse EnableIOThreads "
        "Debug MemPrealloc HugePages VirtioMem DisableNestingChecks DisableImageNvdimm"
    )
    return {
        **dict.fromkeys(texts.split(), ""),
        "SharedFS": facts.shared_fs,
        **dict.fromkeys(paths.split(), ""),
        "VMid": facts.vm_id,
        **dict.fromkeys(lists.split()),
        **dict.fromkeys(numbers.split(), 0),
        **dict.fromkeys(switches.split(), False),
        "HotPlugVFIO": "",
        "ColdPlugVFIO": "",
        **dict.fromkeys(["BootToBeTemplate", "BootFromTemplate", "DisableVhostNet", "EnableVhostUserStore"], False),
    }


def persist_container(sandbox_id: str, container_id: str, facts: Facts) -> dict[str, Any]:
    """A container's persist.json. Only the sandbox's own container has a process in the sample."""
    own = container_id == sandbox_id
    task = f"/run/containerd/io.containerd.runtime.v2.task/k8s.io/{container_id}"
    return {
        "State": facts.state,
        "CgroupPath": f"/kubepods/besteffort/pod1/{container_id}",
        "BundlePath": facts.bundles.get(container_id, task),
        "Rootfs": {"BlockDeviceID": "", "FsType": ""},
        "Process": {
            "StartTime": "2023-11-14T22:13:20Z" if own else NEVER,
            "Token": "t1" if own else "",
            "Pid": facts.container_pid if own else 0,
        },
        "DeviceMaps": None,
        "Mounts": None if own else [_mount(facts.binds.get(container_id, "/var/lib/data"), store=False)],
    }


# -- runtime-rs ------------------------------------------------------------------------------------------------------


def rs_sandbox(sandbox_id: str, facts: Facts, run_root: str) -> dict[str, Any]:
    """The state.json of a sandbox. QEMU and remote save little of themselves, and no VMM saves its pid."""
    base = f"{run_root}/{sandbox_id}"
    vm: dict[str, Any] = {"vm_path": base, "run_dir": base, "jailer_root": f"{base}/root", "netns": "/run/netns/cni-1"}
    if facts.hypervisor == "qemu":
        vm = {"vm_path": "", "run_dir": "", "jailer_root": "", "netns": None}
    elif facts.hypervisor == "remote":
        vm = {"vm_path": "", "run_dir": "", "jailer_root": "", "netns": "/run/netns/cni-1"}
    elif facts.hypervisor == "firecracker" and facts.jailed:
        jail = f"{run_root}/firecracker/{sandbox_id}"
        vm.update(vm_path=jail, run_dir=f"{jail}/root/run", jailer_root=run_root)
    elif facts.hypervisor == "firecracker":
        vm.update(run_dir=f"{base}/run", jailer_root="")
    elif facts.hypervisor != "dragonball":  # Cloud Hypervisor
        vm.update(jailer_root="")
    return {
        "sandbox_type": "virt_container",
        "resource": {
            "endpoint": [],
            "cgroup_state": {
                "path": f"/kubepods/besteffort/pod1/{sandbox_id}",
                "overhead_path": f"kata_overhead/{sandbox_id}",
                "sandbox_cgroup_only": False,
                "enable_vcpus_pinning": False,
            },
        },
        "hypervisor": {
            "hypervisor_type": facts.hypervisor,
            "pid": facts.vmm_pid or None,
            "uuid": "",
            "api_socket": "",
            "id": sandbox_id,
            "jailed": facts.jailed,
            **vm,
            "config": {
                "path": "/opt/kata/bin/qemu-system-x86_64",
                "jailer_path": "/opt/kata/bin/jailer" if facts.jailed else "",
                "kernel": "/opt/kata/share/kata-containers/vmlinux.container",
                "kernel_params": "systemd.unit=kata-containers.target quiet",
                "shared_fs": facts.shared_fs or VIRTIOFS,
                "virtio_fs_daemon": "/opt/kata/libexec/virtiofsd",
                "virtio_fs_extra_args": [],
                "default_memory": 2048,
                "default_vcpus": 1.0,
                "disable_guest_selinux": True,
            },
            "cached_block_devices": [],
            "virtiofs_daemon_pid": facts.virtiofsd_pid,
            "passfd_listener_port": None,
            "guest_protection_to_use": "NoProtection",
        },
    }
