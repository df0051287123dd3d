# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Directories below a host's root, opened component by component, so that no link leads out of it (host_root)."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from types import TracebackType

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import (
    OutsideRoot,
    StateError,
    Unreadable,
    WriteFailed,
    os_reason,
    way_out,
)

_MOST_LINKS = 40  # the kernel's own limit
_STEP_FLAGS = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class Directory:
    """An open directory and the path that names it. All work below it goes through its descriptor.

    A directory that does not exist, or was closed, has no descriptor (exists is False) and still its path.
    is_lost: it does not exist because a link on the way to it leads to nothing, such as a disk that is not mounted.
    made: the directories that were made to open it, the highest first. above: the directory that it was named in by
    child(); it is then opened from there, and never through a link.
    """

    __slots__ = ("_borrowed", "_lent", "_opened_by", "above", "fd", "is_lost", "made", "path")

    def __init__(self, descriptor: int, path: str, made: tuple[str, ...] = (), above: Directory | None = None) -> None:
        self.fd = descriptor
        self.path = path
        self.made = made
        self.above = above
        self.is_lost = False
        self._borrowed = False
        self._lent: Directory | None = None
        self._opened_by = os.getpid() if descriptor >= 0 else 0

    @property
    def exists(self) -> bool:
        return self.fd >= 0

    def __eq__(self, other: object) -> bool:
        """Equal when they name the same path: plans that were made at different times are compared."""
        return isinstance(other, Directory) and other.path == self.path

    def __hash__(self) -> int:
        return hash(self.path)

    def close(self) -> None:
        if self.fd >= 0 and not self._borrowed:
            os.close(self.fd)
            self.fd = -1

    def __enter__(self) -> Directory:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def child(self, name: str) -> Directory:
        """A directory in this one, not opened yet."""
        return Directory(-1, self.join(name), above=self)

    def above_it(self) -> Directory:
        """The directory that this open one lies in. Raises Unreadable."""
        path = os.path.dirname(self.path)
        try:
            return Directory(os.open("..", _DIRECTORY_FLAGS, dir_fd=self.fd), path)
        except OSError as error:
            raise Unreadable(path, os_reason(error)) from error

    def opened(self) -> Directory:
        """This directory for use in a with statement: as it is when it is open, else opened for as long as that lasts.

        Raises FileNotFoundError, and Unreadable where it is a link or no directory.
        """
        if self.fd < 0:
            return self.reopened()
        if self._lent is None:  # the same one for all: leaving it closes nothing
            self._lent = Directory(self.fd, self.path)
            self._lent._borrowed = True
            self._lent._opened_by = self._opened_by
        return self._lent

    def reopened(self) -> Directory:
        """The same directory, open again; for one that was only looked at. Raises FileNotFoundError and Unreadable."""
        if self.above is not None:
            return self._opened_in(self.above)
        again = open_given(self.path)
        if not again.exists:
            raise FileNotFoundError(self.path)
        return again

    def _opened_in(self, above: Directory) -> Directory:
        name = self.path.rpartition("/")[2]
        with above.opened() as directory:
            try:
                descriptor = os.open(name, _DIRECTORY_FLAGS | os.O_NOFOLLOW, dir_fd=directory.fd)
            except FileNotFoundError:
                raise
            except OSError as error:
                why = "it is no directory" if error.errno in (errno.ENOTDIR, errno.ELOOP) else os_reason(error)
                raise Unreadable(self.path, why, "Nothing was changed.") from error
        return Directory(descriptor, self.path, above=above)

    def names(self) -> list[str]:
        """The names of all entries of this open directory. Raises OSError.

        A fork reads them through a descriptor of its own: it shares the position in one that was opened before it with
        all others, and each would miss what another has read.
        """
        if self._opened_by == os.getpid():
            return os.listdir(self.fd)
        descriptor = os.open(".", _DIRECTORY_FLAGS, dir_fd=self.fd)
        try:
            return os.listdir(descriptor)
        finally:
            os.close(descriptor)

    def listed(self) -> list[str]:
        """The same, sorted; none where it was removed meanwhile. Raises Unreadable."""
        try:
            return sorted(self.names())
        except FileNotFoundError:
            return []
        except OSError as error:
            raise Unreadable(self.path, f"it cannot be listed: {os_reason(error)}") from error

    def join(self, name: str) -> str:
        """The path of an entry, for messages and results."""
        return f"{self.path}/{name}" if self.path != "/" else f"/{name}"


