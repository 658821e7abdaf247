"""Filters, the hooks of the precreate stage: what they print is what the runtime gets, or no container is created."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from tests.integration.wrappers import (
    FIXED_PATH,
    Notes,
    Simulated,
    Wrapper,
    assert_refused,
    litter,
    lives_on,
    rules_of,
)

from ocihooks.testing.runtimes import PrivateRuntime


def write_filter(wrapper: Wrapper, name: str, script: str, **members: Any) -> Path:
    """A rule whose hook is a shell script that filters every container's configuration."""
    hook = {"path": "/bin/sh", "args": ["sh", "-c", script], **members}
    return wrapper.write_rule(name, hook=hook, stages=["precreate"])


def replacing(old: str, new: str) -> str:
    """A script that replaces a text."""
    return f"exec sed {shlex.quote(f's#{old}#{new}#')}"


@pytest.mark.runtime
def test_changed_command(runtime: PrivateRuntime, wrapper: Wrapper) -> None:
    """A filter that changes the arguments: the container runs the other command."""
    write_filter(wrapper, "a.json", replacing(r'"args":\["true"\]', r'"args":["echo","changed"]'))
    call = runtime.run_container(runtime.make_bundle(), program=wrapper.script)
    assert (call.status, call.stdout, call.stderr) == (0, "changed\n", "")


@pytest.mark.runtime
def test_added_mount(runtime: PrivateRuntime, wrapper: Wrapper) -> None:
    """A filter that adds a mount: the container has it."""
    (runtime.directory / "gift").write_text("from the host\n")
    mount = {"destination": "/mnt", "type": "bind", "source": str(runtime.directory), "options": ["rbind", "ro"]}
    write_filter(wrapper, "a.json", replacing(r'"mounts":\[', '"mounts":[' + json.dumps(mount) + ","))
    call = runtime.run_container(runtime.make_bundle(args=["cat", "/mnt/gift"]), program=wrapper.script)
    assert (call.status, call.stdout) == (0, "from the host\n"), call


@pytest.mark.runtime
def test_order_of_filters_and_hooks(runtime: PrivateRuntime, wrapper: Wrapper, notes: Notes) -> None:
    """Each filter gets what the one before it printed, with the hooks of rules in it; nothing is matched once more."""
    seen = runtime.directory / "seen"
    first = replacing('"annotations":{', '"annotations":{"first":"1",')
    write_filter(wrapper, "20-first.json", f"tee {seen}-1 | {first.removeprefix('exec ')}")
    second = replacing('"first":"1"', '"second":"2","first":"1"')
    write_filter(wrapper, "30-second.json", f"tee {seen}-2 | {second.removeprefix('exec ')}")
    wrapper.write_rule("10-hook.json", hook=notes.hook("hook"))
    wrapper.write_rule("40-late.json", hook=notes.hook("late"), when={"annotations": {"^first$": "1"}})
    bundle = runtime.make_bundle(annotations={"org.example": "yes"})
    assert runtime.run_container(bundle, program=wrapper.script).status == 0
    texts = [Path(f"{seen}-{number}").read_text() for number in (1, 2)]
    assert [sorted(json.loads(text)["annotations"]) for text in texts] == [["org.example"], ["first", "org.example"]]
    assert all(json.loads(text)["hooks"] == bundle.config()["hooks"] for text in texts)
    assert sorted(bundle.config()["annotations"]) == ["first", "org.example", "second"]
    assert rules_of(bundle) == ["10-hook.json"]
    assert notes.order() == ["hook"]
    assert notes.read("hook").state["annotations"] == bundle.config()["annotations"]


@pytest.mark.runtime
def test_failing_filter(runtime: PrivateRuntime, wrapper: Wrapper, notes: Notes) -> None:
    """A filter that fails: no container, config.json as it was, even if the filter before it had changed something."""
    wrapper.write_rule("1.json", hook=notes.hook("hook"))
    write_filter(wrapper, "2.json", replacing("true", "false"))
    write_filter(wrapper, "3.json", "echo out of luck >&2; exit 3")
    bundle = runtime.make_bundle()
    before = bundle.config_path.read_bytes()
    call = runtime.run_container(bundle, program=wrapper.script)
    assert_refused(call, "3.json", "/bin/sh", "status 3", "out of luck")
    assert bundle.config_path.read_bytes() == before
    assert litter(bundle) == []
    assert runtime.containers() == ()
    assert notes.order() == []


