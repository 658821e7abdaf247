"""The cache of a container's dynamic linker: made by the host's ldconfig, which can only read the container's files."""

from __future__ import annotations

import errno
import os
import random
import re
import resource
import shutil
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.unit.injecting import Told, everything, injector_file, leftovers, put

from ocihooks.errors import UntrustedError
from ocihooks.injector import linker_cache, refresh, sandbox
from ocihooks.injector.elf import is_static, soname
from ocihooks.injector.errors import NotInjectedError
from ocihooks.injector.kernel import library_call
from ocihooks.injector.linker_cache import (
    CACHE,
    MOST_DIRECTORIES,
    MOST_FILES,
    Configuration,
    host_program,
    sealed,
    uses_cache,
)
from ocihooks.injector.rootfs import Root
from ocihooks.injector.sandbox import Ended, Start, file_system_in_memory, run

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="makes namespaces")

Record = Callable[[str, object], None]

LDCONFIG = next((path for path in linker_cache.PROGRAMS if os.path.exists(path)), "")

WAITING = b"sleep\x0010457\x00"
"""The command line of the program that waits in the sandbox; containers of other tests wait, too."""


def loaded(name: str) -> Path:
    """A library that this interpreter uses itself."""
    lines = Path("/proc/self/maps").read_text().splitlines()
    found = {line.split()[-1] for line in lines if f"/{name}" in line}
    if not found or not LDCONFIG:
        pytest.skip("the host has another C library, or no ldconfig")
    return Path(found.pop())


@pytest.fixture
def library() -> Path:
    """A library whose file the image does not have."""
    return loaded("libm.so.6")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The root of an image with a dynamic linker that uses a cache, and a directory for the host's libraries."""
    root = tmp_path / "root"
    for name in ("etc/ld.so.conf.d", "lib64", "lib", "opt/vendor"):
        (root / name).mkdir(parents=True)
    (root / "lib64/ld-linux-x86-64.so.2").write_text("the dynamic linker")
    (root / "etc/ld.so.conf").write_text("include /etc/ld.so.conf.d/*.conf\n")
    (root / "etc/ld.so.conf.d/vendor.conf").write_text("# of a vendor\n/opt/vendor # here\n")
    return root


def cached(root: Path) -> dict[str, str]:
    """What the cache in *root* says: a path for each name."""
    words = [LDCONFIG, "-p", "-C", str(root / CACHE[1:])]
    text = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    return dict(re.findall(r"^\t(\S+) \(.*\) => (\S+)$", text, re.MULTILINE))


def put_library(root: Path, library: Path, name: str = "libm.so.6", told: Told | None = None) -> Told:
    """Have *library* put into *root* under *name*."""
    return put(root, injector_file(libraries=[f"{library}:/opt/vendor/{name}"]), told=told)


def test_cache(root: Path, library: Path) -> None:
    """The new library is in the cache, which is as everybody's; nothing of ours is left."""
    assert put_library(root, library) == []
    assert cached(root) == {"libm.so.6": "/opt/vendor/libm.so.6"}
    assert stat.S_IMODE((root / CACHE[1:]).stat().st_mode) == 0o644
    assert leftovers(root) == []


def test_link(root: Path, library: Path) -> None:
    """A library whose file has another name than programs ask for gets a link, in directories that are looked into."""
    (root / "opt/other").mkdir()
    file = injector_file(libraries=[f"{library}:/opt/vendor/libm-2.so", f"{library}:/opt/other/libm-2.so"])
    put(root, file)
    assert os.readlink(root / "opt/vendor/libm.so.6") == "libm-2.so"
    assert os.listdir(root / "opt/other") == ["libm-2.so"]
    assert cached(root) == {"libm.so.6": "/opt/vendor/libm.so.6"}


def test_link_in_the_place_of_a_file(root: Path, library: Path) -> None:
    """A file of the image is not replaced by a link."""
    (root / "opt/vendor/libm.so.6").write_text("its own")
    put_library(root, library, "libm-2.so")
    assert (root / "opt/vendor/libm.so.6").read_text() == "its own"


