"""Which containers get which hooks, on real runtimes: conditions, override directories, order, static hook files."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from tests.integration.wrappers import ALWAYS, Notes, Wrapper, assert_refused, entries_of, rules_of

from ocihooks.testing.bundles import MadeBundle, make_rootfs
from ocihooks.testing.configs import bind_mount
from ocihooks.testing.runtimes import PrivateRuntime

pytestmark = pytest.mark.runtime

PLAIN_ENV = ["PATH=/usr/bin:/bin"]


def write_conditions(wrapper: Wrapper, notes: Notes, conditions: dict[str, dict[str, Any]]) -> None:
    """For each word a rule with its conditions; its hook notes the word."""
    for word, when in conditions.items():
        wrapper.write_rule(f"{word}.json", hook=notes.hook(word), when=when)


def run(runtime: PrivateRuntime, wrapper: Wrapper, **bundle: Any) -> MadeBundle:
    """Run a container through the wrapper."""
    made = runtime.make_bundle(**bundle)
    call = runtime.run_container(made, program=wrapper.script)
    assert call.status == 0, call
    return made


def test_annotations(runtime: PrivateRuntime, wrapper: Wrapper, notes: Notes) -> None:
    """Rules run where a pattern is found in a key and one in its value, for each pair that they name."""
    matching: dict[str, dict[str, str]] = {
        "a-both": {"^org\\.example$": "^yes$"},
        "a-found-inside": {"example": "e"},
        "a-any-value": {"^org\\.example$": ""},
        "a-two": {"^org\\.example$": "^yes$", "^second$": "2"},
        "a-one-meets-two": {"example": "y", "org": "s"},
        "a-case": {"ORG": "YES"},
        "a-re2": {"^[[:alpha:].]+$": "\\Ayes\\z"},
    }
    matching["a-case"] = {"(?i)ORG": "(?i)YES"}
    others = {
        "n-key": {"^example": "yes"},
        "n-value": {"example": "^no$"},
        "n-one-of-two": {"example": "yes", "third": ""},
        "n-key-of-one-value-of-other": {"^second$": "yes"},
        "n-case": {"ORG": "YES"},
        "n-final-newline": {"^lines$": "a$"},
    }
    write_conditions(wrapper, notes, {word: {"annotations": pairs} for word, pairs in (matching | others).items()})
    run(runtime, wrapper, annotations={"org.example": "yes", "second": "22", "lines": "a\n"})
    assert notes.order() == sorted(matching)


def test_commands(runtime: PrivateRuntime, wrapper: Wrapper, notes: Notes) -> None:
    """Rules run where one of their patterns is found in the first word of the command, as it is given."""
    conditions = {
        "a-exact": ["^/bin/sh$"],
        "a-second-pattern": ["^nothing$", "sh"],
        "a-unanchored": ["bin"],
        "n-path": ["^sh$"],
        "n-target": ["busybox"],
        "n-second-word": ["-c"],
        "n-third-word": ["exit"],
    }
    write_conditions(wrapper, notes, {word: {"commands": patterns} for word, patterns in conditions.items()})
    run(runtime, wrapper, args=["/bin/sh", "-c", "exit 0"])
    assert notes.order() == ["a-exact", "a-second-pattern", "a-unanchored"]


def test_several_conditions(runtime: PrivateRuntime, wrapper: Wrapper, notes: Notes) -> None:
    """All conditions of a rule have to hold; always false wins, and no condition never matches."""
    annotations, commands = {"org.example": "yes"}, ["true"]
    conditions: dict[str, dict[str, Any]] = {
        "a-all": {"always": True, "annotations": annotations, "commands": commands},
        "a-always": {"always": True},
        "n-annotation": {"always": True, "annotations": {"org.example": "no"}},
        "n-command": {"annotations": annotations, "commands": ["false"]},
        "n-mounts": {"annotations": annotations, "hasBindMounts": True},
        "n-never": {"always": False, "annotations": annotations},
        "n-nothing": {},
    }
    write_conditions(wrapper, notes, conditions)
    run(runtime, wrapper, args=["true"], annotations=annotations)
    assert notes.order() == ["a-all", "a-always"]


def test_no_match(runtime: PrivateRuntime, wrapper: Wrapper, notes: Notes) -> None:
    """A container that no rule matches: nothing runs, and config.json is not touched at all."""
    write_conditions(wrapper, notes, {"a": {"annotations": {"org.example": "yes"}}, "b": {"commands": ["nginx"]}})
    bundle = runtime.make_bundle(hooks={"createRuntime": [{"path": "/bin/cat"}]})
    before = bundle.config_path.stat()
    content = bundle.config_path.read_bytes()
    assert runtime.run_container(bundle, program=wrapper.script).status == 0
    after = bundle.config_path.stat()
    assert (after.st_ino, after.st_mtime_ns, after.st_ctime_ns) == (
        before.st_ino,
        before.st_mtime_ns,
        before.st_ctime_ns,
    )
    assert bundle.config_path.read_bytes() == content
    assert notes.order() == []


def engine_mounts(directory: Path) -> list[dict[str, Any]]:
    """What Docker, Podman and a kubelet mount on their own, from files that are really there."""
    container = "0123456789abcdef" * 4
    docker = directory / "docker/containers" / container
    podman = directory / "overlay-containers" / container / "userdata"
    pod = directory / "pods/b7e6/etc-hosts"
    secrets = (docker / "mounts/secrets/one", podman / "secrets/two")
    for file in (docker / "hosts", docker / "resolv.conf", podman / "hostname", pod, *secrets):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("")
    (docker / "mounts/shm").mkdir(parents=True)
    return [
        bind_mount(str(docker / "hosts"), "/etc/hosts"),
        bind_mount(str(docker / "resolv.conf"), "/etc/resolv.conf"),
        bind_mount(str(podman / "hostname"), "/etc/hostname"),
        bind_mount(str(docker / "mounts/shm"), "/dev/shm"),
        bind_mount(str(pod), "/etc/hosts"),
        bind_mount(str(secrets[0]), "/run/secrets/one"),
        bind_mount(str(secrets[1]), "/run/where-the-user-wants-it"),
    ]


@pytest.mark.parametrize("users", [False, True], ids=["engines-mounts-only", "and-one-of-the-user"])
def test_has_bind_mounts(runtime: PrivateRuntime, wrapper: Wrapper, notes: Notes, users: bool) -> None:
    """hasBindMounts asks for the bind mounts of users: those that engines make on their own don't count."""
    write_conditions(wrapper, notes, {"mounts": {"hasBindMounts": True}, "none": {"hasBindMounts": False}})
    mounts = engine_mounts(runtime.directory)
    if users:
        mounts.append(bind_mount(str(runtime.directory), "/mnt", readonly=True))
    run(runtime, wrapper, mounts=mounts, rootfs=make_rootfs(runtime.directory / "rootfs"))
    assert notes.order() == (["mounts"] if users else [])


