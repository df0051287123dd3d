# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Unpack Debian packages below the checkout's ``.lab``, with and without root.

apt runs with a configuration, lists, cache and sources of its own below ``.lab/apt``; the address of the archive and
its keyring are those that the machine's own sources name. Nothing is installed, nothing outside ``.lab`` changes.
"""

from __future__ import annotations

import fcntl
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

DEBIAN_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
TOOLS = ("apt-get", "apt-config", "dpkg")


class Unavailable(Exception):
    """The lab cannot give what was asked for; the text says why and what would help."""


class Source(NamedTuple):
    """An archive as the machine's own apt sources name it."""

    uri: str
    suites: list[str]
    signed_by: str


def checkout() -> Path:
    """The checkout that this file belongs to, also when it runs from a copied tree of it.

    The copy that Ansible's tools need has a ``.git`` file that points to the ``.git`` of the checkout.
    """
    root = Path(__file__).resolve().parents[2]
    marker = root / ".git"
    if marker.is_file():
        target = Path(marker.read_text(encoding="utf-8").partition("gitdir:")[2].strip())
        worktree = target / "gitdir"  # where the checkout is a worktree, this names its own .git
        if worktree.is_file():
            return Path(worktree.read_text(encoding="utf-8").strip()).parent
        if target.name == ".git" and target.is_dir():
            return target.parent
    return root


def lab_dir() -> Path:
    """The folder that holds everything fetched: ``$LAB_DIR``, otherwise ``.lab`` in the checkout."""
    given = os.environ.get("LAB_DIR")
    return Path(given) if given else checkout() / ".lab"


def package(name: str, suite: str = "") -> Path:
    """The folder that holds the unpacked package, fetched if it is not there yet.

    ``suite`` is the machine's own release if empty, otherwise a suffix (``-backports``) or another suite's name.
    Raises Unavailable.
    """
    suite = _suite(suite)
    target = lab_dir() / "packages" / suite / name
    if target.is_dir():
        return target
    with _locked():
        if not target.is_dir():
            _fetch(name, suite, target)
    return target


def tool(name: str, *packages: str) -> list[str]:
    """The command line that runs a tool: the machine's own one, otherwise that of a package with its libraries."""
    found = shutil.which(name)
    if found:
        return [found]
    folders = [package(one) for one in packages]
    for candidate in ("usr/bin", "bin", "usr/sbin", "sbin"):
        path = folders[0] / candidate / name
        if path.exists():
            below = [lib for folder in folders for lib in (*folder.glob("usr/lib/*-gnu*"), *folder.glob("lib/*-gnu*"))]
            libraries = ":".join(map(str, below))
            return ["env", f"LD_LIBRARY_PATH={libraries}", str(path)] if libraries else [str(path)]
    raise Unavailable(f"package {packages[0]} has no program {name}")


# -- apt, kept to its own folder -------------------------------------------------------------------------------------