def test_only_for_libraries(root: Path, library: Path) -> None:
    """Without a library the cache stays as it is."""
    put(root, injector_file(binaries=[f"{library}:/opt/vendor/libm.so.6"]))
    assert not (root / CACHE[1:]).exists()


def test_optional_library_that_is_left_out(root: Path, library: Path) -> None:
    """When no library could be given, the cache stays as it is as well."""
    put(root, injector_file(libraries=[{"source": str(library), "destination": "/none/l", "optional": True}]))
    assert not (root / CACHE[1:]).exists()


WITHOUT = {
    "musl": ({"lib/ld-musl-x86_64.so.1": "x", "sbin/ldconfig": "#!/bin/sh\n"}, "the image has none"),
    "empty": ({}, "the image has none"),
    "no-etc": ({"lib64/ld-linux-x86-64.so.2": "x"}, "the container's /etc can't be used"),
    "etc-is-a-file": ({"lib64/ld-linux-x86-64.so.2": "x", "etc": "x"}, "the container's /etc can't be used"),
}


@pytest.mark.parametrize("name", WITHOUT)
def test_images_without_a_cache(name: str, tmp_path: Path, library: Path) -> None:
    """An image whose dynamic linker has no cache gets none, and that is told."""
    files, said = WITHOUT[name]
    for path, text in files.items():
        (tmp_path / "r" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "r" / path).write_text(text)
    (tmp_path / "r/opt/vendor").mkdir(parents=True)
    told = put_library(tmp_path / "r", library)
    assert any(said in text for _, text in told)
    assert not (tmp_path / "r/etc/ld.so.cache").exists()
    assert (tmp_path / "r/opt/vendor/libm.so.6").exists()


SIGNS: dict[str, Callable[[Path], object]] = {
    "cache": lambda root: (root / "etc/ld.so.cache").write_text("x"),
    "linker": lambda root: (root / "lib/ld-linux-aarch64.so.1").write_text("x"),
    "program": lambda root: (root / "sbin/ldconfig").write_bytes(b"\x7fELF..."),
}


@pytest.mark.parametrize("sign", [*SIGNS, "none"])
def test_uses_cache(sign: str, tmp_path: Path) -> None:
    """An image uses a cache if it has one, or a linker that would use it, or the program that makes it."""
    for name in ("etc", "lib", "sbin"):
        (tmp_path / name).mkdir()
    if sign in SIGNS:
        SIGNS[sign](tmp_path)
    with Root(str(tmp_path)) as root:
        assert uses_cache(root) == (sign != "none")


def own_ldconfig(root: Path) -> None:
    for name in ("bin", "sbin"):
        (root / name).mkdir()
    shutil.copy(shutil.which("busybox") or "/bin/true", root / "bin/sh")
    for path in ("sbin/ldconfig", "sbin/ldconfig.real", "sbin/chroot"):
        (root / path).write_text("#!/bin/sh\n: > /ran\n")
        (root / path).chmod(0o755)


def covered(root: Path, name: str, make: Callable[[Path], object]) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).unlink(missing_ok=True)
    make(root / name)


def zero(place: Path) -> None:
    os.mknod(place, stat.S_IFCHR | 0o666, os.makedev(1, 5))


