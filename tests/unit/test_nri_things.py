"""What injector files give through NRI: devices, mounts and variables, as the wrapper would, or a reason why not."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from tests.unit.nri_place import Rules

from ocihooks.injector.before import SHOWN_OPTIONS
from ocihooks.testing.nri.engine import CallError, EngineLink
from ocihooks.testing.nri.objects import Device, Given, GivenHook, Mount, PodContainer

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="makes device nodes")

NOTHING = Given(hooks={}, mounts=[], devices=[], env=[])
ASKS = ("PATH=/bin", "GPU=all")


@pytest.fixture
def rules(private_directory: Path) -> Rules:
    """Settings with a directory of injector files, and a host with a tool and a device."""
    made = Rules(private_directory)
    (private_directory / "injector").mkdir()
    (private_directory / "tool").write_text("tool")
    os.mknod(private_directory / "card0", 0o020000, os.makedev(226, 0))
    os.chmod(private_directory / "card0", 0o660)
    os.chown(private_directory / "card0", 0, 44)
    made.configure(f'injector-dir = "{private_directory}/injector"')
    return made


def injector(rules: Rules, name: str = "gpu.json", **members: Any) -> None:
    """Write an injector file for containers with the variable GPU."""
    (rules.root / "injector" / name).write_text(json.dumps({"activation_flag": "GPU", **members}))


def card(**members: Any) -> Device:
    """The device of the host, as a container has it."""
    return Device(path="/dev/card0", kind="c", major=226, minor=0, **members)


def test_given(rules: Rules) -> None:
    """A container that asks is given devices, mounts and variables besides its hooks; others are given nothing."""
    injector(
        rules,
        devices=[f"{rules.root}/card0:/dev/card0"],
        miscellaneous=[f"{rules.root}/tool:/opt/tool"],
        env=["TOOL=/opt/tool", "PATH=/bin:/opt"],
    )
    rules.rule("10.json", {"always": True})
    with rules.asked() as engine:
        given = engine.adjust(PodContainer(env=ASKS))
        assert engine.adjust(PodContainer(env=("PATH=/bin", "NOGPU=1"))).mounts == []
    assert given.devices == [card(mode=0o660, uid=0, gid=44)]
    assert given.mounts == [Mount(destination="/opt/tool", source=f"{rules.root}/tool", options=SHOWN_OPTIONS)]
    assert given.env == ["PATH=/bin:/opt", "TOOL=/opt/tool"]
    assert [hook.path for hook in given.hooks["createRuntime"]] == ["/bin/true"]


def test_nothing_else(rules: Rules) -> None:
    """Containers that do not ask are given nothing, and requests without the flag stay unread."""
    injector(rules, devices=[f"{rules.root}/card0:/dev/card0"])
    with rules.live() as live:
        assert live.state.possible is not None
    with rules.asked() as engine:
        assert engine.adjust(PodContainer()) == NOTHING
        assert engine.adjust(PodContainer(env=ASKS)).devices == [card(mode=0o660, uid=0, gid=44)]


def test_present(rules: Rules) -> None:
    """What the container has already is not given again."""
    injector(
        rules,
        devices=[f"{rules.root}/card0:/dev/card0"],
        miscellaneous=[f"{rules.root}/tool:/opt/tool"],
        env=["PATH=/bin"],
    )
    mount = Mount(destination="/opt/tool", source=f"{rules.root}/tool")
    with rules.asked() as engine:
        there = PodContainer(env=ASKS, mounts=(mount,), devices=(card(),), allowed=(card(),))
        assert engine.adjust(there) == NOTHING


def test_device_without_leave(rules: Rules) -> None:
    """A device that the container has but may not use can't be allowed by a plugin, so the container is refused."""
    injector(rules, devices=[f"{rules.root}/card0:/dev/card0"])
    message = "the container has device c 226:0 without leave to use it, which a plugin can't give"
    with rules.asked() as engine, pytest.raises(CallError, match=message):
        engine.adjust(PodContainer(env=ASKS, devices=(card(),)))


def test_user_namespace(rules: Rules) -> None:
    """In a user namespace, where no nodes can be made, a device is mounted, and its use can't be allowed."""
    injector(rules, devices=[f"{rules.root}/card0:/dev/card0"])
    with rules.asked() as engine:
        container = PodContainer(env=ASKS, namespaces=("mount", "user"), allowed=(card(),))
        given = engine.adjust(container)
        assert [(mount.destination, given.devices) for mount in given.mounts] == [("/dev/card0", [])]