def test_file_of_a_user_on_an_engines_place(runtime: PrivateRuntime, wrapper: Wrapper, notes: Notes) -> None:
    """A user's own file on /etc/hosts is a user's bind mount."""
    write_conditions(wrapper, notes, {"mounts": {"hasBindMounts": True}})
    hosts = runtime.directory / "hosts"
    hosts.write_text("")
    mounts = [bind_mount(str(hosts), "/etc/hosts")]
    run(runtime, wrapper, mounts=mounts, rootfs=make_rootfs(runtime.directory / "rootfs"))
    assert notes.order() == ["mounts"]


def test_override_directory(runtime: PrivateRuntime, wrapper: Wrapper, notes: Notes) -> None:
    """A file in the second directory overrides the one of the same name, whatever it says; others stay."""
    for name in ("a", "b", "c", "d"):
        wrapper.write_rule(f"{name}.json", hook=notes.hook(f"{name}-first"))
    wrapper.write_rule("a.json", hook=notes.hook("a-second"), directory=1)
    wrapper.write_rule("b.json", hook=notes.hook("b-second"), when={"commands": ["nginx"]}, directory=1)
    wrapper.write_rule("c.json", hook=notes.hook("c-second"), stages=[], directory=1)
    wrapper.write_rule("C.json", hook=notes.hook("other-case"), directory=1)
    bundle = run(runtime, wrapper)
    assert notes.order() == ["other-case", "a-second", "d-first"] or notes.order() == [
        "a-second",
        "other-case",
        "d-first",
    ]
    assert rules_of(bundle) == ["a.json", "C.json", "d.json"]


def test_masks(runtime: PrivateRuntime, wrapper: Wrapper, notes: Notes) -> None:
    """An empty file, or a link to /dev/null, in a later directory switches a rule off."""
    for name in ("a", "b", "c"):
        wrapper.write_rule(f"{name}.json", hook=notes.hook(name))
    wrapper.write_file("a.json", "", directory=1)
    (wrapper.hooks_dirs[1] / "b.json").symlink_to("/dev/null")
    run(runtime, wrapper)
    assert notes.order() == ["c"]