HOSTILE: dict[str, Callable[[Path], object]] = {
    "own-program": own_ldconfig,
    "fifo-conf": lambda root: covered(root, "etc/ld.so.conf", os.mkfifo),
    "zero-conf": lambda root: covered(root, "etc/ld.so.conf", zero),
    "fifo-included": lambda root: covered(root, "etc/ld.so.conf.d/a.conf", os.mkfifo),
    "zero-included": lambda root: covered(root, "etc/ld.so.conf.d/a.conf", zero),
    "fifo-cache": lambda root: covered(root, "etc/ld.so.cache", os.mkfifo),
    "fifo-new-cache": lambda root: covered(root, "etc/ld.so.cache~", os.mkfifo),
    "link-new-cache": lambda root: covered(root, "etc/ld.so.cache~", lambda place: place.symlink_to("/dev/zero")),
    "fifo-seen-before": lambda root: covered(root, "var/cache/ldconfig/aux-cache", os.mkfifo),
    "fifo-new-seen-before": lambda root: covered(root, "var/cache/ldconfig/aux-cache~", os.mkfifo),
    "fifo-library": lambda root: covered(root, "opt/vendor/liba.so.1", os.mkfifo),
    "zero-library": lambda root: covered(root, "opt/vendor/liba.so.1", zero),
}
"""What the author of an image may do to make somebody wait, or run a program."""


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_images(name: str, root: Path, library: Path, record_property: Record) -> None:
    """Nobody waits, no program of the image runs, and the cache is made."""
    HOSTILE[name](root)
    started = time.monotonic()
    put_library(root, library)
    assert time.monotonic() - started < 10
    assert not (root / "ran").exists()
    assert leftovers(root) == []
    expected = {} if name.endswith("-conf") else {"libm.so.6": "/opt/vendor/libm.so.6"}
    assert cached(root) == expected
    put_library(root, library)  # what could not be read is told, and is no reason to fail, the second time neither
    record_property("amount", "1 hostile images")


def fault_of_the_naive(name: str, root: Path) -> str:
    """What goes wrong when the image's own program is run in it, or the host's without a sandbox; "": nothing."""
    HOSTILE[name](root)
    words = ["chroot", str(root), "/sbin/ldconfig"] if name == "own-program" else [LDCONFIG, "-r", str(root)]
    limited = ["sh", "-c", 'ulimit -v 500000; exec "$@"', "sh", *words]
    try:
        done = subprocess.run(limited, capture_output=True, timeout=1, check=False)
    except subprocess.TimeoutExpired:
        return "waits"
    if (root / "ran").exists():
        return "runs a program of the image"
    return "" if done.returncode == 0 else f"fails with status {done.returncode}"


def test_the_naive_falls_for_hostile_images(root: Path, library: Path, record_property: Record) -> None:
    """Control: whoever runs a program of the image, or the host's in it, runs its code or waits."""
    fell = {}
    for name in HOSTILE:
        place = root.with_name(name)
        shutil.copytree(root, place)
        shutil.copy(library, place / "opt/vendor")
        fell[name] = fault_of_the_naive(name, place)
    print(fell)
    assert fell["own-program"] == "runs a program of the image"
    faults = [name for name, fault in fell.items() if fault]
    assert len(faults) >= 4
    record_property("control", f"{len(faults)} hostile images have their way without the sandbox")


@pytest.mark.slow
def test_many_libraries(root: Path, library: Path, record_property: Record) -> None:
    """20,000 libraries are cached in time."""
    for number in range(20_000):
        os.link(library, root / f"opt/vendor/lib{number}.so.1") if number % 60_000 else shutil.copy(
            library, root / "opt/vendor/lib0.so.1"
        )
    started = time.monotonic()
    put_library(root, library, "libmm.so.6")
    assert time.monotonic() - started < 16
    assert cached(root)["libm.so.6"].startswith("/opt/vendor/")
    record_property("amount", "20,000 libraries")


@pytest.mark.parametrize("count", [100, pytest.param(3000, marks=pytest.mark.slow)])
def test_mutated_libraries(count: int, root: Path, library: Path, record_property: Record) -> None:
    """Damaged libraries make the program fail or not, but nothing else: all is put in, or nothing."""
    data, random_bytes = library.read_bytes()[:8192], random.Random(7)
    for number in range(count):
        mutated = bytearray(data)
        for _ in range(8):
            mutated[random_bytes.randrange(1024)] = random_bytes.randrange(256)
        mutated[:4] = b"\x7fELF"
        (root / f"opt/vendor/lib{number}.so").write_bytes(mutated)
    before, started = everything(root), time.monotonic()
    try:
        put_library(root, library, "libnew.so")
    except NotInjectedError as error:
        assert "ldconfig failed" in str(error)  # noqa: PT017
        assert everything(root) == before
    else:
        assert (root / "opt/vendor/libnew.so").exists()
    assert time.monotonic() - started < 16
    assert leftovers(root) == []
    record_property("amount", f"{count:,} damaged libraries")