def open_given(path: str, create_mode: int | None = None, above_mode: int = 0o755) -> Directory:
    """Open a directory that the user named: taken as it is, links and all, by the kernel where it exists."""
    _check(path)
    absolute = path if path.startswith("/") else os.path.join(os.getcwd(), path)
    try:
        descriptor = os.open(absolute, _DIRECTORY_FLAGS)
    except FileNotFoundError:
        return open_below("/", absolute, create_mode, above_mode)
    except OSError as error:
        raise Unreadable(path, os_reason(error), way_out(error, "Nothing was changed.")) from error
    return Directory(descriptor, _plain_path(descriptor, absolute))


def _check(path: str) -> None:
    """Unreadable for a text that no file can be called by: a foreign document may hold any."""
    try:
        if b"\0" not in os.fsencode(path):
            return
    except UnicodeEncodeError:
        pass
    raise Unreadable(ascii(path), "it is no path")


def _plain_path(descriptor: int, path: str) -> str:
    """The path of an open directory without links; as it was given where a text cannot say it (/proc/1/root)."""
    plain = os.path.realpath(path)
    try:
        with Directory(os.open(plain, os.O_PATH | os.O_CLOEXEC), plain) as named:
            # The mount too: the root of another mount namespace has the inode of ours.
            same = os.path.sameopenfile(named.fd, descriptor) and mount_id_of(named.fd) == mount_id_of(descriptor)
    except (OSError, StateError):
        return os.path.normpath(path)
    return plain if same else os.path.normpath(path)


def mount_id_of(fd: int) -> int:
    """The id of the mount that an open descriptor lies on (Linux 3.15). Unreadable: /proc does not tell."""
    path = f"/proc/self/fdinfo/{fd}"
    try:
        with open(path, encoding="ascii", errors="replace") as lines:
            for line in lines:
                if line.startswith("mnt_id:"):
                    return int(line[7:])
    except OSError as error:
        raise Unreadable(path, os_reason(error)) from error
    raise Unreadable(path, os.strerror(errno.ENODATA))


def open_below(root: str, path: str, create_mode: int | None = None, above_mode: int = 0o755) -> Directory:
    """Open the directory `path` as a process would that has `root` as its root directory.

    Links are followed inside `root`: an absolute one starts at `root` again. The path of the result has no links left.
    Where a component does not exist, the result does not exist either; with create_mode, missing components are made,
    the last one with that mode, others with above_mode.
    Raises OutsideRoot for what climbs above `root`, Unreadable for what cannot be opened or is no directory,
    WriteFailed for what cannot be made.
    """
    walk = _Walk(root, path)
    try:
        while walk.pending:
            if not walk.step(create_mode, above_mode):
                missing = Directory(-1, walk.shown_missing())
                missing.is_lost = walk.is_in_link
                return missing
        return walk.finish()
    except OSError as error:
        walk.take_back()
        raise Unreadable(walk.shown(), os_reason(error), way_out(error, "Nothing was changed.")) from error
    except StateError:
        walk.take_back()
        raise
    finally:
        walk.close()


def open_reached(root: str, path: str, create_mode: int | None = None, above_mode: int = 0o755) -> Directory:
    """open_below for a path as it is reached from here, root included: still no link in it leads out of root."""
    return open_below(root, _inside(root, path), create_mode, above_mode)


def _inside(root: str, path: str) -> str:
    """The same path as a process would name it that has `root` as its root directory. Raises OutsideRoot."""
    for base in (os.path.normpath(root), os.path.realpath(root)):
        if path == base or path.startswith(f"{base.rstrip('/')}/"):
            return path[len(base.rstrip("/")) :] or "/"
    raise OutsideRoot(path, f"it does not lie below {root}")