def test_broken_file_that_is_overridden(runtime: PrivateRuntime, wrapper: Wrapper, notes: Notes) -> None:
    """Only the file that counts is read: a broken one below an override, or below a mask, does no harm."""
    wrapper.write_file("a.json", "{not json")
    wrapper.write_rule("a.json", hook=notes.hook("a"), directory=1)
    wrapper.write_file("b.json", "{not json")
    wrapper.write_file("b.json", "", directory=1)
    run(runtime, wrapper)
    assert notes.order() == ["a"]


def test_order(runtime: PrivateRuntime, wrapper: Wrapper, notes: Notes) -> None:
    """Hooks run by file name, letters lower-cased, whatever their directory; prestart counts as createRuntime."""
    names = {"10-b": 1, "9-a": 0, "B": 1, "a": 0, "_": 1, "c": 0}
    for name, directory in names.items():
        stage = "prestart" if name in ("B", "9-a") else "createRuntime"
        wrapper.write_rule(f"{name}.json", hook=notes.hook(name), stages=[stage], directory=directory)
    wrapper.write_file("ignored.JSON", "{")
    wrapper.write_file("ignored.json.bak", "{")
    run(runtime, wrapper)
    assert notes.order() == ["10-b", "9-a", "_", "a", "B", "c"]


def test_old_schema(runtime: PrivateRuntime, wrapper: Wrapper, notes: Notes) -> None:
    """Files of schema 0.1.0, with and without a version: any condition is enough, and the command is their own."""
    hook = notes.hook("x")
    for name, conditions in {
        "a-command": {"cmds": ["true"], "annotations": ["nothing"]},
        "b-annotation": {"cmd": ["nothing"], "annotation": ["^yes$"]},
        "n-neither": {"cmds": ["nginx"], "annotations": ["nothing"]},
        "n-none": {},
    }.items():
        arguments = ["-c", hook["args"][2], name, str(notes.directory)]
        rule = {"hook": "/bin/sh", "arguments": arguments, "stages": ["prestart"], **conditions}
        if name.startswith("a"):
            rule["version"] = "0.1.0"
        wrapper.write_file(f"{name}.json", json.dumps(rule))
    bundle = run(runtime, wrapper, args=["true"], annotations={"org.example": "yes"})
    assert notes.order() == ["a-command", "b-annotation"]
    assert notes.read("b-annotation").environment["OCIHOOKS_STAGE"] == "createRuntime"
    assert entries_of(bundle, "createRuntime")[0]["args"][:2] == ["/bin/sh", "-c"]


def static(notes: Notes, word: str, stage: str = "createRuntime") -> dict[str, Any]:
    """A hooks object with one hook."""
    return {stage: [notes.hook(word, env=PLAIN_ENV)]}


@pytest.mark.parametrize("position", ["append", "prepend"])
def test_static_hooks(runtime: PrivateRuntime, wrapper: Wrapper, notes: Notes, position: str) -> None:
    """Static hooks, bare or under a hooks member, go into every container, behind or before its own, before rules."""
    bare, under = wrapper.settings.parent / "bare.json", wrapper.settings.parent / "under.json"
    bare.write_text(json.dumps(static(notes, "bare")))
    under.write_text(json.dumps({"ociVersion": "1.0.2", "hooks": static(notes, "under")}))
    wrapper.write_settings(static_hooks=[str(under), str(bare)], position=position)
    wrapper.write_rule("a.json", hook=notes.hook("rule"))
    own = [notes.hook(f"own-{number}", env=PLAIN_ENV) for number in (1, 2)]
    bundle = run(runtime, wrapper, hooks={"createRuntime": own, "poststop": own[:1]})
    added, present = ["under", "bare", "rule"], ["own-1", "own-2"]
    expected = present + added if position == "append" else added + present
    assert notes.order() == [*expected, "own-1"]
    entries = entries_of(bundle, "createRuntime")
    assert [entry for entry in entries if entry in own] == own
    assert notes.hook("bare", env=PLAIN_ENV) in entries
    assert entries_of(bundle, "poststop") == own[:1]


