"""Rules for each stage on real runtimes: their hooks run when and where the runtime-spec says, with our environment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.integration.wrappers import FIXED_PATH, Notes, Simulated, Wrapper, entries_of, litter, live, timeout_of

from ocihooks.spec.stage import STAGES
from ocihooks.testing.runtimes import PrivateRuntime

PRELOAD = "LD_PRELOAD=/nowhere/evil.so"


def write_stage_rules(wrapper: Wrapper, notes: Notes, **members: object) -> None:
    """One rule for each stage, named after it; hooks with *members*."""
    for stage in STAGES:
        hook = notes.hook(stage, in_container=stage == "startContainer", **members)
        wrapper.write_rule(f"{stage}.json", hook=hook, stages=[stage])


@pytest.mark.runtime
def test_all_stages_run(runtime: PrivateRuntime, wrapper: Wrapper, notes: Notes) -> None:
    """One rule for each of the six stages: each hook runs once and reads the container's state."""
    write_stage_rules(wrapper, notes)
    bundle = runtime.make_bundle(annotations={"org.example": "yes"}, mounts=[notes.mount])
    _, pid = live(runtime, bundle, wrapper.script)
    ran = notes.order()
    states = {stage: notes.read(stage).state for stage in STAGES}
    assert sorted(ran) == sorted(STAGES)
    assert [stage for stage in ran if stage in ("prestart", "createRuntime")] == ["createRuntime", "prestart"]
    assert ran.index("createContainer") > ran.index("prestart")
    assert ran[-1] == "poststop"
    assert len({state["id"] for state in states.values()}) == 1
    assert all(state["annotations"] == {"org.example": "yes"} for state in states.values())
    assert {states[stage]["pid"] for stage in ("createRuntime", "prestart", "poststart")} == {pid}
    assert states["poststop"]["status"] == "stopped"


@pytest.mark.runtime
def test_environment_of_rules_without_env(runtime: PrivateRuntime, wrapper: Wrapper, notes: Notes) -> None:
    """A rule without env: its hook sees the fixed PATH and our two marks and nothing else, in all stages."""
    write_stage_rules(wrapper, notes)
    bundle = runtime.make_bundle(mounts=[notes.mount], env=["PATH=/bin", PRELOAD, "SECRET=of the container"])
    live(runtime, bundle, wrapper.script)
    for stage in STAGES:
        environment = dict(notes.read(stage).environment)
        target = "createRuntime" if stage == "prestart" else stage
        assert environment == {
            "PATH": FIXED_PATH.removeprefix("PATH="),
            "OCIHOOKS_RULE": str(wrapper.hooks_dirs[0] / f"{stage}.json"),
            "OCIHOOKS_STAGE": target,
        }


@pytest.mark.runtime
def test_environment_of_rules_with_env(runtime: PrivateRuntime, wrapper: Wrapper, notes: Notes) -> None:
    """A rule with env: its hook sees exactly that and our two marks, in all stages."""
    write_stage_rules(wrapper, notes, env=["PATH=/usr/bin:/bin", "A=1", "EMPTY=", "TEXT=a=b c\tä"])
    bundle = runtime.make_bundle(mounts=[notes.mount], env=["PATH=/bin", PRELOAD])
    live(runtime, bundle, wrapper.script)
    for stage in STAGES:
        environment = dict(notes.read(stage).environment)
        assert environment.pop("OCIHOOKS_RULE") == str(wrapper.hooks_dirs[0] / f"{stage}.json")
        assert environment.pop("OCIHOOKS_STAGE") in STAGES
        assert environment == {"PATH": "/usr/bin:/bin", "A": "1", "EMPTY": "", "TEXT": "a=b c\tä"}


@pytest.mark.runtime
def test_control_of_the_environment(runtime: PrivateRuntime, notes: Notes) -> None:
    """Why our env matters: a createContainer hook without one runs with the container's LD_PRELOAD on runc 1.1."""
    if runtime.name == "runc" and not runtime.version.startswith("1.1."):
        pytest.skip(f"recorded for runc 1.1 and crun, this is runc {runtime.version}")
    bundle = runtime.make_bundle(hooks={"createContainer": [notes.hook("naked")]}, env=["PATH=/usr/bin:/bin", PRELOAD])
    live(runtime, bundle)
    assert ("LD_PRELOAD" in notes.read("naked").environment) == (runtime.name == "runc")


@pytest.mark.runtime
def test_what_is_written(runtime: PrivateRuntime, wrapper: Wrapper, notes: Notes) -> None:
    """A rule's hook stands in config.json with all of its members, args filled in, and nothing else has changed."""
    plain = wrapper.write_rule("10-plain.json", hook={"path": "/bin/cat"})
    hook: dict[str, Any] = {"path": "/bin/sh", "args": ["x", "-c", "cat"], "env": ["A=1", "PATH=/bin"]}
    hook |= timeout_of(runtime, 7)
    full = wrapper.write_rule("20-full.json", hook=hook)
    bundle = runtime.make_bundle()
    before = bundle.config()
    assert runtime.run_container(bundle, program=wrapper.script).status == 0
    assert entries_of(bundle, "createRuntime") == [
        {
            "path": "/bin/cat",
            "args": ["/bin/cat"],
            "env": [FIXED_PATH, f"OCIHOOKS_RULE={plain}", "OCIHOOKS_STAGE=createRuntime"],
        },
        hook | {"env": [*hook["env"], f"OCIHOOKS_RULE={full}", "OCIHOOKS_STAGE=createRuntime"]},
    ]
    after = bundle.config()
    assert list(after.pop("hooks")) == ["createRuntime"]
    assert after == before
    assert litter(bundle) == []