def test_last_output_byte_for_byte(simulated: Simulated) -> None:
    """What the last filter prints is what the runtime gets, to the byte: spaces, order, escapes, the final newline."""
    config = simulated.bundle.config()
    text = json.dumps(dict(reversed(config.items())), indent=5).replace("/", "\\/") + "\n\n  \n"
    output = simulated.directory / "output.json"
    output.write_text(text)
    write_filter(simulated.wrapper, "b.json", f"exec cat {output}")
    simulated.wrapper.write_rule("c.json", hook={"path": "/bin/cat"})
    assert simulated.create().returncode == 0
    (call,) = simulated.fake.calls()
    assert call.config == text
    assert call.config_sha256 == hashlib.sha256(text.encode()).hexdigest()
    assert simulated.bundle.config_path.read_text() == text


def test_filter_that_changes_nothing(simulated: Simulated) -> None:
    """A filter that copies its input, and no hooks to add: config.json is not touched."""
    write_filter(simulated.wrapper, "a.json", "exec cat")
    before = (simulated.bundle.config_path.stat().st_ino, simulated.bundle.config_path.read_bytes())
    assert simulated.create().returncode == 0
    assert (simulated.bundle.config_path.stat().st_ino, simulated.bundle.config_path.read_bytes()) == before


def test_environment_of_filters(simulated: Simulated) -> None:
    """A filter runs in the bundle, with its rule's environment and our marks, and no descriptor of ours."""
    seen = simulated.directory / "seen"
    script = f"pwd > {seen}.cwd; env -0 > {seen}.environment; exec ls /proc/self/fd >&2"
    file = write_filter(simulated.wrapper, "a.json", script)
    call = simulated.create(env={"SECRET": "of the engine", "PATH": "/nowhere"})
    assert_refused(call, r'stderr: "0\n1\n2\n3')  # 3 is the directory that ls lists
    assert r"3\n4" not in call.stderr
    environment = Path(f"{seen}.environment").read_text().split("\0")[:-1]
    assert sorted(entry for entry in environment if not entry.startswith("PWD=")) == sorted(
        [FIXED_PATH, f"OCIHOOKS_RULE={file}", "OCIHOOKS_STAGE=precreate"]
    )
    assert Path(f"{seen}.cwd").read_text() == f"{simulated.bundle.directory}\n"


# How a filter misbehaves, and what the message says.
BAD_FILTERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "exit-status": ("cat; exit 7", ("status 7",)),
    "killed": ("kill -9 $$", ("SIGKILL",)),
    "nothing": ("cat > /dev/null", ("nothing was written",)),
    "garbage": ("echo '<html>502 Bad Gateway</html>'", ("its output is no configuration", "line 1 column 1")),
    "null": ("echo null", ("its output is no configuration", "found null")),
    "array": ("echo []", ("its output is no configuration", "found an array")),
    "empty-object": ("echo {}", ("its output is no configuration",)),
    "half": ("head -c 1000", ("its output is no configuration", "not JSON")),
    "twice": ("tee /dev/stderr 2>&1", ("its output is no configuration",)),
    "trailing": ("cat; echo done", ("its output is no configuration", "line 1 column")),
    "wrong-type": (replacing(r'"args":\["true"\]', '"args":"true"'), ("/process/args",)),
    "two-hooks": (replacing('"linux":', '"hooks":{},"hooks":{},"linux":'), ("/hooks", "more than once")),
    "not-utf-8": (r"""printf '{"ociVersion":"1.0.2","a":"\377"}'""", ("not UTF-8",)),
    "too-large": ("cat; head -c 20000000 /dev/zero | tr '\\0' ' '", ("longer than the 16777216 bytes",)),
    "flood-of-errors": ("head -c 20000000 /dev/zero | tr '\\0' 'x' >&2; exit 1", ("status 1", "xxx")),
    "without-version": (replacing('"ociVersion"', '"ociversion"'), ("/ociVersion",)),
}


@pytest.mark.parametrize("name", BAD_FILTERS)
def test_bad_filter(simulated: Simulated, name: str) -> None:
    """A filter that misbehaves: a message that names its rule and what it did, nothing changed, no runtime."""
    script, fragments = BAD_FILTERS[name]
    file = write_filter(simulated.wrapper, "a.json", script, timeout=20)
    before = simulated.bundle.config_path.read_bytes()
    assert_refused(simulated.create(), str(file), "precreate filter", *fragments)
    assert simulated.bundle.config_path.read_bytes() == before
    assert litter(simulated.bundle) == []
    assert simulated.fake.calls() == ()


