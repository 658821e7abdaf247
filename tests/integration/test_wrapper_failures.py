"""
Whatever is broken, the user gets one clear message, config.json stays as it was, and no container is created.

All of it in front of a fake runtime, which records that it was never called; the main cases on the real ones, too.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.integration.wrappers import (
    ALWAYS,
    Notes,
    Simulated,
    Wrapper,
    assert_refused,
    give_away,
    litter,
    lives_on,
    rules_of,
)

from ocihooks.document import MAX_BYTES
from ocihooks.testing.bundles import MadeBundle
from ocihooks.testing.runtimes import PrivateRuntime

HTML = "<!DOCTYPE html>\n<html><head><title>502 Bad Gateway</title></head></html>\n"
TRUE = {"path": "/bin/true"}

Break = Callable[[Wrapper, MadeBundle], object]
"""Breaks something."""


def rule_text(**members: Any) -> str:
    """A rule that matches every container, with other members than usual."""
    return json.dumps({"version": "1.0.0", "hook": TRUE, "when": ALWAYS, "stages": ["createRuntime"], **members})


def writes_rule(text: str | bytes) -> Break:
    """Writes the rule ``a.json``."""
    return lambda wrapper, _: wrapper.write_file("a.json", text)


def writes_settings(text: str) -> Break:
    """Writes the settings."""

    def act(wrapper: Wrapper, _: MadeBundle) -> None:
        wrapper.settings.write_text(text)
        wrapper.settings.chmod(0o644)

    return act


def writes_config(content: bytes) -> Break:
    """Writes config.json."""

    def act(_: Wrapper, bundle: MadeBundle) -> None:
        bundle.write_config(content)

    return act


def changes_config(old: str, new: str) -> Break:
    """Replaces a text in config.json."""

    def act(_: Wrapper, bundle: MadeBundle) -> None:
        text = bundle.config_path.read_text()
        assert old in text
        bundle.write_config(text.replace(old, new, 1).encode())

    return act


def program(wrapper: Wrapper, mode: int = 0o755) -> Path:
    """A program that hooks can run."""
    file = wrapper.settings.parent / "program"
    file.write_text("#!/bin/sh\n")
    file.chmod(mode)
    return file


def not_executable(wrapper: Wrapper, _: MadeBundle) -> None:
    wrapper.write_rule("a.json", hook={"path": str(program(wrapper, 0o644))})


def program_of_somebody_else(wrapper: Wrapper, _: MadeBundle) -> None:
    file = program(wrapper)
    give_away(file)
    wrapper.write_rule("a.json", hook={"path": str(file)})


def program_that_others_can_write(wrapper: Wrapper, _: MadeBundle) -> None:
    wrapper.write_rule("a.json", hook={"path": str(program(wrapper, 0o757))})


def rule_that_others_can_write(wrapper: Wrapper, _: MadeBundle) -> None:
    wrapper.write_rule("a.json", hook=TRUE).chmod(0o646)


def rule_that_a_group_can_write(wrapper: Wrapper, _: MadeBundle) -> None:
    file = wrapper.write_rule("a.json", hook=TRUE)
    give_away(file, uid=os.geteuid())
    file.chmod(0o664)


def rule_of_somebody_else(wrapper: Wrapper, _: MadeBundle) -> None:
    give_away(wrapper.write_rule("a.json", hook=TRUE))


def directory_of_somebody_else(wrapper: Wrapper, _: MadeBundle) -> None:
    give_away(wrapper.hooks_dirs[1])


def directory_that_others_can_write(wrapper: Wrapper, _: MadeBundle) -> None:
    wrapper.hooks_dirs[1].chmod(0o757)


def directory_above_that_others_can_write(wrapper: Wrapper, _: MadeBundle) -> None:
    wrapper.hooks_dirs[1].parent.chmod(0o757)


def link_to_a_rule_of_somebody_else(wrapper: Wrapper, bundle: MadeBundle) -> None:
    file = bundle.directory.parent / "theirs.json"
    file.write_text(rule_text())
    give_away(file)
    (wrapper.hooks_dirs[0] / "a.json").symlink_to(file)


def link_loop(wrapper: Wrapper, _: MadeBundle) -> None:
    (wrapper.hooks_dirs[0] / "a.json").symlink_to("b.json")
    (wrapper.hooks_dirs[0] / "b.json").symlink_to("a.json")


def fifo_as_rule(wrapper: Wrapper, _: MadeBundle) -> None:
    os.mkfifo(wrapper.hooks_dirs[0] / "a.json", 0o644)


def directory_as_rule(wrapper: Wrapper, _: MadeBundle) -> None:
    (wrapper.hooks_dirs[0] / "a.json").mkdir()


def device_as_rule(wrapper: Wrapper, _: MadeBundle) -> None:
    (wrapper.hooks_dirs[0] / "a.json").symlink_to("/dev/zero")


def file_as_directory(wrapper: Wrapper, _: MadeBundle) -> None:
    wrapper.hooks_dirs[1].rmdir()
    wrapper.hooks_dirs[1].write_text("")


def being_written(file: Path) -> None:
    """An empty file that was changed just now; its time is a little late, so that a slow machine does not matter."""
    file.touch(0o644)
    os.utime(file, (time.time() + 1.5,) * 2)


def settings_of_somebody_else(wrapper: Wrapper, _: MadeBundle) -> None:
    give_away(wrapper.write_settings())


def directory_as_settings(wrapper: Wrapper, _: MadeBundle) -> None:
    wrapper.settings.mkdir()


def fifo_as_settings(wrapper: Wrapper, _: MadeBundle) -> None:
    os.mkfifo(wrapper.settings, 0o644)


def static_file(content: str | None) -> Break:
    """Makes the settings name a static hook file; None: which is not there."""

    def act(wrapper: Wrapper, _: MadeBundle) -> None:
        file = wrapper.settings.parent / "static.json"
        if content is not None:
            file.write_text(content)
        wrapper.write_settings(static_hooks=[str(file)])

    return act


def no_config(_: Wrapper, bundle: MadeBundle) -> None:
    bundle.config_path.unlink()


def config_is(make: Callable[[Path], object]) -> Break:
    """Puts something else in the place of config.json."""

    def act(_: Wrapper, bundle: MadeBundle) -> None:
        bundle.config_path.unlink()
        make(bundle.config_path)

    return act


def command_without_arguments(wrapper: Wrapper, bundle: MadeBundle) -> None:
    config = bundle.config()
    config["process"]["args"] = []
    bundle.write_config(config)
    wrapper.write_rule("a.json", hook=TRUE, when={"commands": ["x"]})


def no_runtime(wrapper: Wrapper, bundle: MadeBundle) -> None:
    wrapper.runtime.rename(bundle.directory.parent / "gone")


# What is broken, and what the message has to say beside the names of the files.
RULES: dict[str, tuple[Break, tuple[str, ...]]] = {
    "html": (writes_rule(HTML), ("a.json: line 1 column 1: not JSON",)),
    "half": (writes_rule(rule_text()[:-20]), ("a.json: line 1 column", "not JSON")),
    "binary": (writes_rule(bytes(range(256))), ("a.json: line 1 column 1: not JSON",)),
    "byte-order-mark": (writes_rule("\ufeff" + rule_text()), ("a.json: line 1 column 1", "byte order mark")),
    "array": (writes_rule("[]"), ("a.json",)),
    "version": (writes_rule(rule_text(version="2.0.0")), ("a.json: /version", '"2.0.0"')),
    "stage": (writes_rule(rule_text(stages=["createruntime"])), ("a.json: /stages/0", 'did you mean "createRuntime"')),
    "pattern": (writes_rule(rule_text(when={"commands": ["(?=x)"]})), ("a.json: /when/commands/0", "RE2")),
    "no-stages": (writes_rule('{"version":"1.0.0","hook":{"path":"/bin/true"},"when":{}}'), ("a.json: /stages",)),
    "type": (writes_rule(rule_text(hook="/bin/true")), ("a.json: /hook",)),
    "too-large": (writes_rule(rule_text() + " " * (1 << 20)), ("a.json: larger than the 1048576 bytes",)),
    "deep": (writes_rule("[" * 100_000), ("a.json",)),
    "two": (lambda w, _: [w.write_file(name, "{") for name in ("a.json", "b.json")], ("/a.json", "/b.json")),
    "program-missing": (writes_rule(rule_text(hook={"path": "/no/such"})), ("a.json: /hook/path", "/no/such")),
    "program-relative": (writes_rule(rule_text(hook={"path": "true"})), ("a.json: /hook/path", "absolute path")),
    "program-not-executable": (not_executable, ("a.json: /hook/path", "not executable", "chmod +x")),
    "program-is-a-directory": (writes_rule(rule_text(hook={"path": "/usr/bin"})), ("a.json: /hook/path", "no regular")),
    "program-of-somebody-else": (program_of_somebody_else, ("a.json: /hook/path", "belongs to user 1", "chown")),
    "program-writable": (program_that_others_can_write, ("a.json: /hook/path", "everybody may write", "chmod o-w")),
    "timeout-0": (writes_rule(rule_text(hook=TRUE | {"timeout": 0})), ("a.json: /hook/timeout", "found 0")),
    "timeout-3601": (writes_rule(rule_text(hook=TRUE | {"timeout": 3601})), ("a.json: /hook/timeout", "3600")),
    "writable": (rule_that_others_can_write, ("a.json: not used", "everybody may write it", "chmod o-w")),
    "group-writable": (rule_that_a_group_can_write, ("a.json: not used", "group 1 may write it", "trusted-groups")),
    "of-somebody-else": (rule_of_somebody_else, ("a.json: not used", "belongs to user 1", "chown")),
    "link-to-one-of-somebody-else": (link_to_a_rule_of_somebody_else, ("a.json: not used", "belongs to user 1")),
    "link-loop": (link_loop, ("a.json", "b.json", "links")),
    "fifo": (fifo_as_rule, ("a.json: expected a regular file",)),
    "being-written": (lambda w, _: being_written(w.hooks_dirs[0] / "a.json"), ("a.json: is empty", "try again")),
    "directory": (directory_as_rule, ("a.json: expected a regular file",)),
    "device": (device_as_rule, ("a.json: not used", "/dev/zero")),
    "directory-of-somebody-else": (directory_of_somebody_else, ("override.d: not used", "belongs to user 1")),
    "directory-writable": (directory_that_others_can_write, ("override.d: not used", "everybody may write")),
    "directory-above-writable": (directory_above_that_others_can_write, ("not used", "everybody may write")),
    "file-as-directory": (file_as_directory, ("override.d",)),
}
SETTINGS: dict[str, tuple[Break, tuple[str, ...]]] = {
    "html": (writes_settings(HTML), ("config.toml: line 1 column 1: not TOML",)),
    "not-utf8": (lambda w, _: w.settings.write_bytes(b"\xff\xfe"), ("config.toml: line 1: not UTF-8",)),
    "key": (writes_settings("[ocihooks]\nhook-dirs = []\n"), ("config.toml: ocihooks.hook-dirs", '"hooks-dirs"')),
    "table": (writes_settings("[ocihook]\n"), ("config.toml: ocihook", "[ocihooks]")),
    "type": (writes_settings('[ocihooks]\nsandbox = "yes"\n'), ("ocihooks.sandbox", "expected true or false", '"yes"')),
    "policy": (writes_settings('[ocihooks.rules."a.json"]\non-invalid = "skip"\n'), ("a.json", '"skip"')),
    "of-somebody-else": (settings_of_somebody_else, ("config.toml: not used", "belongs to user 1")),
    "being-written": (lambda w, _: being_written(w.settings), ("config.toml: is empty", "try again")),
    "directory": (directory_as_settings, ("config.toml: expected a regular file",)),
    "fifo": (fifo_as_settings, ("config.toml: expected a regular file",)),
    "static-missing": (static_file(None), ("static.json: there is no such static hook file",)),
    "static-html": (static_file(HTML), ("static.json: line 1 column 1: not JSON",)),
    "static-stage": (static_file('{"hooks": {"createruntime": []}}'), ("static.json: /hooks/createruntime",)),
    "static-entry": (static_file('{"poststop": [{"path": 1}]}'), ("static.json: /poststop/0/path", "a number")),
}
CONFIG: dict[str, tuple[Break, tuple[str, ...]]] = {
    "missing": (no_config, ("config.json: can't be read: it does not exist",)),
    "empty": (writes_config(b""), ("config.json: line 1 column 1: the file is empty",)),
    "html": (writes_config(HTML.encode()), ("config.json: line 1 column 1: not JSON",)),
    "half": (changes_config('"linux":', '"linux":['), ("config.json: line 1 column", "not JSON")),
    "trailing": (lambda _, b: b.write_config(b.config_path.read_bytes() + b"{}"), ("config.json: line 1 column",)),
    "array": (writes_config(b"[{}]"), ("config.json: expected an object, found an array",)),
    "byte-order-mark": (
        lambda _, b: b.write_config(b"\xef\xbb\xbf" + b.config_path.read_bytes()),
        ("byte order mark",),
    ),
    "utf-16": (lambda _, b: b.write_config(b.config_path.read_text().encode("utf-16")), ("config.json", "not UTF-8")),
    "bad-utf-8": (writes_config(b'{"a": "\xc3("}'), ("config.json: line 1 column 8: not UTF-8",)),
    "nan": (changes_config('"linux":', '"x":NaN,"linux":'), ("config.json", "NaN is no value")),
    "two-hooks": (
        changes_config('"linux":', '"hooks":{},"hooks":{},"linux":'),
        ("config.json: /hooks", "more than once"),
    ),
    "other-case": (changes_config('"linux":', '"Hooks":{},"linux":'), ("config.json: /Hooks", "letter case")),
    "two-args": (changes_config('"args":', '"args":["x"],"args":'), ("config.json: /process/args", "more than once")),
    "hooks-array": (changes_config('"linux":', '"hooks":[],"linux":'), ("/hooks: expected an object, found an array",)),
    "stage-object": (
        changes_config('"linux":', '"hooks":{"poststop":{}},"linux":'),
        ("/hooks/poststop: expected an array",),
    ),
    "args-number": (changes_config('"args":["true"]', '"args":["true",1]'), ("/process/args/1: expected a string",)),
    "no-args": (command_without_arguments, ("a.json", "process.args is empty")),
    "deep": (changes_config('"linux":', f'"x":{"[" * 2000}{"]" * 2000},"linux":'), ("deeper than 1024",)),
    "too-large": (lambda _, b: b.write_config(b.config_path.read_bytes() + b" " * MAX_BYTES), (str(MAX_BYTES),)),
    "directory": (config_is(Path.mkdir), ("config.json: expected a regular file",)),
    "fifo": (config_is(os.mkfifo), ("config.json: expected a regular file",)),
    "device": (config_is(lambda path: path.symlink_to("/dev/zero")), ("config.json: expected a regular file",)),
    "dangling-link": (config_is(lambda path: path.symlink_to("gone")), ("config.json: can't be read",)),
    "loop": (config_is(lambda path: path.symlink_to(path)), ("config.json: can't be read",)),
    "no-runtime": (no_runtime, ("fake-runc", "does not exist")),
}
ALL = {
    f"{kind}-{name}": case
    for kind, cases in (("rule", RULES), ("settings", SETTINGS), ("config", CONFIG))
    for name, case in cases.items()
}


def content_of(bundle: MadeBundle) -> tuple[int, int, bytes] | str:
    """What config.json is at present: version and bytes; or what else is in its place."""
    path = bundle.config_path
    if not path.is_file() or path.is_symlink():
        return oct(path.lstat().st_mode) if os.path.lexists(path) else "nothing"
    return path.stat().st_ino, path.stat().st_mtime_ns, path.read_bytes()


@pytest.mark.parametrize("name", ALL)
def test_broken(simulated: Simulated, name: str) -> None:
    """Something is broken: a message that says what and where, nothing changed, the runtime never called."""
    break_it, fragments = ALL[name]
    simulated.wrapper.write_rule("z.json", hook=TRUE)
    break_it(simulated.wrapper, simulated.bundle)
    before = content_of(simulated.bundle)
    log = simulated.directory / "log.json"
    call = simulated.create("--log", str(log), "--log-format", "json")
    assert_refused(call, *fragments)
    assert content_of(simulated.bundle) == before
    assert litter(simulated.bundle) == []
    assert simulated.fake.calls() == ()
    (line,) = log.read_text().splitlines()
    entry = json.loads(line)
    assert entry["level"] == "error"
    assert entry["msg"] == call.stderr.removesuffix("\n").replace("\n", "; ")


REAL = ("rule-html", "rule-program-missing", "rule-writable", "settings-html", "config-half", "config-two-hooks")


@pytest.mark.runtime
@pytest.mark.parametrize("name", REAL)
def test_broken_in_front_of_real_runtimes(runtime: PrivateRuntime, wrapper: Wrapper, name: str) -> None:
    """The same in front of runc and crun: no container comes into being, nor any state of one."""
    break_it, fragments = ALL[name]
    wrapper.write_rule("z.json", hook=TRUE)
    bundle = runtime.make_bundle()
    break_it(wrapper, bundle)
    before = content_of(bundle)
    for operation in ("create", "run"):
        log = runtime.directory / f"{operation}.log"
        words = ("--log", str(log), operation, "--bundle", str(bundle.directory), runtime.new_id())
        call = runtime.call(*words, program=wrapper.script)
        assert_refused(call, *fragments)
        (line,) = log.read_text().splitlines()
        assert line.startswith('time="20')
        assert " level=error msg=" in line
        assert call.stderr.splitlines()[0].replace('"', '\\"') in line
    assert content_of(bundle) == before
    assert runtime.containers() == ()


def test_message_in_the_text_log(simulated: Simulated) -> None:
    """Without --log-format json the log gets a line as runc writes it; what was in the log stays."""
    simulated.wrapper.write_file("a.json", HTML)
    log = simulated.directory / "log"
    log.write_text("before\n")
    call = simulated.create(f"--log={log}")
    assert_refused(call)
    first, second = log.read_text().splitlines()
    assert first == "before"
    assert second.startswith('time="')
    assert " level=error msg=" in second
    assert json.loads(second.partition(" msg=")[2]) == call.stderr.removesuffix("\n").replace("\n", "; ")


def unwritable_log(directory: Path, kind: str) -> Path:
    log = directory / "log"
    if kind == "directory":
        log.mkdir()
    elif kind == "fifo":
        os.mkfifo(log)
    elif kind == "link":
        (directory / "target").write_text("")
        log.symlink_to(directory / "target")
    elif kind == "full":
        return Path("/dev/full")
    else:
        log = directory / "gone/log"
    return log


@pytest.mark.parametrize("kind", ["directory", "fifo", "link", "full", "missing-directory"])
def test_log_that_cannot_be_written(simulated: Simulated, kind: str) -> None:
    """A log in which nothing can be written, or which is a trap, changes nothing: the message is on standard error."""
    simulated.wrapper.write_file("a.json", HTML)
    log = unwritable_log(simulated.directory, kind)
    assert_refused(simulated.create("--log", str(log)), "a.json")
    if kind == "link":
        assert log.read_text() == ""


@pytest.mark.parametrize("kind", ["closed", "read-only", "full", "pipe-without-reader"])
def test_standard_error_that_cannot_be_written(simulated: Simulated, kind: str) -> None:
    """Standard error that takes nothing changes nothing: status 1, and the message in the log."""
    simulated.wrapper.write_file("a.json", HTML)
    log = simulated.directory / "log"
    script = {
        "closed": 'exec "$@" 2>&-',
        "read-only": 'exec "$@" 2</dev/null',
        "full": 'exec "$@" 2>/dev/full',
        "pipe-without-reader": '{ sleep 0.5; "$@"; echo $? >"$0"; } 2>&1 >/dev/null | :; exit "$(cat "$0")"',
    }[kind]
    status = simulated.directory / "status"
    words = ("--log", str(log), "create", "--bundle", str(simulated.bundle.directory), "c1")
    call = subprocess.run(
        ["/bin/sh", "-c", script, str(status), str(simulated.wrapper.script), *words], check=False, timeout=30
    )
    assert call.returncode == 1
    assert "a.json" in log.read_text()
    assert simulated.fake.calls() == ()


@pytest.mark.parametrize("policy", ["warn", "ignore"])
@pytest.mark.parametrize("case", ["html", "program-missing", "of-somebody-else", "timeout-0"])
@pytest.mark.runtime
def test_tolerated(runtime: PrivateRuntime, wrapper: Wrapper, notes: Notes, policy: str, case: str) -> None:
    """With on-invalid warn or ignore containers start with the other hooks; with warn, the log tells what was wrong."""
    log = runtime.directory / "ocihooks.log"
    wrapper.write_settings(on_invalid=policy, log=str(log))
    wrapper.write_rule("z.json", hook=notes.hook("z"))
    bundle = runtime.make_bundle()
    RULES[case][0](wrapper, bundle)
    call = runtime.run_container(bundle, program=wrapper.script)
    assert (call.status, call.stderr) == (0, ""), call
    assert notes.order() == ["z"]
    assert rules_of(bundle) == ["z.json"]
    (line,) = log.read_text().splitlines()
    warnings = json.loads(line)["warnings"]
    assert all("a.json" in warning for warning in warnings)
    assert bool(warnings) == (policy == "warn")


def test_policy_of_one_rule(simulated: Simulated) -> None:
    """The policy of one rule is for that rule alone: it may be broken, others may not; and the other way round."""
    tolerant = '[ocihooks.rules."a.json"]\non-invalid = "ignore"\n'
    strict = '[ocihooks.rules."b.json"]\non-invalid = "fail"\n'
    simulated.wrapper.write_settings(tolerant)
    simulated.wrapper.write_file("a.json", HTML)
    assert simulated.create().returncode == 0
    assert simulated.call("delete", "--force", "c1").returncode == 0
    simulated.wrapper.write_file("b.json", HTML)
    assert_refused(simulated.create(), "b.json")
    simulated.wrapper.write_settings(tolerant + strict, on_invalid="warn")
    assert_refused(simulated.create(), "b.json")
    simulated.wrapper.write_settings(tolerant, on_invalid="warn")
    assert simulated.create().returncode == 0


def test_program_of_start_container(simulated: Simulated) -> None:
    """A program that runs in the container is not looked for on the host."""
    simulated.wrapper.write_rule("a.json", hook={"path": "/in/the/container"}, stages=["startContainer"])
    assert simulated.create().returncode == 0
    assert rules_of(simulated.bundle, "startContainer") == ["a.json"]


def test_broken_rule_that_does_not_match(simulated: Simulated) -> None:
    """A missing program matters only to containers that the rule matches."""
    simulated.wrapper.write_rule("a.json", hook={"path": "/no/such"}, when={"commands": ["nginx"]})
    assert simulated.create().returncode == 0


def break_everything(wrapper: Wrapper, _: MadeBundle) -> None:
    """All files of ours are garbage."""
    wrapper.settings.write_text(HTML)
    shutil.rmtree(wrapper.hooks_dirs[1])
    wrapper.hooks_dirs[1].write_text(HTML)
    wrapper.write_file("a.json", HTML)
    (wrapper.settings.parent / "disabled").mkdir()
    give_away(wrapper.settings.parent)


def change_paths(wrapper: Wrapper, change: Callable[[list[str]], list[str]]) -> None:
    """Take the images away, and change the paths on which the wrapper looks for its package."""
    for image in wrapper.images:
        image.unlink()
    text = wrapper.python_script.read_text()
    (line,) = [line for line in text.splitlines() if line.startswith("sys.path += ")]
    paths = json.loads(line.removeprefix("sys.path += ").replace("'", '"'))
    wrapper.python_script.write_text(text.replace(line, f"sys.path += {change(paths)}"))


def take_package_away(wrapper: Wrapper, _: MadeBundle) -> None:
    """The wrapper finds no package."""
    change_paths(wrapper, lambda _: ["/nowhere"])


@pytest.mark.runtime
@pytest.mark.parametrize("break_it", [break_everything, take_package_away], ids=["all-files", "package"])
def test_other_operations_go_on(
    runtime: PrivateRuntime, wrapper: Wrapper, notes: Notes, break_it: Callable[[Wrapper, MadeBundle], None]
) -> None:
    """Everything of ours breaks while a container runs: it can be entered, stopped and deleted all the same."""
    wrapper.write_rule("a.json", hook=notes.hook("a"), stages=["createRuntime", "poststop"])
    bundle = runtime.make_bundle(args=["sleep", "100"])
    container_id = runtime.new_id()
    assert runtime.create(bundle, container_id, program=wrapper.script).status == 0
    break_it(wrapper, bundle)
    call = partial(runtime.call, program=wrapper.script)
    assert runtime.start(container_id, program=wrapper.script).status == 0
    for words in (("state",), ("ps",), ("exec", container_id, "true"), ("pause",), ("resume",)):
        made = call(*words) if len(words) > 1 else call(words[0], container_id)
        assert (made.status, made.stderr) == (0, ""), made
    bundle.write_config(HTML.encode())
    assert call("kill", container_id, "9").status == 0
    assert json.loads(call("list", "--format", "json").stdout)[0]["id"] == container_id
    runtime.wait_for_status(container_id, "stopped")
    assert call("delete", container_id).status == 0
    assert call("delete", "--force", container_id).status == 0
    assert runtime.state(container_id) is None
    assert notes.order() == ["a", "a"]


@pytest.mark.parametrize(
    "words",
    [
        ["--log", "LOG", "--log-format", "json"],
        ["--newer-option", "x", "--root", "create", "--log", "LOG", "--log-format=json"],
    ],
    ids=["usual", "with-an-option-of-a-newer-runtime"],
)
def test_package_gone(simulated: Simulated, words: list[str]) -> None:
    """Without the package nothing can be decided, so no container is created, and the user is told why."""
    take_package_away(simulated.wrapper, simulated.bundle)
    before = content_of(simulated.bundle)
    log = simulated.directory / "log.json"
    call = simulated.create(*(str(log) if word == "LOG" else word for word in words))
    assert call.returncode == 1
    assert "the package ocihooks can't be imported" in call.stderr
    assert "hint: " in call.stderr
    assert "Traceback" not in call.stderr
    assert json.loads(log.read_text())["msg"] == call.stderr.splitlines()[0]
    assert content_of(simulated.bundle) == before
    assert simulated.fake.calls() == ()


def test_package_gone_and_the_log_too(simulated: Simulated) -> None:
    """A log that can't be opened does not keep that message from standard error."""
    take_package_away(simulated.wrapper, simulated.bundle)
    call = simulated.create("--log", str(simulated.directory / "gone/log"))
    assert (call.returncode, "can't be imported" in call.stderr) == (1, True)


