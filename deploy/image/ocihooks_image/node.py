"""
Puts the wrapper onto a Kubernetes node with containerd, and takes it away again.

The node's root directory is mounted at a directory, below which everything happens; what concerns the engine is done by
ocihooks itself with that directory as its root, so that it sees the node's own files and programs. All that it puts
onto the node is below /opt/ocihooks, but for the mirrored files and the engine's configuration.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from ocihooks.errors import OCIHooksError, UnavailableError, os_reason
from ocihooks.replace import replace_file
from ocihooks_image.mirror import Mirror, Stopped, follow, mirror_of, say, stop_on_signals, told, update_all

PREFIX = "/opt/ocihooks"
TREE = f"{PREFIX}/python"
STATE = f"{PREFIX}/state"
RECORDS = f"{PREFIX}/lib/ocihooks"
RESTART = f"{PREFIX}/restart"
"""There from before a change of the engine's configuration until the engine was restarted with it."""

CACHE = "/run/ocihooks"

AGAIN_S = 15.0
"""Seconds until what failed is tried again."""

ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    # systemctl would do nothing where it is told to work with another root; two names of one variable.
    "SYSTEMD_IGNORE_CHROOT": "1",
    "SYSTEMD_IN_CHROOT": "0",
}

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


class Node:
    """
    The node whose root directory is mounted at *root*.

    Args:
        engine: Options of ``ocihooks configure`` and ``unconfigure`` that name handler and file.
        annotations: Patterns of annotations that containerd is to hand on.
        restart: Whether to restart the engine when its configuration has changed.
        mirrors: What is copied onto the node besides.
    """

    def __init__(
        self, root: str, *, engine: list[str], annotations: list[str], restart: bool, mirrors: list[Mirror]
    ) -> None:
        self.root = root
        self.mirrors = mirrors
        self._engine = [*engine, "--prefix", PREFIX, "--state-dir", STATE]
        self._annotations = [word for pattern in annotations for word in ("--annotations", pattern)]
        self._restart = restart

    def install(self) -> None:
        """Install the wrapper and tell containerd, or bring both up to date; nothing is changed where that was done."""
        self._bring_tree()
        update_all(self.mirrors)
        self._check("check")
        runtime = self._runtime_of_wrapper()
        if runtime:
            self._check("install", "--prefix", PREFIX, "--runtime", runtime)
        self._change("configure", *self._annotations)

    def remove(self) -> None:
        """Undo all that `install` did, if no running container needs it."""
        if os.path.isdir(self._path(TREE)):
            self._change("unconfigure")
            for name in self._wrappers():
                self._check("uninstall", "--prefix", PREFIX, "--name", name, "--state-dir", STATE)
        for mirror in reversed(self.mirrors):
            for path in mirror.remove():
                say(f"{path}: taken away")
        for place in (CACHE, PREFIX):
            if os.path.lexists(self._path(place)):
                shutil.rmtree(self._path(place))
                say(f"{self._path(place)}: taken away")

    def _path(self, place: str) -> str:
        return self.root + place

    def _bring_tree(self) -> None:
        """Copy our Python with ocihooks onto the node, unless the same is there."""
        place, new = self._path(TREE), self._path(f"{TREE}.new")
        if _build(place) == _build(TREE):
            return
        if os.path.lexists(new):
            shutil.rmtree(new)
        shutil.copytree(TREE, new, symlinks=True)
        is_first = not os.path.isdir(place)
        if is_first:
            os.mkdir(place)
        _exchange(new, place)
        try:
            self._check("--version")
        except UnavailableError:
            _exchange(new, place)
            if is_first:
                os.rmdir(place)
            raise
        finally:
            shutil.rmtree(new)
        say(f"{place}: {'copied' if is_first else 'brought up to date'}")

    def _runtime_of_wrapper(self) -> str | None:
        """The runtime behind the wrapper that is installed on the node."""
        try:
            with open(self._path(f"{RECORDS}/ocihooks-runtime.json"), encoding="utf-8") as stream:
                return str(json.load(stream)["runtime"])
        except FileNotFoundError:
            return None

    def _wrappers(self) -> list[str]:
        try:
            names = os.listdir(self._path(RECORDS))
        except FileNotFoundError:
            return []
        return sorted(name.removesuffix(".json") for name in names if name.endswith(".json"))

    def _change(self, command: str, *words: str) -> None:
        """Change the engine's configuration if anything is to be changed, and restart the engine once for it."""
        call = [command, "containerd", *self._engine, *words]
        would: dict[str, Any] = json.loads(self._check(*call, "--dry-run", "--json"))
        mark = self._path(RESTART)
        if would["changed"] and self._restart:
            replace_file(mark, b"")
        if would["changed"] or os.path.exists(mark):
            restart = ["--reload"] if self._restart else []
            say(self._check(*call, *restart).partition("\n\n")[0])
        if os.path.exists(mark):
            os.unlink(mark)

    def _check(self, *words: str) -> str:
        """What ocihooks prints on the node; raises UnavailableError in its own words where it fails."""

        def enter() -> None:
            os.chroot(self.root)
            os.chdir("/")

        command = [f"{TREE}/bin/ocihooks", *words]
        try:
            done = subprocess.run(
                command,
                env=ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                preexec_fn=enter,
            )
        except (OSError, subprocess.SubprocessError) as error:
            reason = os_reason(error) if isinstance(error, OSError) else "can't enter it; CAP_SYS_CHROOT is needed"
            raise UnavailableError(f"{' '.join(words)}: {reason}", file=self.root) from None
        if done.returncode:
            said = done.stderr.strip() or done.stdout.strip()
            raise UnavailableError(f"{words[0]}: {said or f'ended with status {done.returncode}'}")
        return done.stdout.strip()