@pytest.fixture
def busybox(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Have a static program of another kind, with the given words, in the place of the host's ldconfig."""
    path = shutil.which("busybox")
    if path is None:
        pytest.skip("needs a static busybox")
    data = Path(path).read_bytes()
    for module in (refresh, linker_cache):
        monkeypatch.setattr(module, "host_program", lambda: sealed(data))

    def use(*words: str, deadline_s: float = 10.0) -> None:
        monkeypatch.setattr(refresh, "_WORDS", words)
        monkeypatch.setattr(sandbox.run, "__defaults__", (deadline_s,))

    return use


FAILURES = {
    "status": (("sh", "-c", "echo why; echo more >&2; exit 3"), 'with status 3: "why\\\\nmore"'),
    "late": (("sleep", "100"), "did not end within"),
    "flood": (("yes",), "did not end within"),
    "late-and-silent": (("sh", "-c", "exec >&- 2>&-; while :; do :; done"), "did not end within"),
    "silent": (("sh", "-c", "exec >&- 2>&-; exit 3"), "with status 3"),
    "no-cache": (("true",), "ldconfig made no cache: it does not exist"),
    "odd-cache": (("ln", "-s", "/etc/ld.so.conf", "/etc/ld.so.cache"), "ldconfig made no cache: too many"),
    "fifo-cache": (("mkfifo", "/etc/ld.so.cache"), "ldconfig made no cache: it is not a regular file"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_failing_program(name: str, root: Path, library: Path, busybox: Callable[..., None]) -> None:
    """When the program fails, hangs or floods us, the reason is told, and the root is as it was."""
    words, message = FAILURES[name]
    busybox(*words, deadline_s=0.5 if "did not end" in message else 20.0)
    before = everything(root)
    with pytest.raises(NotInjectedError, match=message):
        put_library(root, library)
    assert everything(root) == before
    assert leftovers(root) == []


def test_sandbox_from_outside(root: Path, busybox: Callable[..., None], record_property: Record) -> None:
    """Seen from outside: other namespaces and root, one capability, no new privileges, limits, and few descriptors."""
    program, seen = linker_cache.host_program(), dict[str, Any]()
    etc = file_system_in_memory(1 << 20, {"ld.so.conf": b""})
    status = (root / ".").stat()

    def look() -> None:
        end = time.monotonic() + 20
        while time.monotonic() < end and not seen and watcher.is_alive():
            for process in descendants(os.getpid()):
                place = Path(f"/proc/{process}")
                try:
                    if (place / "cmdline").read_bytes().startswith(WAITING):
                        seen.update(account(place))
                except OSError:
                    continue
            time.sleep(0.02)

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        start = Start(program, ("sleep", "10457"), root=str(root), inode=(status.st_dev, status.st_ino), etc=etc)
        ended = run(start, 2.0)
    finally:
        watcher.join()
        for fd in (program, etc):
            os.close(fd)
    assert (ended.status, ended.refused) == (None, 0)
    own = account(Path("/proc/self"))
    assert {name for name in seen["namespaces"] if seen["namespaces"][name] != own["namespaces"][name]} >= {
        *("mnt", "pid", "net", "ipc", "uts")
    }
    assert seen["namespaces"]["user"] == own["namespaces"]["user"]
    lines = seen["status"]
    for name in ("CapEff", "CapPrm", "CapBnd"):
        assert int(lines[name], 16) == 1 << 1, name
    assert (int(lines["CapInh"], 16), int(lines["CapAmb"], 16), lines["NoNewPrivs"]) == (0, 0, "1")
    assert seen["root"] == (status.st_dev, status.st_ino)
    assert seen["fds"] == ["0", "1", "2"]
    mounts = sorted((line.split() for line in seen["mounts"]), key=lambda mount: mount[4])
    assert [mount[4] for mount in mounts] == ["/", "/etc"]
    assert set(mounts[0][5].split(",")) >= {"ro", "nosuid", "nodev", "noexec"}
    assert set(mounts[1][5].split(",")) >= {"rw", "nosuid", "nodev", "noexec"}
    assert "Max core file size        0" in seen["limits"]
    end = time.monotonic() + 20
    while left := [process for process in descendants(os.getpid()) if cmdline(process).startswith(WAITING)]:
        assert time.monotonic() < end, left  # the kernel has killed it, which takes a moment
        time.sleep(0.01)
    record_property("amount", "1 looks at the sandbox from outside")


def cmdline(process: int) -> bytes:
    """The command line of a process; none where it is gone."""
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return b""


def descendants(process: int) -> Sequence[int]:
    """All processes below one."""
    above = {}
    for place in Path("/proc").glob("[0-9]*/stat"):
        try:
            above[int(place.parent.name)] = int(place.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found = [process]
    for parent in found:
        found += [child for child, own in above.items() if own == parent]
    return found[1:]


def account(process: Path) -> dict[str, Any]:
    """What can be seen of a process."""
    root = (process / "root").stat()
    return {
        "namespaces": {link.name: os.readlink(link) for link in (process / "ns").iterdir()},
        "status": dict(line.split(":\t", 1) for line in (process / "status").read_text().splitlines() if ":\t" in line),
        "root": (root.st_dev, root.st_ino),
        "fds": sorted(link.name for link in (process / "fd").iterdir()),
        "mounts": (process / "mountinfo").read_text().splitlines(),
        "limits": (process / "limits").read_text(),
    }


def test_sandbox_from_inside(root: Path, busybox: Callable[..., None]) -> None:
    """Seen from inside: nothing can be changed but in the file system in memory, and there are no devices."""
    program = linker_cache.host_program()
    etc = file_system_in_memory(1 << 20, {"ld.so.conf": b"/lib\n"})
    status, before = root.stat(), everything(root)
    script = "touch /new; mknod /etc/n c 1 3; echo x > /etc/made; echo /etc/*; echo $$; ls /sys/class/net /proc"
    start = Start(program, ("sh", "-c", script), root=str(root), inode=(status.st_dev, status.st_ino), etc=etc)
    ended = run(start, 10.0)
    os.close(program)
    said = ended.said.decode()
    assert "touch: /new: Read-only file system" in said
    assert "mknod: /etc/n: Operation not permitted" in said
    assert "/etc/ld.so.conf /etc/made\n1\n" in said
    assert everything(root) == before
    assert sorted(os.listdir(os.open(".", os.O_RDONLY, dir_fd=etc))) == ["ld.so.conf", "made"]
    os.close(etc)


@pytest.fixture
def disobedient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a program in the sandbox that has taken back that it ends with its parent."""
    real = library_call

    def call(name: str, *arguments: Any) -> int:
        return 0 if (name, arguments[0]) == ("prctl", 1) else real(name, *arguments)

    monkeypatch.setattr(sandbox, "library_call", call)


def of_command(line: bytes) -> Sequence[int]:
    """All processes with this command line."""
    return [int(place.name) for place in Path("/proc").glob("[0-9]*") if cmdline(int(place.name)) == line]


def wait_until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize("reason", ["late", "killed"])
def test_disobedient_program(reason: str, root: Path, busybox: Callable[..., None], disobedient: None) -> None:
    """When its time is over, or we are killed, the program is killed, whatever it has done to live longer."""
    program, etc, status = linker_cache.host_program(), file_system_in_memory(1 << 20, {}), root.stat()
    words = ("sleep", f"1{os.getpid()}")
    line = "\0".join((*words, "")).encode()
    start = Start(program, words, root=str(root), inode=(status.st_dev, status.st_ino), etc=etc)
    child = os.fork()
    if not child:
        try:
            run(start, 0.5 if reason == "late" else 30.0)
        finally:
            os._exit(0)
    for fd in (program, etc):
        os.close(fd)
    if reason == "killed":
        wait_until(lambda: of_command(line))
        os.kill(child, 9)
    os.waitpid(child, 0)
    wait_until(lambda: not of_command(line))


def test_another_root(root: Path, busybox: Callable[..., None]) -> None:
    """In a root that is not the one that was opened before, nothing is run."""
    program, etc = linker_cache.host_program(), file_system_in_memory(1 << 20, {})
    ended = run(Start(program, ("true",), root=str(root), inode=(1, 2), etc=etc))
    for fd in (program, etc):
        os.close(fd)
    assert (ended.status, ended.refused) == (1, errno.ESTALE)


def test_program_that_can_not_be_started(root: Path, library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reason that lies in the root fails the container; one that lies in the kernel leaves the cache as it is."""
    for refused, fails in ((errno.ESTALE, True), (errno.EPERM, False)):
        monkeypatch.setattr(refresh, "run", lambda start, code=refused: Ended(1, b"", code))
        if fails:
            with pytest.raises(NotInjectedError, match="could not be started"):
                put_library(root, library)
        else:
            told = put_library(root, library)
            assert "gives ldconfig no namespaces: it is not allowed" in told.of("warning")[0]
    assert not (root / CACHE[1:]).exists()


def test_ordinary_user(root: Path, library: Path, tmp_path: Path, ordinary_python: str) -> None:
    """Somebody who may make no file system in memory is told so, and gets the libraries."""
    place = Path("/tmp") / f"ocihooks-ordinary-{os.getpid()}"  # pytest's own directories are root's alone
    shutil.copytree(root, place, symlinks=True)
    try:
        for path in (place, *place.rglob("*")):
            os.chown(path, 65534, 65534)
        words = [ordinary_python, str(Path(__file__).with_name("put_once.py")), str(place), f"{library}:/opt/vendor/l"]
        done = subprocess.run(words, user=65534, group=65534, capture_output=True, text=True, check=False)
        if "ModuleNotFoundError" in done.stderr or "Permission denied" in done.stderr:
            pytest.skip("the checkout is out of an ordinary user's reach")
        assert done.returncode == 0, done
        assert "the kernel gives no file system in memory: it is not allowed" in done.stdout
        assert os.listdir(place / "opt/vendor") == ["l"]
    finally:
        shutil.rmtree(place)


def test_configuration(root: Path) -> None:
    """Includes are followed inside the root, once and in order; comments and old words are left out."""
    etc = root / "etc"
    (etc / "ld.so.conf").write_text(
        "  include ld.so.conf.d/*.conf /etc/other\n\n/first # why\nhwcap 0 nosegneg\nrelative\ninclude /etc/none/*\n"
        "/odd\x1c/name\r\n"
    )
    (etc / "ld.so.conf.d/b.conf").write_text("/b\n")
    (etc / "ld.so.conf.d/.hidden.conf").write_text("/hidden\n")
    (etc / "ld.so.conf.d/c.txt").write_text("/c\n")
    (etc / "ld.so.conf.d/host.conf").symlink_to("/etc/passwd")
    (etc / "other").write_bytes(b"/oth\xffer\n")
    with Root(str(root)) as opened:
        found = Configuration(opened)
    assert found.directories == ["/b", "/opt/vendor", "/oth\udcffer", "/first", "/odd\x1c/name"]
    assert found.text == b"/b\n/opt/vendor\n/oth\xffer\n/first\n/odd\x1c/name\n"
    assert found.unread == ['"/etc/ld.so.conf.d/host.conf" of the container is left out: No such file or directory']


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.conf", ["a.conf", "b.conf"]),
        ("a*", ["a.conf", "a.txt"]),
        ("*", ["a.conf", "a.txt", "b.conf"]),
        ("a*a.conf", []),
        ("a.*t", ["a.txt"]),
        ("a.conf", ["a.conf"]),
        ("?.conf", ["a.conf", "b.conf"]),
        ("*.[tu]*", ["a.txt"]),
        ("*a*.conf", ["a.conf"]),
        ("[!a]*", ["b.conf"]),
    ],
)
def test_patterns_of_a_configuration(pattern: str, expected: list[str], root: Path) -> None:
    """Patterns for included files mean what they mean to the C library, be they simple or not."""
    (root / "d").mkdir()
    for name in ("a.conf", "a.txt", "b.conf", ".a.conf"):
        (root / "d" / name).write_text(f"/{name}\n")
    (root / "etc/ld.so.conf").write_text(f"include /d/{pattern}\n")
    with Root(str(root)) as opened:
        assert Configuration(opened).directories == [f"/{name}" for name in expected]


def test_configuration_without_end(root: Path) -> None:
    """Files that include themselves, and more files or text than anybody needs, are not read to their end."""
    (root / "etc/ld.so.conf").write_text("/a\ninclude /etc/ld.so.conf\n")
    with Root(str(root)) as opened:
        found = Configuration(opened)
        assert len(found.directories) <= MOST_FILES + 1
        assert "is too much" in found.unread[0]
        (root / "etc/ld.so.conf").write_text("/a\n" * 400_000)
        assert "is too much" in Configuration(opened).unread[0]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("include" + " /d/a*" * 40_000, id="patterns"),
        pytest.param("include /d/" + "[a]" * 80_000, id="long-pattern"),
        pytest.param("/d/..\n" * 40_000, id="directories"),
    ],
)
def test_configuration_that_takes_long(text: str, root: Path) -> None:
    """A line of patterns, each of which needs a look at a large directory, does not keep a container waiting."""
    (root / "d").mkdir()
    for number in range(300):
        (root / f"d/{number}").touch()
    (root / "etc/ld.so.conf").write_text(text)
    before = time.monotonic()
    with Root(str(root)) as opened:
        found = Configuration(opened)
    assert "is not read to its end: it is too much" in found.unread[0]
    assert len(found.directories) <= MOST_DIRECTORIES + 1
    assert time.monotonic() - before < 5, "all of them would take minutes"