def test_library_gone(simulated: Simulated) -> None:
    """Without the regular expressions' library no container is created, with a message that says what is missing."""
    change_paths(simulated.wrapper, lambda paths: [path for path in paths if (Path(path) / "ocihooks").is_dir()])
    simulated.wrapper.write_rule("a.json", hook=TRUE, when={"commands": ["a|b(?i)c"]})
    call = simulated.create()
    if call.returncode == 0:
        pytest.skip("the regular expressions' library lies beside the package here")
    assert_refused(call, "can't import re2", "install ocihooks")


def test_interrupt(simulated: Simulated) -> None:
    """Ctrl-C while a filter runs ends the wrapper without a word, as it would end the runtime, and the filter, too."""
    pid_file = simulated.directory / "pid"
    script = f"echo $$ > {pid_file}.new; mv {pid_file}.new {pid_file}; exec sleep 60"
    simulated.wrapper.write_rule("a.json", hook={"path": "/bin/sh", "args": ["sh", "-c", script]}, stages=["precreate"])
    before = content_of(simulated.bundle)
    words = ["create", "--bundle", str(simulated.bundle.directory), "c1"]
    with subprocess.Popen([simulated.wrapper.script, *words], stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while not pid_file.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        filter_pid = int(pid_file.read_text())
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=20)
    assert (process.returncode, stderr) == (-signal.SIGINT, "")
    deadline = time.monotonic() + 30
    while lives_on(filter_pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not lives_on(filter_pid)
    assert content_of(simulated.bundle) == before
    assert simulated.fake.calls() == ()


def test_many_problems(simulated: Simulated) -> None:
    """A hundred broken rules give one message of a length that every engine shows."""
    for number in range(100):
        simulated.wrapper.write_file(f"{number:03}.json", HTML)
    call = simulated.create()
    assert_refused(call, "000.json")
    assert "more problems" in call.stderr


def in_private_mounts(script: str, simulated: Simulated, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a shell *script* in mounts of its own; $1 is the bundle, $2 a directory, and "$@" behind them a create."""
    if os.geteuid() != 0:
        pytest.skip("needs root to mount")
    bundle, directory = str(simulated.bundle.directory), simulated.directory / "mounted"
    directory.mkdir()
    script = f'B=$1 D=$2; shift 2; {script}; exec "$@"'
    create = [str(simulated.wrapper.script), *words, "create", "--bundle", bundle, "c1"]
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-ec", script, "sh", bundle, str(directory)]
    return subprocess.run([*command, *create], capture_output=True, text=True, check=False, timeout=60)


READ_ONLY = {
    "bind-mounted": ('mount --bind "$B/config.json" "$B/config.json"', "something is mounted on the file"),
    "bind-mounted-read-only": (
        'mount --bind "$B/config.json" "$B/config.json"; mount -o remount,bind,ro "$B/config.json"',
        "something is mounted on the file",
    ),
    "on-a-read-only-file-system": (
        'mount --bind "$B" "$B"; mount -o remount,bind,ro "$B"',
        "mount the file system for writing",
    ),
}


@pytest.mark.parametrize("name", READ_ONLY)
def test_configuration_that_can_not_be_replaced(simulated: Simulated, name: str) -> None:
    """A config.json that can't be replaced: a message with the remedy for who matches, and not a word for others."""
    script, remedy = READ_ONLY[name]
    rule = simulated.wrapper.write_rule("a.json", hook=TRUE)
    before = content_of(simulated.bundle)
    call = in_private_mounts(script, simulated)
    assert_refused(call, str(simulated.bundle.config_path), "can't be replaced", f"hint: {remedy}")
    assert (content_of(simulated.bundle), litter(simulated.bundle)) == (before, [])
    assert simulated.fake.calls() == ()
    rule.unlink()
    (simulated.directory / "mounted").rmdir()
    call = in_private_mounts(script, simulated)
    assert (call.returncode, call.stderr) == (0, ""), call
    assert len(simulated.fake.calls()) == 1


def test_read_only_file(simulated: Simulated) -> None:
    """A config.json without any write permission is replaced all the same, and keeps its mode."""
    simulated.wrapper.write_rule("a.json", hook=TRUE)
    simulated.bundle.config_path.chmod(0o400)
    assert simulated.create().returncode == 0
    assert rules_of(simulated.bundle) == ["a.json"]
    assert simulated.bundle.config_path.stat().st_mode & 0o7777 == 0o400


FULL = 'mount -t tmpfs -o size=64k,mode=700 none "$D"; : > "$D/log"; cat /dev/zero > "$D/fill" 2>/dev/null || :'


def test_logs_on_a_full_disk(simulated: Simulated) -> None:
    """The disk of the wrapper's log and the engine's is full: containers start, or standard error says why not."""
    log = simulated.directory / "mounted/log"
    simulated.wrapper.write_settings(log=str(log))
    rule = simulated.wrapper.write_rule("a.json", hook=TRUE)
    call = in_private_mounts(FULL, simulated, "--log", str(log))
    assert (call.returncode, call.stderr) == (0, ""), call
    assert rules_of(simulated.bundle) == ["a.json"]
    rule.write_text("{")
    log.parent.rmdir()
    assert_refused(in_private_mounts(FULL, simulated, "--log", str(log)), "a.json")