@contextmanager
def _locked() -> Iterator[None]:
    try:
        lab_dir().mkdir(parents=True, exist_ok=True)
        handle = os.open(lab_dir() / "fetch.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as exc:
        raise Unavailable(f"cannot write below {lab_dir()}: {exc.strerror}; set LAB_DIR to a folder of yours") from exc
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _fetch(name: str, suite: str, target: Path) -> None:
    missing = [one for one in TOOLS if not shutil.which(one)]
    if missing:
        raise Unavailable(f"{', '.join(missing)} not found: the lab unpacks Debian packages; run it on Debian 12")
    print(f"fetching {name} ({suite}) into {lab_dir()}", file=sys.stderr, flush=True)
    apt = _Apt(lab_dir() / "apt")
    apt.configure()
    apt.update(suite)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{name}.") as scratch:
        try:
            apt.run("download", f"{name}/{suite}", cwd=Path(scratch))
        except Unavailable:  # the archive may have moved on since the lists were read
            apt.update(suite, again=True)
            apt.run("download", f"{name}/{suite}", cwd=Path(scratch))
        archives = list(Path(scratch).glob("*.deb"))
        if len(archives) != 1:
            raise Unavailable(f"apt-get download {name}/{suite} gave {len(archives)} files")
        unpacked = Path(scratch) / "root"
        _run(["dpkg", "-x", str(archives[0]), str(unpacked)])
        unpacked.rename(target)


class _Apt:
    """apt-get with its state, cache and sources below one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def configure(self) -> None:
        for part in ("lists/partial", "cache/archives/partial", "sources.list.d", "preferences.d", "apt.conf.d"):
            (self.folder / part).mkdir(parents=True, exist_ok=True)
        for empty in ("status", "sources.list", "preferences", "extended_states"):
            (self.folder / empty).write_text("", encoding="utf-8")
        settings = {
            "Dir::State": self.folder,
            "Dir::State::lists": self.folder / "lists",
            "Dir::State::status": self.folder / "status",
            "Dir::State::extended_states": self.folder / "extended_states",
            "Dir::Cache": self.folder / "cache",
            "Dir::Cache::pkgcache": "",
            "Dir::Cache::srcpkgcache": "",
            "Dir::Etc::main": self.folder / "apt.conf.d" / "none",
            "Dir::Etc::parts": self.folder / "apt.conf.d",
            "Dir::Etc::sourcelist": self.folder / "sources.list",
            "Dir::Etc::sourceparts": self.folder / "sources.list.d",
            "Dir::Etc::preferences": self.folder / "preferences",
            "Dir::Etc::preferencesparts": self.folder / "preferences.d",
            "APT::Sandbox::User": pwd.getpwuid(os.geteuid()).pw_name,
            "Acquire::Languages": "none",
            "Acquire::Retries": "3",
        }
        lines = [f'{key} "{value}";' for key, value in settings.items()]
        # The machine's own way out (a proxy, a certificate) stays valid; its hooks do not run.
        dumped = _run(["apt-config", "dump"]).splitlines()
        lines += [line for line in dumped if line.startswith(("Acquire::http", "Acquire::https"))]
        (self.folder / "apt.conf").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def update(self, suite: str, again: bool = False) -> None:
        listed = self.folder / "sources.list.d" / f"{suite}.sources"
        if listed.exists() and not again:
            return
        source = debian_source()
        text = f"Types: deb\nURIs: {source.uri}\nSuites: {suite}\nComponents: main\nSigned-By: {source.signed_by}\n"
        if suite == "sid":  # changes daily; a mirror that has not followed for some days still has what it lists
            text += "Check-Valid-Until: no\n"
        listed.write_text(text, encoding="utf-8")
        try:
            self.run("update")
        except Unavailable:
            listed.unlink()
            raise

    def run(self, *arguments: str, cwd: Path | None = None) -> str:
        environment = dict(os.environ, APT_CONFIG=str(self.folder / "apt.conf"), LC_ALL="C.UTF-8")
        return _run(["apt-get", "-q", "-o", "APT::Update::Error-Mode=any", *arguments], cwd=cwd, env=environment)


def _run(command: list[str], cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        command, cwd=cwd, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
    )
    if done.returncode != 0:
        last = (done.stderr or done.stdout).strip().splitlines()[-3:]
        raise Unavailable(f"{' '.join(command)} failed with {done.returncode}: {' / '.join(last)}")
    return done.stdout


# -- what the machine's own sources say ------------------------------------------------------------------------------


def _release() -> str:
    try:
        with open("/etc/os-release", encoding="utf-8") as handle:
            fields = dict(line.rstrip("\n").partition("=")[::2] for line in handle if "=" in line)
    except OSError as exc:
        raise Unavailable(f"/etc/os-release: {exc.strerror}; run it on Debian 12") from exc
    if fields.get("ID", "").strip('"') != "debian":
        raise Unavailable("this is no Debian, and the lab unpacks Debian's packages; run it on Debian 12")
    return fields.get("VERSION_CODENAME", "").strip('"')


def _suite(name: str) -> str:
    return _release() + name if not name or name.startswith("-") else name


def debian_source() -> Source:
    """The source that offers the machine's release itself (not its updates or its security fixes)."""
    release = _release()
    for source in _sources():
        if release in source.suites:
            return source
    raise Unavailable(f"no apt source of this machine offers {release}; add Debian's own to /etc/apt/sources.list.d")


def _sources() -> Iterator[Source]:
    for path in sorted(Path("/etc/apt/sources.list.d").glob("*.sources")):
        for stanza in path.read_text(encoding="utf-8").split("\n\n"):
            yield from _from_stanza(stanza)
    for path in [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*.list"))]:
        if path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                yield from _from_line(line)


def _from_stanza(stanza: str) -> Iterator[Source]:
    fields: dict[str, str] = {}
    key = ""
    for line in stanza.splitlines():
        if line.startswith("#") or not line.strip():
            continue
        if line[0] in " \t":
            fields[key] = f"{fields.get(key, '')}\n{line}"  # an embedded key goes over several lines
        else:
            key, _colon, value = line.partition(":")
            key = key.strip().lower()
            fields[key] = value.strip()
    enabled = fields.get("enabled", "yes").lower() not in ("no", "false", "0")
    if enabled and "deb" in fields.get("types", "").split() and "main" in fields.get("components", "").split():
        uri = fields.get("uris", "").split()
        if uri:
            yield Source(uri[0], fields.get("suites", "").split(), fields.get("signed-by") or DEBIAN_KEYRING)


def _from_line(line: str) -> Iterator[Source]:
    words = line.partition("#")[0].split()
    if not words or words[0] != "deb":
        return
    signed_by = DEBIAN_KEYRING
    if len(words) > 1 and words[1].startswith("["):
        end = next((index for index, word in enumerate(words) if word.endswith("]")), 1)
        for option in " ".join(words[1 : end + 1]).strip("[]").split():
            if option.startswith("signed-by="):
                signed_by = option.partition("=")[2]
        del words[1 : end + 1]
    if len(words) > 3 and "main" in words[3:]:
        yield Source(words[1], [words[2]], signed_by)