def test_filter_that_is_missing(simulated: Simulated) -> None:
    """A filter whose program is missing: the container is refused as with any other hook."""
    simulated.wrapper.write_rule("a.json", hook={"path": "/no/such"}, stages=["precreate"])
    assert_refused(simulated.create(), "a.json: /hook/path", "/no/such")


def test_filter_that_hangs(simulated: Simulated) -> None:
    """A filter is over when its timeout passes, with all that it started, however it resists."""
    pids = simulated.directory / "pids"
    script = f"trap '' TERM INT HUP; (setsid sleep 60 & echo $! >> {pids}); sleep 60 & echo $! >> {pids}; wait; wait"
    write_filter(simulated.wrapper, "a.json", script, timeout=1)
    started = time.monotonic()
    call = simulated.create()
    took = time.monotonic() - started
    assert_refused(call, "a.json", "timeout", "1 s")
    assert took < 30
    assert [pid for pid in map(int, pids.read_text().split()) if lives_on(pid)] == []
    assert simulated.fake.calls() == ()


def test_default_timeout_of_filters(simulated: Simulated) -> None:
    """The default timeout of the settings holds for filters, too."""
    simulated.wrapper.write_settings(default_timeout=1)
    write_filter(simulated.wrapper, "a.json", "exec sleep 60")
    started = time.monotonic()
    assert_refused(simulated.create(), "a.json", "timeout")
    assert time.monotonic() - started < 30


def test_filter_that_does_not_read(simulated: Simulated) -> None:
    """A filter that reads nothing of a large configuration may print another one."""
    config = simulated.bundle.config()
    output = simulated.directory / "output.json"
    output.write_text(json.dumps(config))
    simulated.bundle.write_config(config | {"x-large": "x" * 5_000_000})
    write_filter(simulated.wrapper, "a.json", f"exec cat {output} <&-")
    assert simulated.create().returncode == 0
    assert simulated.bundle.config_path.read_text() == output.read_text()


def test_filter_that_leaves_a_process_behind(simulated: Simulated) -> None:
    """A process that a filter leaves with its output open is waited for a moment only."""
    pid_file = simulated.directory / "pid"
    write_filter(simulated.wrapper, "a.json", f"cat; sleep 60 & echo $! > {pid_file}")
    before = simulated.bundle.config_path.read_bytes()
    started = time.monotonic()
    call = simulated.create()
    took = time.monotonic() - started
    os.kill(int(pid_file.read_text()), signal.SIGKILL)
    assert call.returncode == 0, call
    assert took < 30
    assert simulated.bundle.config_path.read_bytes() == before


def test_large_configuration(simulated: Simulated) -> None:
    """A configuration of several megabytes passes through filters that read and write at once."""
    simulated.bundle.write_config(simulated.bundle.config() | {"x-large": ["x" * 1000] * 5000})
    write_filter(simulated.wrapper, "a.json", "exec sed s/true/CAT/")
    write_filter(simulated.wrapper, "b.json", "exec cat")
    assert simulated.create().returncode == 0
    assert simulated.bundle.config()["process"]["args"] == ["CAT"]


def test_filters_of_other_containers(simulated: Simulated) -> None:
    """A filter whose rule does not match does not run, nor does one for the sandbox of a pod."""
    hook = {"path": "/bin/false"}
    simulated.wrapper.write_rule("a.json", hook=hook, stages=["precreate"], when={"commands": ["nginx"]})
    simulated.wrapper.write_rule("b.json", hook=hook, stages=["precreate"], when={"annotations": {"cri": "sandbox"}})
    simulated.bundle.write_config(
        simulated.bundle.config() | {"annotations": {"io.kubernetes.cri.container-type": "sandbox"}}
    )
    assert simulated.create().returncode == 0


def test_filter_and_hook_of_one_rule(simulated: Simulated) -> None:
    """A rule may name precreate beside other stages: its hook runs as a filter, and later as a hook."""
    log = simulated.directory / "stages"
    script = f'echo "$OCIHOOKS_STAGE" >> {log}; [ "$OCIHOOKS_STAGE" != precreate ] || exec cat'
    hook = {"path": "/bin/sh", "args": ["sh", "-c", script]}
    simulated.wrapper.write_rule("a.json", hook=hook, stages=["createRuntime", "precreate"])
    assert simulated.create().returncode == 0
    assert log.read_text().split() == ["precreate", "createRuntime"]
    assert "precreate" not in simulated.bundle.config()["hooks"]
