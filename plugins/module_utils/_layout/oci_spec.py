# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OCI runtime specs, a bundle's config.json: what a runtime needs in one, what it says about pod and user namespace.

Source: runtime-spec v1.3.0 (config.md, config-linux.md); the checks are those without which runc, crun or runsc refuse
to create a container. The rest is theirs to judge.
"""

from __future__ import annotations

import re
from typing import Any

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import InvalidInput

# The shim that serves a container is found by the first of these that is there (containerd, runc/v2 groupLabels).
_GROUPS = ("io.containerd.runc.v2.group", "io.kubernetes.cri.sandbox-id")
_SANDBOXES = ("io.kubernetes.cri.sandbox-id", "io.kubernetes.cri-o.SandboxID")

_VERSION = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+(?:[-+][0-9A-Za-z.+-]+)?")
_MOST_ID = 2**32 - 2  # the kernel has no id 2**32 - 1: chown takes it as "leave it" (user_namespaces(7), chown(2))
_MOST_SIZE = 2**32 - 1  # of a mapping: that of all ids
_KINDS: dict[type, str] = {str: "a text", dict: "a mapping", list: "a list", bool: "a boolean", int: "a whole number"}


def check_spec(spec: Any, where: str) -> dict[str, Any]:
    """The spec, if a runtime can make a container of it.

    where: the option that holds it; an error names the JSON path below it, as "spec.process.args[0]". Types are
    checked where YAML easily makes other ones: a runtime refuses the whole document for one. Raises InvalidInput.
    """
    given: dict[str, Any] = _typed(spec, dict, where)
    version = _need(given, "ociVersion", str, where)
    if not _VERSION.fullmatch(version):
        raise InvalidInput(f"{where}.ociVersion", f"'{version}' is no version", 'Give one as "1.0.2".')
    _check_process(_need(given, "process", dict, where), f"{where}.process")
    root = _need(given, "root", dict, where)
    path = _need(root, "path", str, f"{where}.root")
    if not path or "\0" in path:
        raise InvalidInput(
            f"{where}.root.path", "it names no directory", "Give a path; a relative one is in the bundle."
        )
    _take(root, "readonly", bool, f"{where}.root")
    _take(given, "hostname", str, where)
    for number, mount in enumerate(_take(given, "mounts", list, where) or ()):
        place = f"{where}.mounts[{number}]"
        _need(_typed(mount, dict, place), "destination", str, place)
        _texts(mount, "options", place)
    for key, value in (_take(given, "annotations", dict, where) or {}).items():
        _typed(value, str, f"{where}.annotations.{key}")
    _check_linux(_take(given, "linux", dict, where) or {}, f"{where}.linux")
    return given


def _check_process(process: dict[str, Any], where: str) -> None:
    if not _texts(process, "args", where):
        raise InvalidInput(f"{where}.args", "there is no program to run", "Give the program and its arguments.")
    directory = _need(process, "cwd", str, where)
    if not directory.startswith("/"):
        raise InvalidInput(f"{where}.cwd", f"'{directory}' is no absolute path", 'Give one, for example "/".')
    _texts(process, "env", where)
    _take(process, "terminal", bool, where)
    user = _take(process, "user", dict, where) or {}
    for name in ("uid", "gid"):
        _check_id(user.get(name, 0), f"{where}.user.{name}")


def _check_linux(linux: dict[str, Any], where: str) -> None:
    _take(linux, "cgroupsPath", str, where)
    _take(linux, "resources", dict, where)
    for number, namespace in enumerate(_take(linux, "namespaces", list, where) or ()):
        place = f"{where}.namespaces[{number}]"
        _need(_typed(namespace, dict, place), "type", str, place)
    for name in ("uidMappings", "gidMappings"):
        for number, mapping in enumerate(_take(linux, name, list, where) or ()):
            place = f"{where}.{name}[{number}]"
            _typed(mapping, dict, place)
            for key, most in (("containerID", _MOST_ID), ("hostID", _MOST_ID), ("size", _MOST_SIZE)):
                _check_id(mapping.get(key), f"{place}.{key}", most)


def _need(mapping: dict[str, Any], key: str, kind: type, where: str) -> Any:
    """A member that a runtime cannot do without."""
    if mapping.get(key) is None:
        raise InvalidInput(f"{where}.{key}", "it is missing", f"A runtime needs it; it is {_KINDS[kind]}.")
    return _typed(mapping[key], kind, f"{where}.{key}")


def _take(mapping: dict[str, Any], key: str, kind: type, where: str) -> Any:
    """A member that may be missing or null."""
    return None if mapping.get(key) is None else _typed(mapping[key], kind, f"{where}.{key}")


def _texts(mapping: dict[str, Any], key: str, where: str) -> list[str]:
    texts = _take(mapping, key, list, where) or []
    return [_typed(text, str, f"{where}.{key}[{number}]") for number, text in enumerate(texts)]


def _typed(value: Any, kind: type, where: str) -> Any:
    if isinstance(value, kind):
        return value
    # The value itself is not shown: it may be an argument or a variable that holds a secret (promise 8).
    names = [name for known, name in _KINDS.items() if isinstance(value, known)]  # a boolean is a whole number too
    name = "null" if value is None else names[0] if names else "a number"
    remedy = "Quote it." if kind is str and isinstance(value, (bool, int, float)) else f"It must be {_KINDS[kind]}."
    raise InvalidInput(where, f"it is {name}, not {_KINDS[kind]}", remedy)


def _check_id(value: Any, where: str, most: int = _MOST_ID) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise InvalidInput(where, f"{value!r} is no id or size", f"It is a whole number from 0 to {most}.")


# What follows reads specs that others wrote: a wrong one says nothing, and raises nothing.


def annotation(spec: Any, key: str) -> str:
    """An annotation, or empty where there is no such text."""
    annotations = spec.get("annotations") if isinstance(spec, dict) else None
    value = annotations.get(key) if isinstance(annotations, dict) else None
    return value if isinstance(value, str) else ""


def sandbox_ids(spec: Any) -> tuple[str, ...]:
    """The sandboxes that annotations name, as they are: none, one, or several that contradict each other (A6)."""
    named = [annotation(spec, key) for key in _SANDBOXES]
    return tuple(dict.fromkeys(name for name in named if name))


def shim_group(spec: Any) -> str | None:
    """The id under which containerd's own shims share one socket; None: the container has a shim of its own.

    An annotation that is there but empty counts, as it does there.
    """
    annotations = spec.get("annotations") if isinstance(spec, dict) else None
    for key in _GROUPS:
        if isinstance(annotations, dict) and key in annotations:
            return annotation(spec, key)
    return None


def mapped_gid(spec: Any) -> int:
    """The host's gid for gid 0 of the container, 0 where gids are not mapped.

    A bundle has mode 0710 and this group where it is not 0, mode 0700 otherwise (GHSA-c2h3-6mxw-7mvq).
    """
    linux = spec.get("linux") if isinstance(spec, dict) else None
    mappings = linux.get("gidMappings") if isinstance(linux, dict) else None
    for mapping in mappings if isinstance(mappings, list) else ():
        if isinstance(mapping, dict) and mapping.get("containerID", 0) == 0:
            gid = mapping.get("hostID", 0)
            return gid if isinstance(gid, int) and not isinstance(gid, bool) and 0 <= gid <= _MOST_ID else 0
    return 0


def bundle_mode(spec: Any) -> int:
    """The mode of a bundle directory for this spec."""
    return 0o710 if mapped_gid(spec) else 0o700
