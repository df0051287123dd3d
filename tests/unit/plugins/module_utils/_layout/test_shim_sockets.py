# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import Unreadable
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.shim_sockets import (
    SOCKET_FOLDER,
    ShimAddress,
    abstract_names,
    derived_paths,
    is_shim_socket,
    parse_address,
    parse_bootstrap,
    socket_name,
)

DAEMON = "/run/containerd/containerd.sock"
HASH = "ab" * 32


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(
    ("daemon", "namespace", "group", "debug", "hashed"),
    [
        (DAEMON, "k8s.io", "a5", False, f"{DAEMON}/k8s.io/a5"),
        (DAEMON, "k8s.io", "a5", True, f"{DAEMON}/k8s.io/a5/debug"),
        ("/run/containerd//containerd.sock", "default", "a5", False, f"{DAEMON}/default/a5"),
        ("/run/../run/containerd/containerd.sock", "default", "a5", False, f"{DAEMON}/default/a5"),
        ("containerd.sock", "default", "a5", False, "containerd.sock/default/a5"),
        ("", "default", "a5", False, "default/a5"),
        # A group that is empty, or no name: what Go's filepath.Join makes of it.
        (DAEMON, "default", "", False, f"{DAEMON}/default"),
        (DAEMON, "default", "../x", False, f"{DAEMON}/x"),
        (DAEMON, "default", "/x/", False, f"{DAEMON}/default/x"),
    ],
)
def test_the_name_of_a_socket(daemon: str, namespace: str, group: str, debug: bool, hashed: str) -> None:
    assert socket_name(daemon, namespace, group, debug) == sha(hashed)


def test_RS9_derived_paths_have_both_spellings() -> None:
    names = [sha(f"{DAEMON}/default/a5"), sha(f"{DAEMON}/default/a5/debug")]
    forms = [form for name in names for form in (name, name.upper())]
    assert list(derived_paths(DAEMON, "default", ["a5"], [SOCKET_FOLDER])) == [
        f"{SOCKET_FOLDER}/{one}" for one in forms
    ]
    more = derived_paths(DAEMON, "default", ["a5", "pod-1", "a5"], [SOCKET_FOLDER, "/tmp/s/"])
    assert len(more) == 16
    assert f"/tmp/s/{sha(f'{DAEMON}/default/pod-1').upper()}" in more


def test_abstract_names_of_older_shims() -> None:
    assert abstract_names("default", "a5") == (
        f"/containerd-shim/{sha('default/a5')}.sock",
        "/containerd-shim/default/a5/shim.sock",
    )


@pytest.mark.parametrize(
    ("path", "known"),
    [
        (f"{SOCKET_FOLDER}/{HASH}", True),
        (f"{SOCKET_FOLDER}/{HASH.upper()}", True),
        (f"/tmp/s/{HASH}", True),
        (f"{SOCKET_FOLDER}/{HASH[:-1]}", False),
        (f"{SOCKET_FOLDER}/{HASH}0", False),
        (f"{SOCKET_FOLDER}/A{HASH[1:]}", False),
        (f"{SOCKET_FOLDER}/{HASH}\n", False),
        (f"{SOCKET_FOLDER}/x/{HASH}", False),
        (f"/run/containerd/{HASH}", False),
        (f"/run/containerd/s/../s/{HASH}", False),
        ("/run/docker.sock", False),
        (HASH, False),
        ("", False),
    ],
)
def test_C11_only_the_name_of_a_shims_socket_is_one(path: str, known: bool) -> None:
    assert is_shim_socket(path, [SOCKET_FOLDER, "/tmp/s/"]) is known


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (f"unix://{SOCKET_FOLDER}/{HASH}", ShimAddress(path=f"{SOCKET_FOLDER}/{HASH}")),
        (f"unix://{SOCKET_FOLDER}/{HASH}\n", ShimAddress(path=f"{SOCKET_FOLDER}/{HASH}")),
        ("ttrpc+unix:///run/x", ShimAddress(path="/run/x")),
        ("grpc+unix:///run/x", ShimAddress(path="/run/x", protocol="grpc")),
        ("/containerd-shim/default/a5/shim.sock", ShimAddress(abstract="/containerd-shim/default/a5/shim.sock")),
        ("vsock://3:1024", ShimAddress(other="vsock://3:1024")),
        ("hvsock:///run/kata/a/kata.hvsock:1024", ShimAddress(other="hvsock:///run/kata/a/kata.hvsock:1024")),
        ("ttrpc+vsock://3:1024", ShimAddress(other="vsock://3:1024")),
        (
            '{"version":3,"address":"unix:///run/x","protocol":"grpc"}',
            ShimAddress(path="/run/x", protocol="grpc"),
        ),
    ],
)
def test_what_an_address_file_says(text: str, address: ShimAddress) -> None:
    assert parse_address(text.encode(), "here") == address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ('{"version":3,"address":"unix:///run/x","protocol":"ttrpc"}', ShimAddress(path="/run/x")),
        ('{"version":2,"address":"unix:///run/x","protocol":"GRPC"}', ShimAddress(path="/run/x", protocol="grpc")),
        ('{"version":2,"address":"unix:///run/x"}', ShimAddress(path="/run/x")),
        ('{"version":2,"address":"unix:///run/x","protocol":null,"more":[]}', ShimAddress(path="/run/x")),
        ('{"version":2,"address":"/a/shim.sock","protocol":""}', ShimAddress(abstract="/a/shim.sock")),
    ],
)
def test_what_bootstrap_json_says(text: str, address: ShimAddress) -> None:
    assert parse_bootstrap(text.encode(), "here") == address


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "it is empty (0 bytes)"),
        (b" \n", "it is empty (2 bytes)"),
        (b"\xff", "it is not UTF-8 (at byte 0)"),
        (b"unix://", "it is no address of a shim"),
        (b"unix:///", "it is no address of a shim"),
        (b"unix:////run/x", "it is no address of a shim"),
        (b"unix://run/x", "it is no address of a shim"),
        (b"unix:///run/../etc/x", "it is no address of a shim"),
        (b"unix:///run/x/", "it is no address of a shim"),
        (b"unix:///run/\x00x", "it is no address of a shim"),
        (b"unix:///run/a\nb", "it is no address of a shim"),
        (b"unix:///" + b"x" * 107, "it is no address of a shim"),
        (b"tcp://127.0.0.1:80", "it is no address of a shim"),
        (b"text", "it is no address of a shim"),
        (b"{}", "it names no address"),
        (b'{"address": 7}', "it names no address"),
        (b'{"address": ""}', "it names no address"),
        (b'{"address": "unix:///run/x", "protocol": "http"}', "its protocol is not known"),
        (b'{"address": "unix:///run/x", "protocol": 3}', "its protocol is not known"),
        (b'{"address": "unix:///run', "it is not valid JSON"),
    ],
)
def test_promise_7_what_is_no_address_is_unreadable(data: bytes, why: str) -> None:
    for parse in (parse_address, parse_bootstrap) if data[:1] == b"{" else (parse_address,):
        with pytest.raises(Unreadable) as caught:
            parse(data, "here")
        assert why in caught.value.why
        assert caught.value.where == "here"


@pytest.mark.parametrize("data", [b"[]", b"7", b'"unix:///run/x"'])
def test_promise_7_other_json_is_no_bootstrap(data: bytes) -> None:
    with pytest.raises(Unreadable, match="it names no address"):
        parse_bootstrap(data, "here")
