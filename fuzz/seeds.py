"""What a run begins with besides the inputs that are kept: documents as they are used, from the data of the tests."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from ocihooks.testing.configs import bind_mount, make_config

TESTS = Path(__file__).parents[1] / "tests"
EXAMPLES_BYTES = 1024
"""Longer documents are left out: they make each try slower."""


def seeds(target: str) -> tuple[bytes, ...]:
    """The seeds of *target*; each target has some."""
    found = tuple(data for data in SEEDS[target]() if len(data) <= EXAMPLES_BYTES)
    assert found, target
    return found


def configs() -> Iterator[bytes]:
    """Configurations of containers."""
    yield b'{"ociVersion":"1.0.2","process":{"args":["/bin/sh"],"env":["TOOLS=1"]},"annotations":{"a1":"x1"}}'
    yield b'{"hooks":{"poststop":[{"path":"/p","args":["p"],"env":["A=1"],"timeout":5}]},"mounts":[{"type":"bind"}]}'
    yield b'{"Hooks":1,"hooks":{},"hooks":null,"annotations":{"\\u0061":"\\ud83d","a/b":"\xc3\xa9"}}'
    small = make_config(rootfs="rootfs", mounts=[bind_mount("/srv", "/mnt")])
    small = {name: small[name] for name in ("process", "root", "mounts")}
    yield json.dumps(small, separators=(",", ":")).encode()


def hook_objects() -> Iterator[bytes]:
    """Hooks objects."""
    yield b'{"createRuntime":[{"path":"/bin/h"}],"poststop":null}'
    yield b'{"hooks":{"startContainer":[{"path":"/h","args":["h"],"env":["A=1"],"timeout":3}]}}'


def recorded(name: str) -> Callable[[], Iterator[bytes]]:
    """Every seventh content of a file in the recorded cases *name*."""

    def contents() -> Iterator[bytes]:
        lines = (TESTS / "conformance" / f"{name}.jsonl").read_text().splitlines()
        for line in lines[::7]:
            content = json.loads(line)["input"].get("content", {})
            if isinstance(content, dict) and isinstance(content.get("text"), str):
                yield content["text"].encode("utf-8", "surrogatepass")

    return contents


def committed(engine: str, pattern: str) -> Callable[[], Iterator[bytes]]:
    """Configuration files of *engine* in the tests' data."""

    def contents() -> Iterator[bytes]:
        for file in sorted((TESTS / "data/engines" / engine).glob(f"*/*/{pattern}")):
            yield file.read_bytes()

    return contents


def settings() -> Iterator[bytes]:
    """Settings with all kinds of values."""
    yield b'[ocihooks]\nhooks-dirs = [\'/a\', "/b"]\non_invalid = "warn"\ndefault-timeout = 5\nsandbox = true\n'
    yield b'[ocihooks.rules."10.json"]\nsupervise = "on"\n[ocihooks]\ntrusted-groups = [1, 2]\nmodifiers = ["m:f"]\n'


def toolkit() -> Iterator[bytes]:
    """Settings of the toolkit's programs."""
    yield b'[container-hooks]\npath = "h.json"\n[container-hooks-runtime]\nruntimes = ["runc"]\ndebug = ""\n'


def injector() -> Iterator[bytes]:
    """Injector files in all their forms."""
    yield b'{"activation_flag":"TOOLS","binaries":["/bin/a:/bin/b"],"devices":"/dev/n*","directories":["/d"]}'
    entry = b'{"source":"/a","destination":"/b","mode":"0755","optional":true}'
    yield b'{"activation_flag":"T=1","miscellaneous":[%s],"env":["A=b"],"way":"mount","optional":true}' % entry


def linker() -> Iterator[bytes]:
    """Configurations of a dynamic linker."""
    yield b"include /etc/ld.so.conf.d/*.conf\n/usr/local/lib # comment\n\tinclude a b\nhwcap 0 nosegneg\n"


def library() -> Iterator[bytes]:
    """A library with nothing but its name, for each width."""
    parts = struct.pack("<IIQQQQ", 1, 4, 0, 0, 0, 512) + bytes(16)
    parts += struct.pack("<IIQQQQ", 2, 4, 176, 176, 0, 48) + bytes(16)
    dynamic = struct.pack("<6Q", 14, 1, 5, 224, 0, 0)
    head = b"\x7fELF\2\1" + bytes(26) + struct.pack("<Q", 64) + bytes(14) + struct.pack("<HH", 56, 2) + bytes(6)
    yield head + parts + dynamic + b"\0libx.so.1\0"
    yield b"\x7fELF\1\1" + bytes(22) + struct.pack("<I", 52) + bytes(10) + struct.pack("<HH", 32, 1) + bytes(64)


def words() -> Iterator[bytes]:
    """Lines as engines call runtimes."""
    yield b"--root\0/r\0--log=/l\0--log-format\0json\0create\0--bundle\0/b\0--pid-file\0/p\0id"
    yield b"--systemd-cgroup\0--debug\0run\0-b/b\0--no-pivot\0id"
    yield b"start\0id"
    yield b"kill\0--all\0id\0009"


def launcher_words() -> Iterator[bytes]:
    """The same, with what fails in front."""
    yield from (b"%c" % (48 + number % 4) + line for number, line in enumerate((*words(), b"create\0--bundle=/b\0id")))


def launcher_data() -> Iterator[bytes]:
    """The numbers of sources and texts, a source of each kind, and the texts."""
    source = struct.pack("=9Q", 0, *(0,) * 8) + b"/missing\0"
    source += struct.pack("=9Q", 1, *range(1, 6), 0, 0, 0) + b"/there\0"
    source += struct.pack("=9Q", 2, *range(1, 9)) + b"/there\0"
    yield b"1" + struct.pack("=II", 3, 2) + source + b"OCIHOOKS_RULE=\0gpu\0"


def launcher_config() -> Iterator[bytes]:
    """Configurations of containers, some of which have a text."""
    yield from configs()
    yield b'{"process":{"args":["sh"]},"annotations":{"com.example.gpu":"1"}}'


def nri() -> Iterator[bytes]:
    """A request with a bit of everything, as protocol buffers have it."""
    pod = b"\x0a\x03pod\x22\x02ns\x32\x06\x0a\x01a\x12\x01b"
    container = b"\x0a\x02id\x12\x03pod\x1a\x01n\x32\x06\x0a\x01a\x12\x01b\x3a\x02sh\x42\x03A=1\x4a\x04\x0a\x02/m"
    container += b"\x52\x07\x0a\x05\x0a\x03/ho\x5a\x0d\x0a\x03\x0a\x01n\x12\x06\x0a\x02/d\x18\x01"
    yield b"\x0a%c%s\x12%c%s" % (len(pod), pod, len(container), container)


SEEDS: Mapping[str, Callable[[], Iterator[bytes]]] = {
    "config": configs,
    "tolerant": configs,
    "static": hook_objects,
    "rule": recorded("hooks_read"),
    "settings": settings,
    "toolkit": toolkit,
    "docker": committed("docker", "daemon.json"),
    "containerd": committed("containerd", "config.toml"),
    "crio": committed("crio", "crio.conf"),
    "containers-conf": committed("podman", "containers.conf"),
    "injector": injector,
    "linker": linker,
    "library": library,
    "words": words,
    "nri": nri,
    "careless": lambda: iter((b"hello",)),
    "launcher-words": launcher_words,
    "launcher-data": launcher_data,
    "launcher-config": launcher_config,
}
"""The seeds of each target."""