class _Walk:
    """One walk down from the root: a stack of open directories, and the components still to go."""

    def __init__(self, root: str, path: str) -> None:
        _check(path)
        self.path = path
        self.links = 0
        self.names: list[str] = []
        self.made: list[str] = []
        self.pending = [name for name in reversed(path.split("/")) if name not in ("", ".")]
        self._given = len(self.pending)  # how many of these were in the path; what a link adds is gone before them
        self.is_in_link = False  # whether the component that was looked up last came from a link
        try:
            self.stack = [os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)]
        except OSError as error:
            raise Unreadable(root, os_reason(error), "It must be an existing directory.") from error
        # "/" has no links, and whatever is there is what it means.
        self.root = root if root == "/" else _plain_path(self.stack[0], os.path.abspath(root))

    def shown(self) -> str:
        inside = "/".join(self.names)
        return f"{self.root.rstrip('/')}/{inside}" if inside else self.root

    def shown_missing(self) -> str:
        """The path that the walk would have ended at."""
        return os.path.normpath("/".join([self.shown(), *reversed(self.pending)]))

    def step(self, create_mode: int | None, above_mode: int) -> bool:
        """Go one component further; False when it does not exist and is not to be made."""
        self.is_in_link = len(self.pending) > self._given
        name = self.pending.pop()
        self._given = min(self._given, len(self.pending))
        if name == "..":
            self._climb()
            return True
        try:
            descriptor = os.open(name, _STEP_FLAGS, dir_fd=self.stack[-1])
        except FileNotFoundError:
            if create_mode is None:
                self.pending.append(name)
                return False
            self._make(name, above_mode if self.pending else create_mode)
            descriptor = os.open(name, _STEP_FLAGS, dir_fd=self.stack[-1])
        try:
            target = os.readlink("", dir_fd=descriptor)
        except OSError as error:
            if error.errno not in (
                errno.EINVAL,
                errno.ENOENT,
            ):  # what the kernel says of an O_PATH descriptor of no link
                os.close(descriptor)
                raise
            self.stack.append(descriptor)
            self.names.append(name)
            return True
        os.close(descriptor)
        self._follow(name, target)
        return True

    def _climb(self) -> None:
        if len(self.stack) == 1:
            if self.root != "/":
                raise OutsideRoot(self.path, f"it leads out of {self.root}", "Give the path explicitly if it is right.")
            return
        os.close(self.stack.pop())
        self.names.pop()

    def _follow(self, name: str, target: str) -> None:
        self.links += 1
        if self.links > _MOST_LINKS:
            raise Unreadable(f"{self.shown()}/{name}", "too many levels of symbolic links")
        self.pending += [part for part in reversed(target.split("/")) if part not in ("", ".")]
        if target.startswith("/"):
            while len(self.stack) > 1:
                self._climb()

    def _make(self, name: str, mode: int) -> None:
        umask = os.umask(0)  # the contract's mode, whole and at once
        try:
            os.mkdir(name, mode, dir_fd=self.stack[-1])
            self.made.append(f"{self.shown().rstrip('/')}/{name}")
        except FileExistsError:
            return  # somebody else made it just now
        except OSError as error:
            raise WriteFailed(
                f"{self.shown().rstrip('/')}/{name}", os_reason(error), way_out(error, "Nothing was changed.")
            ) from error
        finally:
            os.umask(umask)

    def finish(self) -> Directory:
        return Directory(os.open(".", _DIRECTORY_FLAGS, dir_fd=self.stack[-1]), self.shown(), tuple(self.made))

    def take_back(self) -> None:
        """Remove what this walk made, as far as it is still empty."""
        remove_empty(self.made)

    def close(self) -> None:
        for descriptor in self.stack:
            os.close(descriptor)


def remove_empty(paths: Sequence[str]) -> None:
    """Remove directories, the highest first in `paths`, that were made for something that could not be made."""
    for path in reversed(paths):
        try:
            os.rmdir(path)
        except OSError:  # not empty: something was made after all, by us or by somebody else
            return
