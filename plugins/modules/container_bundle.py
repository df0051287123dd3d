#!/usr/bin/python
# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: container_bundle
short_description: Create, repair or remove OCI bundles of containers
version_added: 0.1.0
author:
  - The sandboxed.containers authors (@sandboxed)
description:
  - Manages the bundles in which containerd keeps its containers on a host, each with its work directory and the sockets
    of its shim, and OCI bundles that stand for themselves.
  - Frees a container's name where something died at the wrong moment, so that containerd can use it again.
  - Never removes the bundle of a container that lives or that containerd may still need, nor what is mounted in
    it.
options:
  state:
    description:
      - V(present) makes sure that the bundle exists with that spec. The spec is rewritten only where it differs in
        meaning, and never under a live container. What a failed run has made is removed again.
      - V(absent) makes sure that nothing of the bundle is left, work directory, shim sockets and what C(runc) keeps of
        the container included. Missing is success.
    type: str
    choices: [present, absent]
    default: present
  layout:
    description:
      - Who keeps the bundles.
      - V(containerd_v2) is containerd's runtime v2, since 1.2. V(containerd_v1) is its runtime v1, up to 1.7.
      - V(oci) is any directory of bundles, given as O(path), for C(runc), C(crun) or C(runsc) by hand.
    type: str
    choices: [containerd_v2, containerd_v1, oci]
    required: true
  container_id:
    description:
      - Exact name of the container. With O(state=absent) also a list of names, or a text with commas.
      - Quote names that look like numbers. An empty list means none, nothing changes. Required unless O(bundles) is
        given.
    type: raw
  namespace:
    description:
      - containerd's namespace, V(default) when omitted. Kubernetes has V(k8s.io), Docker V(moby).
    type: raw
  spec:
    description:
      - The OCI runtime spec that becomes C(config.json). Needed to create a bundle.
      - It is checked for what every runtime needs (C(ociVersion), C(process), C(root)), and a wrong one is refused with
        the place in it.
      - With V(oci), a relative C(root.path) is made as an empty directory where it is missing, an absolute one must
        exist.
    type: dict
  spec_file:
    description: A file on the managed host that has the spec, instead of O(spec).
    type: path
  bundles:
    description:
      - Many bundles in one task, each with a spec and a namespace of its own.
    type: list
    elements: dict
    suboptions:
      container_id:
        description: See O(container_id).
        type: raw
        required: true
      namespace:
        description: See O(namespace).
        type: raw
      spec:
        description: See O(spec).
        type: dict
      spec_file:
        description: See O(spec_file).
        type: path
  fail_if_exists:
    description:
      - With O(state=present), fail when the bundle exists already. Of many that try at once, exactly one succeeds.
    type: bool
    default: false
  state_root:
    description:
      - containerd's own C(state) directory, C(/run/containerd) below O(host_root) when omitted.
    type: path
  work_root:
    description:
      - containerd's own C(root) directory, C(/var/lib/containerd) below O(host_root) when omitted.
      - With O(state_root) it is the one that goes with that, as C(/var/lib/rancher/k3s/agent/containerd) does with
        C(/run/k3s/containerd). Where no engine has that O(state_root), what its containerd lists is not known without
        this option, and a bundle is kept.
    type: path
  path:
    description:
      - With V(oci), the directory that has the bundles.
    type: path
  cgroups:
    description:
      - With O(state=absent), remove the container's cgroups as well, as far as no process is in them and their own
        name is that of the container.
      - Slices, and what an engine, Kata or systemd has of its own, for example C(kubepods), stay whatever the container
        is called.
      - With O(state=present), make those that the spec asks for by C(linux.cgroupsPath) and C(linux.resources).
    type: bool
    default: false
  on_mounted:
    description:
      - With O(state=absent), what to do with mounts below the bundle, such as the root file system of a container that
        was killed. V(unmount) unmounts them first. One on the directory of the bundle itself hides whose it is, and is
        always refused.
      - With O(state=present), a bundle in which something is mounted is never changed.
    type: str
    choices: [refuse, unmount]
    default: refuse
  force:
    description:
      - Go on although it is unknown whether an owner lives, for example while containerd does not run or still lists
        the container. Never overrides a live owner, mounts, or the identity of a file.
    type: bool
    default: false
  stop_processes:
    description:
      - With O(state=absent), end the processes of the container first, each only if it is proved to be one. A
        shim of a containerd that runs is left to that.
      - With O(state=present), the bundle of a live container is never changed.
    type: bool
    default: false
extends_documentation_fragment:
  - sandboxed.containers.options
  - sandboxed.containers.options.locking
  - sandboxed.containers.options.writing
  - sandboxed.containers.options.as_root
  - sandboxed.containers.attributes
seealso:
  - module: sandboxed.containers.container_bundle_info
  - module: sandboxed.containers.sandbox_state
"""

EXAMPLES = r"""
- name: Free the name of a container whose shim was killed
  sandboxed.containers.container_bundle:
    layout: containerd_v2
    namespace: k8s.io
    container_id: web-1
    state: absent
    on_mounted: unmount

- name: The same while containerd is stopped, for a container that is known to be dead
  sandboxed.containers.container_bundle:
    layout: containerd_v2
    container_id: [web-1, web-2]
    state: absent
    on_mounted: unmount
    force: true

- name: Make a bundle that runc, crun or runsc can run
  sandboxed.containers.container_bundle:
    layout: oci
    path: /srv/bundles
    container_id: hello
    spec:
      ociVersion: 1.0.2
      process:
        args: [/bin/echo, hello]
        cwd: /
        env: [PATH=/bin]
      root:
        path: rootfs
"""

RETURN = r"""
msg:
  description: What was done, or in check mode would be, in words. Where something failed, which and why.
  returned: always
  type: str
  sample: '3 bundles: 2 created, 1 unchanged.'
bundles:
  description: What was done to each bundle, in the order of the options.
  returned: always
  type: list
  elements: dict
  contains:
    container_id:
      description: Name of the container.
      type: str
      returned: always
      sample: web-1
    namespace:
      description: containerd's namespace.
      type: str
      returned: with a layout of containerd's
      sample: k8s.io
    layout:
      description: Who keeps it.
      type: str
      returned: always
      sample: containerd_v2
    paths:
      description: Everything that it had on disk, or has now.
      type: list
      elements: str
      returned: always
      sample: [/run/containerd/io.containerd.runtime.v2.task/k8s.io/web-1]
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
        Bundle 'web-1' (containerd_v2, namespace k8s.io): there is 1 mount on it or below (overlay on
        /run/containerd/io.containerd.runtime.v2.task/k8s.io/web-1/rootfs). Set on_mounted=unmount to unmount first.
        Nothing was changed.
"""

from ansible_collections.sandboxed.containers.plugins.module_utils._basis import quick_imports

quick_imports.begin()

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import StateError
from ansible_collections.sandboxed.containers.plugins.module_utils._object.bundle_options import (
    BUNDLE_OPTIONS,
    items_of,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.change_task import change_items
from ansible_collections.sandboxed.containers.plugins.module_utils._object.task import make_task


def main() -> None:
    flat = ("container_id", "spec", "spec_file")
    excluding = [("bundles", option) for option in flat]
    task = make_task(BUNDLE_OPTIONS, mutually_exclusive=[*excluding, ("spec", "spec_file")])
    try:
        items = items_of(task.params)
    except StateError as error:
        task.fail_json(str(error))
    change_items(task, "bundles", items)


if __name__ == "__main__":
    main()