@pytest.mark.parametrize("part", ["*" + "[a-z]" * 125, "*a" * 120, "*" + "?" * 250])
def test_patterns_that_take_long(part: str, root: Path) -> None:
    """Patterns that are tried at each place of each of many long names don't keep a container waiting."""
    (root / "d").mkdir()
    for number in range(2000):
        (root / f"d/{'a' * 250}{number}").touch()
    (root / "etc/ld.so.conf").write_text("".join(f"include /d/{part}{number}b\n" for number in range(90)))
    before = time.monotonic()
    with Root(str(root)) as opened:
        assert "it is too much" in Configuration(opened).unread[0]
    assert time.monotonic() - before < 5, "all of them would take much longer"


def test_links_that_take_long(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files behind links that the kernel takes long to follow are read as long as that takes a second in all."""
    monkeypatch.setattr(linker_cache, "MOST_CPU_S", 0.02)
    (root / "0").mkdir()
    (root / "0/a.conf").write_text("/a\n")
    for number in range(38):
        (root / f"{number + 1}").symlink_to("./" * 1500 + str(number))
    for number in range(90):
        (root / f"etc/ld.so.conf.d/{number}.conf").symlink_to("/38/a.conf")
    with Root(str(root)) as opened:
        found = Configuration(opened)
    assert "it is too much" in found.unread[0]
    assert 0 < len(found.directories) < 90


@pytest.fixture
def few_descriptors() -> Iterator[None]:
    """Let this process have no more than 128 descriptors."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (128, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_many_directories(root: Path, library: Path, few_descriptors: None) -> None:
    """An image may name more directories, and lead to them through more, than we may have open."""
    names = [f"/opt/{number}" for number in range(200)]
    for number, name in enumerate(names):
        (root / name[1:]).mkdir()
        (root / f"{name[1:]}/next").symlink_to("/etc/end" if number % 30 == 0 else f"/opt/{number - 1}/next")
    (root / "etc/end").write_text("/opt/vendor\n")
    includes = [f"include {name}/nex*\n" for name in names[29::30]]
    (root / "etc/ld.so.conf").write_text("".join((*includes, *(f"{name}\n" for name in names))))
    assert put(root, injector_file(libraries=[f"{library}:/opt/199/libm-2.so"])) == []
    assert os.readlink(root / "opt/199/libm.so.6") == "libm-2.so"
    assert cached(root) == {"libm.so.6": "/opt/199/libm.so.6"}


def test_high_descriptors(root: Path, busybox: Callable[..., None], few_descriptors: None) -> None:
    """A program can be started by a process that has nearly all descriptors that it may have."""
    program, status = linker_cache.host_program(), root.stat()
    held: list[int] = []
    while not held or held[-1] < 115:
        held.append(os.dup(program))
    etc = file_system_in_memory(1 << 20, {})
    start = Start(held[-1], ("true",), root=str(root), inode=(status.st_dev, status.st_ino), etc=etc)
    ended = run(start, 20.0)
    for fd in (program, etc, *held):
        os.close(fd)
    assert (ended.status, ended.refused) == (0, 0)


def test_no_program_on_the_host(tmp_path: Path, root: Path, library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host whose program is missing, a script, or one that needs libraries can't make a cache, and that is told."""
    script, dynamic = tmp_path / "script", "/bin/sh"
    script.write_text("#!/bin/sh\n")
    monkeypatch.setattr(linker_cache, "PROGRAMS", (f"{tmp_path}/none", dynamic))
    with pytest.raises(FileNotFoundError):
        host_program()
    told = put_library(root, library)
    assert "the host has no ldconfig that needs no libraries itself" in told.of("warning")[0]
    tmp_path.chmod(0o777)
    monkeypatch.setattr(linker_cache, "PROGRAMS", (str(script),))
    with pytest.raises(UntrustedError):
        host_program()
    assert "everybody may write" in put_library(root, library).of("warning")[0]
    monkeypatch.setattr(linker_cache, "PROGRAMS", ("/dev/none/loop/x", "/etc/passwd/x"))
    with pytest.raises(UntrustedError, match="not a directory"):
        host_program()


def test_sealed_program() -> None:
    """The copy of the program can't be changed by anybody."""
    fd = sealed(b"x")
    with pytest.raises(PermissionError):
        os.write(fd, b"y")
    with pytest.raises(PermissionError):
        os.ftruncate(fd, 0)
    os.close(fd)


def test_no_file_system_in_memory(root: Path, library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reasons that are not the kernel's policy are not hidden."""

    def broken(size_bytes: int, files: dict[str, bytes]) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(refresh, "file_system_in_memory", broken)
    with pytest.raises(OSError, match="Input/output"):
        put_library(root, library)


def test_elf(tmp_path: Path, library: Path) -> None:
    """Files tell the name by which programs ask for them, and whether they are static; damaged ones tell nothing."""
    data, generator = library.read_bytes(), random.Random(3)
    with library.open("rb") as stream:
        assert (soname(stream.fileno()), is_static(stream.fileno())) == ("libm.so.6", True)
    with open(sys.executable, "rb") as stream:
        assert (soname(stream.fileno()), is_static(stream.fileno())) == ("", False)
    path = tmp_path / "damaged"
    for number in range(300):
        damaged = bytearray(data[: generator.choice((0, 10, 64, 400, len(data)))])
        for _ in range(4 if damaged else 0):
            damaged[generator.randrange(min(len(damaged), 700))] = generator.randrange(256)
        path.write_bytes(damaged)
        with path.open("rb") as stream:
            assert isinstance(soname(stream.fileno()), str), number
            assert is_static(stream.fileno()) in (True, False)