@pytest.mark.parametrize(
    ("members", "message"),
    [
        pytest.param({"devices": ["/dev/no-such-device"]}, "gpu.json: /devices/0: .*no-such-device", id="missing"),
        pytest.param({"miscellaneous": ["/etc/hosts:/sys/x"]}, 'container.s mount at "/sys"', id="in-a-mount"),
        pytest.param({"way": "copy", "miscellaneous": ["/etc/hosts:/x"]}, "it has to be copied", id="copy"),
    ],
)
def test_not_given(members: dict[str, Any], message: str, rules: Rules) -> None:
    """What can't be given refuses the container that asks for it, with the reason, and no other."""
    injector(rules, **members)
    with rules.asked() as engine:
        with pytest.raises(CallError, match=message) as caught:
            engine.adjust(PodContainer(env=ASKS))
        assert 'container "web"' in caught.value.message
        assert engine.adjust(PodContainer()) == NOTHING


def test_records(rules: Rules) -> None:
    """The record names the injector files that gave something, also where there are no hooks; no others."""
    rules.configure(f'injector-dir = "{rules.root}/injector"\nrecords = "{rules.root}/records.jsonl"')
    injector(rules, miscellaneous=[f"{rules.root}/tool:/opt/tool"])
    injector(rules, "copied.json", way="copy", optional=True, miscellaneous=[f"{rules.root}/tool:/opt/copy"])
    injector(rules, "optional.json", devices=[{"source": "/dev/no-such-device", "optional": True}])
    injector(rules, "other.json", activation_flag="OTHER", miscellaneous=[f"{rules.root}/tool:/opt/other"])
    rules.rule("10.json", {"annotations": {"^hook$": "yes"}})
    there = Mount(destination="/opt/tool", source=f"{rules.root}/tool")
    with rules.asked() as engine:
        engine.adjust(PodContainer(id="a1", env=ASKS))
        engine.adjust(PodContainer(id="b2", env=ASKS, annotations={"hook": "yes"}))
        engine.adjust(PodContainer(id="c3", annotations={"hook": "yes"}))
        engine.adjust(PodContainer(id="d4", env=ASKS, mounts=(there,)))
    lines = [json.loads(line) for line in (rules.root / "records.jsonl").read_text().splitlines()]
    files = [f"{rules.root}/injector/gpu.json"]
    assert [(line["container"], len(line["hooks"]), line.get("injector_files")) for line in lines] == [
        ("a1", 0, files),
        ("b2", 1, files),
        ("c3", 1, None),
    ]


def test_copied_by_a_hook(rules: Rules) -> None:
    """What has to be copied is left to the hook that does so, where the container gets that hook."""
    injector(rules, way="copy", miscellaneous=["/etc/hosts:/x"])
    program = rules.root / "oci-injector-hook"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    directory = f"OCI_INJECTOR_CONFIG_DIR={rules.root}/injector"
    rules.rule("10.json", {"always": True}, path=str(program), env=[directory])
    with rules.asked() as engine:
        given = engine.adjust(PodContainer(env=ASKS))
    assert given.mounts == []
    assert isinstance(given.hooks["createRuntime"][0], GivenHook)


def test_changes(rules: Rules) -> None:
    """Injector files count as soon as they come or break."""
    with rules.asked() as engine:
        assert engine.adjust(PodContainer(env=ASKS)) == NOTHING
        injector(rules, env=["TOOL=1"])
        deadline = time.monotonic() + 60
        while engine.adjust(PodContainer(env=ASKS)).env != ["TOOL=1"]:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        (rules.root / "injector/gpu.json").write_text("{")
        while "gpu.json: line 1 column 2: not JSON" not in (refused := reason(engine)):
            assert time.monotonic() < deadline, refused
            time.sleep(0.02)


def reason(engine: EngineLink) -> str:
    """Why a container that asks is refused; "" where it is not."""
    try:
        engine.adjust(PodContainer(env=ASKS))
    except CallError as error:
        return error.message
    return ""


def test_dry_run(rules: Rules) -> None:
    """A dry run names what would be given, without the values of variables."""
    injector(rules, devices=[f"{rules.root}/card0:/dev/card0"], miscellaneous=["/etc/hosts:/x"], env=["TOOL=secret"])
    with rules.asked(dry_run=True) as engine:
        assert engine.adjust(PodContainer(env=ASKS)) == NOTHING
    assert rules.said[-2].endswith(" would get mount /x, device /dev/card0, variable TOOL")