def _build(tree: str) -> str | None:
    """What tells one tree from another; None where there is none."""
    try:
        with open(f"{tree}/BUILD", encoding="utf-8") as stream:
            return stream.read()
    except FileNotFoundError:
        return None


def _exchange(one: str, other: str) -> None:
    """Let two directories change places in one step, so that none is ever missing."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(_AT_FDCWD, one.encode(), _AT_FDCWD, other.encode(), _RENAME_EXCHANGE):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), other)


def until_done(work: Callable[[], None]) -> None:
    """Call *work* until it succeeds; what is in its way is told when it changes."""
    trouble = ""
    while True:
        try:
            work()
            return
        except (OCIHooksError, OSError) as error:
            if told(error) != trouble:
                trouble = told(error)
                say(f"{trouble}\nocihooks: trying again every {AGAIN_S:g} s")
        time.sleep(AGAIN_S)


def options_of(words: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="ocihooks_image.node", description="Put the wrapper onto a node, or away.")
    parser.add_argument("work", choices=("install", "remove"))
    parser.add_argument("--root", required=True, metavar="DIR", help="where the node's root directory is mounted")
    parser.add_argument("--handler", default="ocihooks", metavar="NAME", help="what RuntimeClasses call it")
    parser.add_argument("--config", metavar="FILE", help="containerd's configuration, as the node names it")
    parser.add_argument("--annotations", action="append", default=[], metavar="PATTERN")
    parser.add_argument("--restart", action="store_true", help="restart containerd when its configuration changed")
    parser.add_argument("--mirror", action="append", default=[], metavar="SOURCE:TARGET:MODE")
    parser.add_argument("--ready", metavar="FILE", help="made when the work is done")
    parser.add_argument("--once", action="store_true", help="try once, then end")
    options = parser.parse_args(words)
    try:
        options.mirrors = [mirror_of(one, options.root) for one in options.mirror]
    except argparse.ArgumentTypeError as error:
        parser.error(str(error))
    return options


def main(words: list[str]) -> int:
    """Run the command."""
    options = options_of(words)
    config = ["--config", options.config] if options.config else []
    node = Node(
        options.root,
        engine=["--name", options.handler, *config],
        annotations=options.annotations,
        restart=options.restart,
        mirrors=options.mirrors,
    )
    work = node.install if options.work == "install" else node.remove
    stop_on_signals()
    try:
        work() if options.once else until_done(work)
        say(f"{options.work}: done")
        if options.ready:
            replace_file(options.ready, b"", durable=False)
        if not options.once:
            follow(node.mirrors if options.work == "install" else [])
    except Stopped:
        pass
    except (OCIHooksError, OSError) as error:
        say(told(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
