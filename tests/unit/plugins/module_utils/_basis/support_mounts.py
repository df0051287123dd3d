# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real mounts for tests, in a mount namespace of their own, so that nothing outlives a failure."""

from __future__ import annotations

import ctypes
import hashlib
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Callable

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis import syscalls

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def enter_private_namespace() -> None:
    """Leave the host's mount namespace; nothing mounted from now on reaches it."""
    library = ctypes.CDLL(None, use_errno=True)
    if library.unshare(syscalls.CLONE_NEWNS) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), "unshare")
    syscalls.set_propagation("/", syscalls.MS_PRIVATE)


def in_private_namespace(work: Callable[[], None], seconds: int = 60) -> None:
    """Run work in a child process with a mount namespace of its own, and fail here with its traceback if it fails."""
    sys.stdout.flush()
    sys.stderr.flush()
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(receive)
            signal.alarm(seconds)
            enter_private_namespace()
            work()
        except BaseException:
            os.write(send, traceback.format_exc()[-60000:].encode("utf-8", "backslashreplace"))
        finally:
            os._exit(0)
    os.close(send)
    with os.fdopen(receive, "rb") as stream:
        told = stream.read().decode()
    _pid, status = os.waitpid(child, 0)
    if told:
        pytest.fail(told, pytrace=False)
    assert status == 0, f"the child ended with status {status}"


@contextmanager
def another_process(prepare: Callable[[], None]) -> Iterator[int]:
    """A child that runs prepare and then waits until the block ends; yields its pid."""
    ready_in, ready_out = os.pipe()
    end_in, end_out = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(end_out)
            os.close(ready_in)
            prepare()
            os.write(ready_out, b"+")
            os.close(ready_out)
            os.read(end_in, 1)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)
    os.close(ready_out)
    os.close(end_in)
    try:
        assert os.read(ready_in, 1) == b"+", "the other process failed"
        yield child
    finally:
        os.close(ready_in)
        os.close(end_out)
        os.waitpid(child, 0)


@contextmanager
def another_namespace(prepare: Callable[[], None]) -> Iterator[int]:
    """A process with a mount namespace of its own, in which prepare has run; yields its pid."""

    def enter() -> None:
        enter_private_namespace()
        prepare()

    with another_process(enter) as pid:
        yield pid


def run(*command: str) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}"


@contextmanager
def _handles(*paths: str) -> Iterator[list[str]]:
    """Names of the paths for a program: one that named an identifier would look like its owner to other tests."""
    descriptors = [os.open(path, os.O_PATH) for path in paths]
    try:
        yield [f"/proc/{os.getpid()}/fd/{descriptor}" for descriptor in descriptors]
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def bind(source: str, target: str) -> None:
    with _handles(source, target) as handles:
        run("mount", "--bind", *handles)


def tmpfs(target: str) -> None:
    with _handles(target) as handles:
        run("mount", "-t", "tmpfs", "none", *handles)


def make(*paths: str) -> None:
    for path in paths:
        os.makedirs(path, exist_ok=True)


def write(path: str, text: str = "data") -> None:
    make(os.path.dirname(path))
    with open(path, "w", encoding="utf-8") as stream:
        stream.write(text)


def checksum(path: str) -> str:
    """Of all names, kinds and contents below path."""
    digest = hashlib.sha256()
    for folder, folders, files in sorted(os.walk(path)):
        for name in sorted(folders + files):
            full = os.path.join(folder, name)
            digest.update(os.fsencode(full) + b"\0")
            if os.path.islink(full):
                digest.update(os.fsencode(os.readlink(full)))
            elif os.path.isfile(full):
                with open(full, "rb") as stream:
                    digest.update(stream.read())
    return digest.hexdigest()
