# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a containerd shim listens: the names that are derived for it, and what a bundle's files say of it.

Source: pkg/shim/util_unix.go and core/runtime/v2 of containerd v2.3.4, runtime/v1/linux/bundle.go of v1.7.24,
runtime/v2/shim/util_unix.go of v1.4.0; Kata's runtime-rs. Nothing here touches a socket (safety.md B1).
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import Unreadable
from ansible_collections.sandboxed.containers.plugins.module_utils._layout import go_json

# All daemons of a host share it, whatever their state directory is (A10); from 2.3 on another one can be configured.
SOCKET_FOLDER = "/run/containerd/s"

_HASH = re.compile(r"[0-9a-f]{64}|[0-9A-F]{64}")
_FILE, _VSOCK = "unix://", ("vsock://", "hvsock://")
_PROTOCOLS = ("ttrpc", "grpc")
_LONGEST = 107  # bytes of a socket's path or abstract name: sun_path less the NUL


class ShimAddress(NamedTuple):
    """Where a shim listens. Exactly one of the first three is set.

    path: a socket file, absolute and normalised. abstract: a name in the abstract name space, without its leading NUL.
    other: anything else, as it was written (vsock). protocol: ttrpc or grpc.
    """

    path: str = ""
    abstract: str = ""
    other: str = ""
    protocol: str = "ttrpc"


def socket_name(daemon: str, namespace: str, group: str, debug: bool = False) -> str:
    """The file name of a shim's socket, in lower case; runtime-rs uses the upper case of it.

    daemon: the path of the daemon's own socket, as its shims have it in -address. group: the container's id, or what
    oci_spec.shim_group says.
    """
    return _digest(daemon, namespace, group, *(["debug"] if debug else []))


def derived_paths(daemon: str, namespace: str, groups: Iterable[str], folders: Sequence[str]) -> tuple[str, ...]:
    """Every socket file that a shim of this container may have: both sockets, both spellings, in each folder (RS9)."""
    names = [socket_name(daemon, namespace, group, debug) for group in groups for debug in (False, True)]
    spelled = [form for name in names for form in (name, name.upper())]
    return tuple(dict.fromkeys(f"{folder.rstrip('/')}/{name}" for folder in folders for name in spelled))


def abstract_names(namespace: str, container_id: str) -> tuple[str, ...]:
    """The abstract sockets of shims before 1.3.9 and 1.4.3: with an address file, and of v1 without one."""
    folder = "/containerd-shim"
    return (f"{folder}/{_digest(namespace, container_id)}.sock", f"{folder}/{namespace}/{container_id}/shim.sock")


def _digest(*parts: str) -> str:
    # As Go's filepath.Join: empty parts are left out, and the whole is cleaned.
    joined = posixpath.normpath("/".join(part for part in parts if part))
    return hashlib.sha256(joined.encode("utf-8", "surrogateescape")).hexdigest()


def is_shim_socket(path: str, folders: Sequence[str]) -> bool:
    """Whether only a shim's socket has such a path: nothing else is ever removed because an address names it."""
    folder, _slash, name = path.rpartition("/")
    return bool(_HASH.fullmatch(name)) and folder in [known.rstrip("/") for known in folders]


def parse_address(data: bytes, where: str) -> ShimAddress:
    """The content of a bundle's `address`: a plain address. What 1.7 takes there as well is JSON.

    Raises Unreadable, also for an empty file.
    """
    text = _text(data, where)
    if text.startswith("{"):
        return parse_bootstrap(data, where)
    return _address(text, "ttrpc", where)


def parse_bootstrap(data: bytes, where: str) -> ShimAddress:
    """The content of a bundle's `bootstrap.json` (containerd 2.0): version, address, protocol. Raises Unreadable."""
    document: Any = go_json.decode(data, where)
    address = document.get("address") if isinstance(document, dict) else None
    protocol = document.get("protocol") if isinstance(document, dict) else None
    if not isinstance(address, str) or not address:
        raise Unreadable(where, "it names no address")
    protocol = protocol.lower() if isinstance(protocol, str) else protocol
    if protocol not in (*_PROTOCOLS, "", None):
        raise Unreadable(where, "its protocol is not known")
    return _address(address, protocol or "ttrpc", where)


def _text(data: bytes, where: str) -> str:
    try:
        text = data.decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise Unreadable(where, f"it is not UTF-8 (at byte {error.start})") from error
    if not text:
        raise Unreadable(where, f"it is empty ({len(data)} bytes)")
    return text


def _address(text: str, protocol: str, where: str) -> ShimAddress:
    for known in _PROTOCOLS:
        if text.startswith(f"{known}+"):
            text, protocol = text[len(known) + 1 :], known
    if text.startswith(_VSOCK):
        return ShimAddress(other=text, protocol=protocol)
    # Without a scheme it is an abstract name; that is how containerd itself tells them apart.
    path, is_file = (text[len(_FILE) :], True) if text.startswith(_FILE) else (text, False)
    normal = path.startswith("/") and not path.startswith("//") and posixpath.normpath(path) == path and path != "/"
    if not normal or not path.isprintable() or len(path.encode("utf-8")) > _LONGEST:
        raise Unreadable(where, "it is no address of a shim")
    return ShimAddress(path=path, protocol=protocol) if is_file else ShimAddress(abstract=path, protocol=protocol)