@pytest.mark.runtime
def test_other_bytes_stay(runtime: PrivateRuntime, wrapper: Wrapper) -> None:
    """Only the bytes of hooks change: spaces, unknown members, escapes, numbers and the file's mode stay."""
    wrapper.write_rule("a.json", hook={"path": "/bin/cat"})
    bundle = runtime.make_bundle()
    text = json.dumps(bundle.config(), indent=3).replace(
        '"ociVersion"', '"x-unknown": [1e400, 0.10, "\\u00e4\\/"],\n"ociVersion"'
    )
    bundle.write_config(text.encode())
    bundle.config_path.chmod(0o640)
    assert runtime.run_container(bundle, program=wrapper.script).status == 0
    after = bundle.config_path.read_text()
    start = after.index(',"hooks":')
    assert after[:start] == text[:start]
    assert text[start:] == "\n}"
    assert after.endswith("]}\n}")
    assert bundle.config_path.stat().st_mode & 0o7777 == 0o640


@pytest.mark.runtime
def test_several_stages_of_one_rule(runtime: PrivateRuntime, wrapper: Wrapper, notes: Notes) -> None:
    """A rule that names several stages runs in each of them, and is told which one it is."""
    wrapper.write_rule("a.json", hook=notes.hook("a"), stages=["createRuntime", "createContainer", "poststop"])
    bundle = runtime.make_bundle()
    live(runtime, bundle, wrapper.script)
    assert notes.order() == ["a", "a", "a"]
    assert notes.read("a").environment["OCIHOOKS_STAGE"] == "poststop"


@pytest.mark.runtime
def test_working_directory(runtime: PrivateRuntime, wrapper: Wrapper, notes: Notes) -> None:
    """Hooks run in the directory that the runtime chooses: the wrapper changes nothing about it."""
    wrapper.write_rule("a.json", hook=notes.hook("ours"))
    bundle = runtime.make_bundle(hooks={"createRuntime": [notes.hook("theirs", env=["PATH=/usr/bin:/bin"])]})
    live(runtime, bundle, wrapper.script)
    assert notes.read("ours").cwd == notes.read("theirs").cwd == str(bundle.directory)


@pytest.mark.runtime
def test_timeout_is_kept_by_the_runtime(runtime: PrivateRuntime, wrapper: Wrapper) -> None:
    """A rule's timeout reaches the runtime, which ends the hook."""
    wrapper.write_rule("a.json", hook={"path": "/bin/sleep", "args": ["sleep", "20"], "timeout": 1})
    bundle = runtime.make_bundle()
    call = runtime.run_container(bundle, program=wrapper.script, timeout_s=15)
    assert call.status != 0
    assert entries_of(bundle, "createRuntime")[0]["timeout"] == 1


def test_default_timeout(simulated: Simulated) -> None:
    """The default timeout of the settings goes to hooks whose rule sets none, and to no others."""
    simulated.wrapper.write_settings(default_timeout=77)
    simulated.wrapper.write_rule("a.json", hook={"path": "/bin/cat"})
    simulated.wrapper.write_rule("b.json", hook={"path": "/bin/cat", "timeout": 5})
    simulated.bundle.write_config(simulated.bundle.config() | {"hooks": {"createRuntime": [{"path": "/bin/cat"}]}})
    assert simulated.create().returncode == 0
    assert [entry.get("timeout") for entry in entries_of(simulated.bundle, "createRuntime")] == [None, 77, 5]


@pytest.mark.runtime
def test_failing_hook(runtime: PrivateRuntime, wrapper: Wrapper, notes: Notes) -> None:
    """A hook that fails: the caller gets the runtime's own words and status, as without the wrapper."""
    hook = {"path": "/bin/sh", "args": ["sh", "-c", "cat >/dev/null; echo refused >&2; exit 7"]}
    wrapper.write_rule("a.json", hook=hook)
    bundle = runtime.make_bundle()
    log = runtime.directory / "log.json"
    container_id = runtime.new_id()
    wrapped = runtime.call(
        *("--log", str(log), "--log-format", "json", "create", "--bundle", str(bundle.directory), container_id),
        program=wrapper.script,
    )
    direct_log = runtime.directory / "direct.json"
    direct = runtime.call(
        *("--log", str(direct_log), "--log-format", "json", "create", "--bundle", str(bundle.directory), container_id)
    )
    assert wrapped.status == direct.status != 0
    assert without_times(wrapped.stderr) == without_times(direct.stderr)
    assert "ocihooks" not in wrapped.stderr.replace(str(runtime.directory), "").replace(container_id, "")
    assert [entry["msg"] for entry in read_log(log)] == [entry["msg"] for entry in read_log(direct_log)]
    assert runtime.state(container_id) is None


def without_times(text: str) -> list[str]:
    """The lines of *text* without the times that runtimes put in front, and without process ids."""
    return [line.partition("level=")[2] or line.partition("Z: ")[2] or line for line in text.splitlines()]


def read_log(file: Path) -> list[dict[str, str]]:
    """The entries of a log in JSON."""
    return [json.loads(line) for line in file.read_text().splitlines()]