def test_static_hooks_are_copied_as_they_stand(runtime: PrivateRuntime, wrapper: Wrapper, notes: Notes) -> None:
    """Members that the runtime-spec doesn't know, and the absence of others, are copied with a static hook."""
    hook = {"path": "/bin/cat", "x-comment": {"a": [1.50, None]}}
    file = wrapper.settings.parent / "static.json"
    file.write_text(json.dumps({"createRuntime": [hook], "prestart": [hook]}))
    wrapper.write_settings(static_hooks=[str(file)])
    bundle = run(runtime, wrapper)
    assert entries_of(bundle, "createRuntime") == entries_of(bundle, "prestart") == [hook]
    assert '"a":[1.5,null]' in bundle.config_path.read_text().replace(" ", "")


def test_hook_that_an_engine_put_there(runtime: PrivateRuntime, wrapper: Wrapper, notes: Notes) -> None:
    """A rule's hook that stands in config.json already, as Podman writes it, is not added once more."""
    hook = notes.hook("a", env=PLAIN_ENV)
    wrapper.write_rule("a.json", hook=hook)
    wrapper.write_rule("b.json", hook=notes.hook("b", env=PLAIN_ENV))
    bundle = run(runtime, wrapper, hooks={"createRuntime": [hook]})
    assert notes.order() == ["a", "b"]
    assert rules_of(bundle) == [None, "b.json"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("io.kubernetes.cri.container-type", "sandbox"),
        ("io.kubernetes.cri-o.ContainerType", "sandbox"),
    ],
    ids=["containerd", "cri-o"],
)
@pytest.mark.parametrize("wanted", [False, True], ids=["by-default", "asked-for"])
def test_sandboxes(runtime: PrivateRuntime, wrapper: Wrapper, notes: Notes, key: str, value: str, wanted: bool) -> None:
    """Pause containers of pods get no rule's hooks unless the settings say so; static hooks they get."""
    file = wrapper.settings.parent / "static.json"
    file.write_text(json.dumps(static(notes, "static")))
    wrapper.write_settings(static_hooks=[str(file)], sandbox=wanted)
    wrapper.write_rule("a.json", hook=notes.hook("rule"))
    run(runtime, wrapper, annotations={key: value})
    assert notes.order() == (["static", "rule"] if wanted else ["static"])


def test_other_containers_of_pods(runtime: PrivateRuntime, wrapper: Wrapper, notes: Notes) -> None:
    """The other containers of a pod are containers like any other."""
    wrapper.write_rule("a.json", hook=notes.hook("rule"))
    run(runtime, wrapper, annotations={"io.kubernetes.cri.container-type": "container"})
    assert notes.order() == ["rule"]


def test_kill_switch(runtime: PrivateRuntime, wrapper: Wrapper, notes: Notes) -> None:
    """While the kill switch is on, containers start without our hooks, even if everything is broken."""
    wrapper.write_rule("a.json", hook=notes.hook("a"))
    wrapper.settings.write_text("broken [")
    wrapper.write_file("b.json", "broken {")
    switch = wrapper.settings.parent / "disabled"
    switch.write_text("")
    bundle = run(runtime, wrapper)
    assert notes.order() == []
    assert "hooks" not in bundle.config()
    switch.unlink()
    assert_refused(runtime.run_container(bundle, program=wrapper.script), str(wrapper.settings))
    wrapper.write_settings()
    (wrapper.hooks_dirs[0] / "b.json").unlink()
    run(runtime, wrapper)
    assert notes.order() == ["a"]


def test_switch_of_somebody_else(runtime: PrivateRuntime, wrapper: Wrapper, notes: Notes) -> None:
    """Only root can switch the hooks off: a switch that somebody else owns stops containers."""
    wrapper.write_rule("a.json", hook=notes.hook("a"))
    switch = wrapper.settings.parent / "disabled"
    switch.write_text("")
    os.chown(switch, 1, 1)
    bundle = runtime.make_bundle()
    before = bundle.config_path.read_bytes()
    assert_refused(runtime.run_container(bundle, program=wrapper.script), str(switch), "belongs to user 1")
    assert bundle.config_path.read_bytes() == before


def test_directories_of_the_settings(runtime: PrivateRuntime, wrapper: Wrapper, notes: Notes) -> None:
    """The directories named at installation replace those of the settings."""
    elsewhere = runtime.directory / "elsewhere"
    elsewhere.mkdir()
    rule = {"version": "1.0.0", "hook": notes.hook("elsewhere"), "when": ALWAYS, "stages": ["createRuntime"]}
    (elsewhere / "a.json").write_text(json.dumps(rule))
    wrapper.write_settings(hooks_dirs=[str(elsewhere)])
    wrapper.write_rule("b.json", hook=notes.hook("here"))
    run(runtime, wrapper)
    assert notes.order() == ["here"]
