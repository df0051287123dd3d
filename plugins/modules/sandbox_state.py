#!/usr/bin/python
# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: sandbox_state
short_description: Create, repair or remove the on-host state of sandboxes
version_added: 0.1.0
author:
  - The sandboxed.containers authors (@sandboxed)
description:
  - Manages the files in which a sandboxed container runtime keeps the state of its sandboxes on a host, with the
    runtime's own locks.
  - Removes what a sandbox has left behind when something died at the wrong moment, so that the runtime can use the
    name again.
  - Never removes the state of a sandbox that lives, and keeps what cannot be proved to be dead.
options:
  state:
    description:
      - V(present) makes sure that the sandbox exists with the given documents. A document is rewritten only where
        it differs in meaning, and never under a live sandbox.
      - V(absent) makes sure that nothing of the sandbox is left. Missing is success, and partial or corrupt states
        can be removed.
    type: str
    choices: [present, absent]
    default: present
  layout:
    description:
      - Which runtime generation keeps the state.
      - V(kata_store) is Kata Containers 1.6 to 1.8, and what later releases of 1.x leave of it in C(/var/lib/vc/sbs).
      - V(kata_persist) is Kata 1.11 to 1.13 and the Go runtime of 2.x to 4.x, with C(persist.json).
      - V(kata_rs) is Kata's Rust runtime, the usual one since 4.0.
      - V(gvisor) is C(runsc) from release-20210112.0, V(gvisor_legacy) the form before it.
    type: str
    choices: [kata_store, kata_persist, kata_rs, gvisor, gvisor_legacy]
    required: true
  sandbox_id:
    description:
      - Exact name of the sandbox. With O(state=absent) also a list of names, or a text with commas. The
        names of V(gvisor_legacy) may have one themselves, and only a list means several there.
      - Quote names that look like numbers. YAML reads an unquoted V(0123) as 83, and numbers are refused.
      - An empty list means none, nothing changes. Required unless O(sandboxes) is given.
    type: raw
  container_id:
    description:
      - Exact name of one container inside the sandbox. When omitted, O(state=absent) means the whole sandbox.
      - O(state=present) then means the sandbox itself with Kata's layouts, and with gVisor's the sandbox's own
        container, which has the sandbox's name.
      - V(kata_rs) keeps nothing for single containers.
    type: raw
  documents:
    description:
      - What the sandbox's files are to contain, by name, each whole. What is needed to create a sandbox or container is
        said below. Documents that a layout does not have are refused.
      - They are written as the runtime writes them, byte for byte, in the order of the keys that is given (sorted in
        V(kata_rs), as its runtime has them).
    type: dict
    suboptions:
      state:
        description:
          - The C(.state) document of C(runsc), or C(state.json) of Kata's store and of its Rust runtime. Needed in all
            of them.
          - A name inside it must be that of the object, for example C(id) and C(sandbox.id) for C(runsc).
        type: dict
      config:
        description:
          - C(config.json) of V(kata_store), of a sandbox or of a container. Needed. Its C(ID) must be the name.
        type: dict
      network:
        description: C(network.json) of V(kata_store), of a sandbox only.
        type: dict
      hypervisor:
        description: C(hypervisor.json) of V(kata_store), of a sandbox only.
        type: dict
      agent:
        description: C(agent.json) of V(kata_store), of a sandbox only.
        type: dict
      process:
        description: C(process.json) of V(kata_store), of a container only.
        type: dict
      mounts:
        description: C(mounts.json) of V(kata_store), of a container only.
        type: list
        elements: dict
      devices:
        description:
          - C(devices.json) of V(kata_store). A sandbox's devices have C(Type) and C(Data), a container's C(ID) and
            C(ContainerPath).
        type: list
        elements: dict
      persist:
        description: C(persist.json) of V(kata_persist), of a sandbox or of a container. Needed.
        type: dict
  raw_items:
    description:
      - With V(kata_store), texts that are kept beside the documents, by name. Each becomes a file in C(raw/), and its
        C(file://) URL is returned.
      - An empty name asks for one like those that Kata makes up, C(raw-) and digits. It follows from the text, so the
        same task again finds it.
      - Other raw items are left alone. The texts are never shown.
    type: dict
  sandboxes:
    description:
      - Many sandboxes or containers in one task, each with documents of its own.
    type: list
    elements: dict
    suboptions:
      sandbox_id:
        description: See O(sandbox_id).
        type: raw
        required: true
      container_id:
        description: See O(container_id).
        type: raw
      documents:
        description: See O(documents).
        type: dict
        suboptions:
          state:
            description: See O(documents.state).
            type: dict
          config:
            description: See O(documents.config).
            type: dict
          network:
            description: See O(documents.network).
            type: dict
          hypervisor:
            description: See O(documents.hypervisor).
            type: dict
          agent:
            description: See O(documents.agent).
            type: dict
          process:
            description: See O(documents.process).
            type: dict
          mounts:
            description: See O(documents.mounts).
            type: list
            elements: dict
          devices:
            description: See O(documents.devices).
            type: list
            elements: dict
          persist:
            description: See O(documents.persist).
            type: dict
      raw_items:
        description: See O(raw_items).
        type: dict
  fail_if_exists:
    description:
      - With O(state=present), fail when the sandbox exists already. Of many that try at once, exactly one succeeds.
    type: bool
    default: false
  run_root:
    description:
      - The directory that the runtime keeps its state in, below O(host_root) when omitted.
      - For gVisor C(runsc)'s own C(--root), usually C(/var/run/runsc). A C(runsc) that was started from a login shell
        may use C($XDG_RUNTIME_DIR/runsc), containerd's shim uses C(/run/containerd/runsc/NAMESPACE), Docker
        C(/var/run/docker/runtime-runsc/moby).
      - For V(kata_store) and V(kata_persist) C(/run/vc), whose sandboxes are in C(sbs), for V(kata_rs) C(/run/kata).
        For a rootless Kata the same below C($XDG_RUNTIME_DIR).
    type: path
  config_root:
    description:
      - With V(kata_store), the directory of the configurations, C(/var/lib/vc) below O(host_root) when omitted.
    type: path
  on_mounted:
    description:
      - What to do with mounts at or below a path that would be removed. V(unmount) unmounts them first.
      - A Kata sandbox has a shared tree full of mounts beside its state, and a VM directory. Both are removed with it,
        and only if it is proved to be dead.
    type: str
    choices: [refuse, unmount]
    default: refuse
  force:
    description:
      - Go on although it is unknown whether an owner lives. Never overrides a live owner, mounts, or the identity of a
        file, and never removes what a Kata sandbox shares with its machine.
    type: bool
    default: false
  stop_processes:
    description:
      - With O(state=absent), stop a live owner first. Only processes that are proved to belong to the sandbox get a
        signal.
      - One container of several in a live sandbox is refused, since one process serves them all.
      - A sandbox that the shim of an engine (containerd, Docker) serves is refused. Remove that with the engine.
    type: bool
    default: false
extends_documentation_fragment:
  - sandboxed.containers.options
  - sandboxed.containers.options.locking
  - sandboxed.containers.options.writing
  - sandboxed.containers.options.as_root
  - sandboxed.containers.attributes
seealso:
  - module: sandboxed.containers.sandbox_state_info
"""

EXAMPLES = r"""
- name: Remove what a dead sandbox left behind, so that runsc can use its name again
  sandboxed.containers.sandbox_state:
    layout: gvisor
    sandbox_id: web-1
    state: absent

- name: Remove several sandboxes of containerd's namespace k8s.io in one task
  sandboxed.containers.sandbox_state:
    layout: gvisor
    sandbox_id:
      - 5e8491393fab78ba5b249d34442b422520eaffbcd8994d47a0139698680ca4eb
      - 9c01d2f3a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f
    run_root: /run/containerd/runsc/k8s.io
    state: absent

- name: Remove one container of a pod and keep the others
  sandboxed.containers.sandbox_state:
    layout: gvisor
    sandbox_id: pod-1
    container_id: sidecar-1
    state: absent

- name: Remove one container of a pod and a whole sandbox in one task
  sandboxed.containers.sandbox_state:
    layout: gvisor
    state: absent
    sandboxes:
      - sandbox_id: pod-1
        container_id: sidecar-1
      - sandbox_id: web-1

- name: Stop a sandbox that still runs, and remove its state
  sandboxed.containers.sandbox_state:
    layout: gvisor
    sandbox_id: web-1
    state: absent
    stop_processes: true

- name: Put a state back from a backup, but never over one that exists
  sandboxed.containers.sandbox_state:
    layout: gvisor
    sandbox_id: web-2
    documents:
      state:
        id: web-2
        status: stopped
        bundleDir: /srv/bundles/web-2
        sandbox:
          id: web-2
          pid: 0
    fail_if_exists: true

- name: Remove what a dead Kata sandbox left, with its shared tree and what is mounted there
  sandboxed.containers.sandbox_state:
    layout: kata_persist
    sandbox_id: 5e8491393fab78ba5b249d34442b422520eaffbcd8994d47a0139698680ca4eb
    state: absent
    on_mounted: unmount

- name: Remove what Kata 1.x left on the disk of a host that has been upgraded since
  sandboxed.containers.sandbox_state:
    layout: kata_store
    sandbox_id: [web-4, web-5]
    state: absent

- name: Put the state of a Kata 1.x sandbox and its container back from a backup
  sandboxed.containers.sandbox_state:
    layout: kata_store
    sandboxes:
      - sandbox_id: web-3
        documents:
          config: {ID: web-3, HypervisorType: qemu}
          state: {state: stopped}
        raw_items:
          note: restored
      - sandbox_id: web-3
        container_id: app-1
        documents:
          config: {ID: app-1}
          state: {state: stopped}

- name: Clean an offline image, where no process can own anything
  sandboxed.containers.sandbox_state:
    layout: gvisor
    sandbox_id: web-1
    state: absent
    host_root: /mnt/image
    sees_all_processes: true
"""

RETURN = r"""
msg:
  description: What was done, or in check mode would be, in words. Where something failed, which and why.
  returned: always
  type: str
  sample: 1 sandbox deleted.
sandboxes:
  description: How each sandbox or container ended, in the order in which they were given.
  returned: always, unless an option is wrong
  type: list
  elements: dict
  contains:
    sandbox_id:
      description: Name of the sandbox.
      type: str
      returned: always
      sample: web-1
    container_id:
      description: Name of the container.
      type: str
      returned: when it was given
      sample: sidecar-1
    layout:
      description: The runtime generation.
      type: str
      returned: always
      sample: gvisor
    raw_items:
      description: The C(file://) URL of each raw item, by the name that was given.
      type: dict
      returned: when raw items were given
      sample: {"note": "file:///run/vc/sbs/web-3/raw/note"}
    paths:
      description: The files and directories that it has, or had.
      type: list
      elements: str
      returned: always
      sample: ["/run/runsc/web-1_sandbox:web-1.state", "/run/runsc/web-1_sandbox:web-1.lock"]
    action:
      description: V(created), V(updated), V(deleted), V(unchanged) or V(failed).
      type: str
      returned: always
      sample: deleted
    msg:
      description: Why it failed and the way out, or what else to know.
      type: str
      returned: when there is something to say
      sample: >-
        Sandbox 'web-1' (gvisor) is in use: runsc-sandbox (pid 4711, running since 02:14) runs it.
        Stop the container first, or set stop_processes=true to stop it here.
"""

from ansible_collections.sandboxed.containers.plugins.module_utils._basis import quick_imports

quick_imports.begin()

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import StateError
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.registry import LAYOUTS
from ansible_collections.sandboxed.containers.plugins.module_utils._object.change_task import change_items
from ansible_collections.sandboxed.containers.plugins.module_utils._object.sandbox_options import (
    STATE_OPTIONS,
    items_of,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.task import make_task


def main() -> None:
    flat = ("sandbox_id", "container_id", "documents", "raw_items")
    task = make_task(STATE_OPTIONS, mutually_exclusive=[("sandboxes", option) for option in flat])
    try:
        items = items_of(task.params, LAYOUTS[task.params["layout"]])
    except StateError as error:
        task.fail_json(str(error))
    change_items(task, "sandboxes", items)


if __name__ == "__main__":
    main()
