"""What a configuration gains before its container is created: mounts, devices, rules and variables, each once."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from ocihooks.document import dumps
from ocihooks.errors import DocumentError
from ocihooks.injector.before import DEVICE_OPTIONS, SHOWN_OPTIONS, Sketch, with_environment
from ocihooks.injector.decide import Decision, Outcome
from ocihooks.injector.errors import NotInjectedError
from ocihooks.injector.files import InjectorFile, parse_injector_file
from ocihooks.injector.give import asked_for, given, outcome_for, written
from ocihooks.injector.host import things_of

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="makes device nodes")

DIRECTORY = "/etc/oci-injector-hook"
Members = dict[str, Any]
CONFIG: Members = {
    "ociVersion": "1.0.2",
    "process": {"args": ["sh"], "env": ["PATH=/bin", "X=1"]},
    "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}, {"destination": "/dev", "type": "tmpfs"}],
    "linux": {"namespaces": [{"type": "mount"}], "resources": {"devices": [{"allow": False, "access": "rwm"}]}},
}
COPIES: Members = {"hooks": {"createRuntime": [{"path": "/usr/local/bin/oci-injector-hook"}]}}


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """What the host has: a program, a directory, two devices and a FIFO."""
    (tmp_path / "data").mkdir()
    (tmp_path / "tool").write_text("tool")
    (tmp_path / "tool").chmod(0o755)
    for number in (0, 1):
        os.mknod(tmp_path / f"card{number}", 0o060000, os.makedev(226, number))
        os.chmod(tmp_path / f"card{number}", 0o660)
        os.chown(tmp_path / f"card{number}", 0, 44)
    os.mkfifo(tmp_path / "fifo")
    return tmp_path


def injector_file(host: Path, name: str = "a.json", **members: Any) -> InjectorFile:
    """An injector file for X; HOST in it stands for the directory of the host."""
    text = json.dumps({"activation_flag": "X", **members}).replace("HOST", str(host))
    return parse_injector_file(text.encode(), f"{DIRECTORY}/{name}")


def config(**members: Any) -> dict[str, Any]:
    """The configuration with other members."""
    return copy.deepcopy({**CONFIG, **members})


def changed(document: Mapping[str, Any], *files: InjectorFile) -> dict[str, Any]:
    """The configuration after the files were given, which doing it again leaves as it is."""
    data = json.dumps(document).encode()
    after, followed = given(data, "config.json", files, DIRECTORY)
    assert given(after, "config.json", files, DIRECTORY) == (after, followed)
    assert set(followed) <= set(files)
    found: dict[str, Any] = json.loads(after)
    return found


def decided(document: Mapping[str, Any], file: InjectorFile) -> Decision:
    """What becomes of the file."""
    (decision,) = outcome_for([file], document, DIRECTORY).decisions
    return decision


def refusal(document: Mapping[str, Any], file: InjectorFile) -> str:
    """Why the file can't be given, with its hint; the configuration is not touched."""
    with pytest.raises(NotInjectedError) as caught:
        given(json.dumps(document).encode(), "config.json", [file], DIRECTORY)
    assert all(problem.hint for problem in caught.value.problems)
    assert all(problem.file == file.file for problem in caught.value.problems)
    return "\n".join(map(str, caught.value.problems))


def bind(source: str, destination: str) -> dict[str, Any]:
    """A bind mount."""
    return {"destination": destination, "type": "bind", "source": source, "options": ["rbind"]}


def test_mounts(host: Path) -> None:
    """Files and directories are bind mounts behind all others, which cannot be written; directories above need none."""
    file = injector_file(
        host,
        directories=["/opt", "HOST/data:/opt/data"],
        binaries=["HOST/tool:/opt//./tool"],
        miscellaneous="HOST/tool",
    )
    after = changed(CONFIG, file)
    options = list(SHOWN_OPTIONS)
    assert after == config(
        mounts=[
            *CONFIG["mounts"],
            {"destination": "/opt/data", "type": "bind", "source": f"{host}/data", "options": options},
            {"destination": "/opt/tool", "type": "bind", "source": f"{host}/tool", "options": options},
            {"destination": f"{host}/tool", "type": "bind", "source": f"{host}/tool", "options": options},
        ]
    )
    assert {"ro", "nosuid", "nodev", "bind"} < set(options)


def test_devices(host: Path) -> None:
    """Devices have the host's numbers, mode and owner, or another mode, and are allowed behind what is denied."""
    file = injector_file(
        host, devices=["HOST/card0:/dev/dri/card0", {"source": "HOST/card1", "destination": "/dev/c1"}]
    )
    entry = injector_file(host, devices=[{"source": "HOST/card1", "destination": "/dev/c1", "mode": "0600"}])
    after = changed(CONFIG, file)
    numbers = {"type": "b", "major": 226, "uid": 0, "gid": 44}
    assert after["linux"]["devices"] == [
        {"path": "/dev/dri/card0", "minor": 0, "fileMode": 0o660, **numbers},
        {"path": "/dev/c1", "minor": 1, "fileMode": 0o660, **numbers},
    ]
    assert after["linux"]["resources"]["devices"] == [
        {"allow": False, "access": "rwm"},
        *({"allow": True, "type": "b", "major": 226, "minor": minor, "access": "rwm"} for minor in (0, 1)),
    ]
    assert changed(CONFIG, entry)["linux"]["devices"][0]["fileMode"] == 0o600


def test_patterns(host: Path) -> None:
    """A pattern stands for the devices among what it finds, by name; finding none is an error."""
    things = things_of(injector_file(host, devices=["HOST/*"]))
    assert [(thing.source, thing.destination) for thing in things] == [(f"{host}/card{n}",) * 2 for n in (0, 1)]
    steps = decided(CONFIG, injector_file(host, devices=["/dev/nul[l]"])).steps
    assert [(step.thing.source, step.outcome) for step in steps] == [("/dev/null", "present")]
    message = refusal(CONFIG, injector_file(host, devices=["HOST/none*"]))
    assert message == (
        f'{DIRECTORY}/a.json: /devices/0: "{host}/none*" can\'t be given to the container: '
        "no device of the host matches it"
    )


def test_user_namespace(host: Path) -> None:
    """In a user namespace, where no node can be made, a device is mounted, and its mode is that of the host."""
    file = injector_file(host, devices=["HOST/card0:/dev/card0"])
    linux = {"namespaces": [{"type": "user"}]}
    after = changed(config(linux=linux), file)
    mount = {"destination": "/dev/card0", "type": "bind", "source": f"{host}/card0", "options": list(DEVICE_OPTIONS)}
    assert after["mounts"][-1] == mount
    rule = {"allow": True, "type": "b", "major": 226, "minor": 0, "access": "rwm"}
    assert after["linux"] == {**linux, "resources": {"devices": [rule]}}
    other = injector_file(host, devices=[{"source": "HOST/card0", "destination": "/dev/card0", "mode": "0666"}])
    assert "in a user namespace it has the mode of its source, 0660" in refusal(config(linux=linux), other)


def test_variables(host: Path) -> None:
    """A variable is added, or takes the place of the one of its name."""
    after = changed(CONFIG, injector_file(host, env=["TOOLS=/opt", "PATH=/opt/bin"]))
    assert after["process"]["env"] == ["PATH=/opt/bin", "X=1", "TOOLS=/opt"]
    assert with_environment(["A=1", "A=2", "AB=3"], ["A=4"]) == ("A=1", "A=4", "AB=3")


def test_nothing_else_changes(host: Path) -> None:
    """All bytes but those added stay, numbers, blanks and order too; members that are missing or null are made."""
    linux = '"linux": {"y":[ 1 ,2 ],"resources" :{ "z":1e400 } } '
    text = f'{{ "x" : 1.50e2, "mounts":null,\n{linux},"process":{{"env":["X=1"]}} }}'
    file = injector_file(host, binaries=["HOST/tool:/opt/tool"], devices=["HOST/card0:/dev/card0"])
    after = given(text.encode(), "config.json", [file], DIRECTORY)[0].decode()
    outcome = outcome_for([file], json.loads(text), DIRECTORY)
    mounts, devices, rules = (dumps(items) for items in (outcome.mounts, outcome.devices, outcome.rules))
    new = linux.replace("1e400 }", f'1e400,"devices":{rules} }}').replace(" } } ", f' }},"devices":{devices} }} ')
    assert after == text.replace("null", mounts).replace(linux, new)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
LISTS = st.none() | st.lists(st.dictionaries(st.text(max_size=4), VALUES, max_size=2), max_size=3)
RESOURCES = st.none() | st.fixed_dictionaries({}, optional={"devices": LISTS, "z": VALUES})
LINUX = st.none() | st.fixed_dictionaries({}, optional={"devices": LISTS, "resources": RESOURCES, "y": VALUES})
DOCUMENTS = st.fixed_dictionaries(
    {"process": st.fixed_dictionaries({"env": st.lists(st.text())})},
    optional={"mounts": LISTS, "linux": LINUX, "x": VALUES},
)


@hypothesis.settings(max_examples=100, deadline=None)
@hypothesis.given(document=DOCUMENTS, indent=st.none() | st.integers(0, 2), ascii_only=st.booleans())
def test_written_as_set(document: Members, indent: int | None, ascii_only: bool) -> None:
    """Whatever the document: written and then parsed equals parsed and then set."""
    one, two, three = {"destination": "/é"}, {"path": "/dev/a"}, {"allow": True, "major": 1}
    sketch = Sketch({})
    sketch.mounts, sketch.devices, sketch.rules = [one, one], [two], [three]
    outcome = Outcome((), sketch, ("A=\u2028",))
    text = json.dumps(document, indent=indent, ensure_ascii=ascii_only)
    found = json.loads(written(text.encode("utf-8", "replace"), "config.json", outcome))
    expected = json.loads(text.encode("utf-8", "replace"))
    expected["process"]["env"] = ["A=\u2028"]
    expected["mounts"] = [*(expected.get("mounts") or ()), one, one]
    linux = expected["linux"] = expected.get("linux") or {}
    linux["devices"] = [*(linux.get("devices") or ()), two]
    resources = linux["resources"] = linux.get("resources") or {}
    resources["devices"] = [*(resources.get("devices") or ()), three]
    assert found == expected


PRESENT: dict[str, tuple[Members, Members]] = {
    "mount": ({"binaries": ["HOST/tool:/opt/tool"]}, {"mounts": [bind("HOST//tool", "/opt/./tool")]}),
    "mount-by-option": (
        {"binaries": ["HOST/tool:/opt/tool"]},
        {"mounts": [{"destination": "/opt/tool", "type": "none", "source": "HOST/tool", "options": ["bind", "ro"]}]},
    ),
    "directory": ({"directories": ["/opt"]}, {"mounts": [bind("/srv", "/opt/a")]}),
    "everywhere": ({"devices": ["/dev/null"]}, {}),
    "device": (
        {"devices": ["HOST/card0:/dev/c"]},
        {
            "linux": {
                "devices": [{"path": "/dev/c", "type": "b", "major": 226, "minor": 0}],
                "resources": {"devices": [{"allow": True, "type": "b", "major": 226, "minor": 0, "access": "rwm"}]},
            }
        },
    ),
    "variable": ({"env": ["PATH=/bin"]}, {}),
    "missing-optional": ({"binaries": [{"source": "/none", "optional": True}]}, {}),
}


@pytest.mark.parametrize("name", PRESENT)
def test_what_is_there(name: str, host: Path) -> None:
    """What the configuration has already, or what is optional and missing, changes nothing."""
    members, others = PRESENT[name]
    document = json.loads(json.dumps(config(**others)).replace("HOST", str(host)))
    assert changed(document, injector_file(host, **members)) == document


def test_rule_that_is_denied_later(host: Path) -> None:
    """A device that is allowed and then denied is allowed once more."""
    allow = {"allow": True, "type": "b", "major": 226, "minor": 0, "access": "rwm"}
    rules = [allow, {"allow": False, "access": "rwm"}]
    document = config(linux={"resources": {"devices": rules}})
    after = changed(document, injector_file(host, devices=["HOST/card0:/dev/c"]))
    assert after["linux"]["resources"]["devices"] == [*rules, allow]


IMPOSSIBLE: dict[str, tuple[Members, Members, str]] = {
    "missing": ({"binaries": ["/none"]}, {}, '"/none" can\'t be given to the container: it does not exist'),
    "fifo": ({"binaries": ["HOST/fifo"]}, {}, "expected a regular file, found something else"),
    "directory-as-file": ({"miscellaneous": ["HOST/data"]}, {}, "expected a regular file, found a directory"),
    "file-as-directory": ({"directories": ["HOST/tool:/a"]}, {}, "expected a directory, found a regular file"),
    "file-as-device": ({"devices": ["HOST/tool:/dev/a"]}, {}, "expected a device, found a regular file"),
    "relative": ({"binaries": ["src/tool"]}, {}, "expected an absolute path"),
    "above-the-root": ({"binaries": ["HOST/tool:/../../a"]}, {}, "does not lead to a place below the root"),
    "root": ({"directories": ["HOST/data:/"]}, {}, "does not lead to a place below the root"),
    "device-elsewhere": ({"devices": ["HOST/card0"]}, {}, "devices go below /dev only"),
    "other-mount": (
        {"binaries": ["HOST/tool:/opt/tool"]},
        {"mounts": [bind("/srv/tool", "/opt/tool")]},
        'the container has another mount there, of "/srv/tool"',
    ),
    "hides": (
        {"directories": ["HOST/data:/opt"]},
        {"mounts": [bind("/srv", "/opt/volume")]},
        'it would hide the container\'s mount at "/opt/volume"',
    ),
    "volume": (
        {"binaries": ["HOST/tool:/opt/a/tool"]},
        {"mounts": [{"destination": "/opt", "type": "tmpfs"}, bind("/srv", "/opt/a")]},
        'it lies in the container\'s mount at "/opt/a", and nothing is put into volumes',
    ),
    "own-directory": (
        {"directories": ["HOST/data:/opt"], "binaries": ["HOST/tool:/opt/tool"]},
        {},
        'it lies in the container\'s mount at "/opt"',
    ),
    "other-device": (
        {"devices": ["HOST/card0:/dev/c"]},
        {"linux": {"devices": [{"path": "/dev/c", "type": "b", "major": 226, "minor": 7}]}},
        "the container has another device there",
    ),
    "mounted-dev": (
        {"devices": ["HOST/card0:/dev/c"]},
        {"mounts": [bind("/dev", "/dev")]},
        'it lies in the container\'s mount at "/dev"',
    ),
    "mode": (
        {"way": "mount", "binaries": [{"source": "HOST/tool", "mode": "0700"}]},
        {},
        "a mount has the mode of its source, 0755",
    ),
    "lone-directory": ({"way": "mount", "directories": ["/opt"]}, {}, "a directory without a source can't be mounted"),
    "both-ways": (
        {"devices": ["HOST/card0:/dev/c"], "directories": ["/opt"]},
        COPIES,
        "/directories/0: it can only be copied, and the file's devices, variables and contents of directories can't",
    ),
    "directory-to-copy": (
        {"directories": ["HOST/data:/data", "/opt"]},
        COPIES,
        "/directories/1: it can only be copied, and the file's devices, variables and contents of directories can't",
    ),
    "no-hook": ({"directories": ["/opt"]}, {}, "it has to be copied, and the container has no hook oci-injector-hook"),
    "no-hook-for-way": ({"way": "copy", "binaries": ["HOST/tool"]}, {}, 'the file says "way": "copy"'),
}


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_what_can_not_be_given(name: str, host: Path) -> None:
    """What can't be given as a whole is refused with its reason, or left out where the file is optional."""
    members, others, reason = IMPOSSIBLE[name]
    document = config(**others)
    assert reason in refusal(document, injector_file(host, **members))
    assert changed(document, injector_file(host, optional=True, **members)).get("hooks") == document.get("hooks")


COPIED: dict[str, Members] = {
    "lone-directory": {"directories": ["/opt"]},
    "mode": {"binaries": [{"source": "HOST/tool", "mode": "0700"}]},
    "library": {"libraries": ["HOST/tool:/opt/lib/libtool.so"]},
    "optional-library": {
        "libraries": [{"source": "HOST/tool", "destination": "/opt/lib/libtool.so", "optional": True}]
    },
    "way": {"way": "copy", "binaries": ["HOST/tool"]},
}


@pytest.mark.parametrize("name", COPIED)
def test_what_is_left_to_the_hook(name: str, host: Path) -> None:
    """A file of which something can only be copied is left to the hook as a whole, if there is one for this place."""
    document = config(**COPIES)
    file = injector_file(host, **{"binaries": ["HOST/tool:/t"], **COPIED[name]})
    assert decided(document, file).way == "copy"
    assert changed(document, file) == document


def test_directory_that_is_there(host: Path) -> None:
    """A directory that the configuration mounts already does not keep the rest of its file from being copied."""
    document = config(**COPIES, mounts=[bind(str(host / "data"), "/data")])
    file = injector_file(host, directories=["HOST/data:/data", "/opt"])
    assert decided(document, file).way == "copy"


HOOKS: dict[str, tuple[Members, bool]] = {
    "prestart": ({"prestart": [{"path": "/x/oci-injector-hook"}]}, True),
    "supervised": (
        {
            "createRuntime": [
                {
                    "path": "/usr/bin/w.supervise",
                    "args": ["/usr/bin/w.supervise", "--", "/x/oci-injector-hook", "/x/oci-injector-hook"],
                    "env": ["OCIHOOKS_RULE=/r.json", "OCIHOOKS_STAGE=createRuntime"],
                }
            ]
        },
        True,
    ),
    "this-directory": (
        {"prestart": [{"path": "/x/oci-injector-hook", "env": [f"OCI_INJECTOR_CONFIG_DIR={DIRECTORY}/"]}]},
        True,
    ),
    "other-directory": (
        {"prestart": [{"path": "/x/oci-injector-hook", "env": ["OCI_INJECTOR_CONFIG_DIR=/srv"]}]},
        False,
    ),
    "later": ({"poststop": [{"path": "/x/oci-injector-hook"}]}, False),
    "other-program": ({"prestart": [{"path": "/x/oci-injector-hook.old"}]}, False),
}


@pytest.mark.parametrize("name", HOOKS)
def test_hooks_that_copy(name: str, host: Path) -> None:
    """The hook counts where it runs in time and looks into the same directory."""
    hooks, counts = HOOKS[name]
    decision = decided(config(hooks=hooks), injector_file(host, directories=["/opt"]))
    assert (decision.way == "copy") is counts


@pytest.mark.parametrize(
    ("destination", "way"),
    [
        pytest.param("/usr/lib/x86_64-linux-gnu/libtool.so.1", "mount", id="multiarch"),
        pytest.param("/lib64/libtool.so.1", "mount", id="lib64"),
        pytest.param("/usr/lib/libtool.so.1", "mount", id="usr-lib"),
        pytest.param("/usr/lib/tool/libtool.so.1", "copy", id="below"),
        pytest.param("/usr/local/lib/libtool.so.1", "copy", id="local"),
    ],
)
def test_libraries(destination: str, way: str, host: Path) -> None:
    """Libraries are mounted where the dynamic linker finds them without a new cache, or where the file says so."""
    entry = f"HOST/tool:{destination}"
    assert decided(config(**COPIES), injector_file(host, libraries=[entry])).way == way
    assert decided(CONFIG, injector_file(host, libraries=[entry], way="mount")).way == "mount"


def test_several_files(host: Path) -> None:
    """Files may share what they give; of two different things for one place the second is refused, with all reasons."""
    one = injector_file(host, "a.json", binaries=["HOST/tool:/opt/tool"])
    same = injector_file(host, "b.json", binaries=["HOST/tool:/opt/tool"])
    assert len(changed(CONFIG, one, same)["mounts"]) == 3
    other = injector_file(host, "c.json", binaries=["/bin/true:/opt/tool", "/none"])
    with pytest.raises(NotInjectedError) as caught:
        given(json.dumps(CONFIG).encode(), "config.json", [one, other], DIRECTORY)
    assert [problem.pointer for problem in caught.value.problems] == ["/binaries/0", "/binaries/1"]


FAULTY: dict[str, tuple[Members, str]] = {
    "env-object": ({"process": {"env": {}}}, "/process/env: expected an array, found an object"),
    "env-item": ({"process": {"env": ["X=1", 2]}}, "/process/env/1: expected a string, found a number"),
    "process": ({"process": []}, "/process: expected an object, found an array"),
    "mounts": ({"mounts": {}}, "/mounts: expected an array, found an object"),
    "linux": ({"linux": []}, "/linux: expected an object, found an array"),
    "resources": ({"linux": {"resources": []}}, "/linux/resources: expected an object, found an array"),
}


@pytest.mark.parametrize("name", FAULTY)
def test_faulty_configurations(name: str, host: Path) -> None:
    """A configuration with something else in the place of what is needed is refused with the place."""
    members, message = FAULTY[name]
    file = injector_file(host, binaries=["HOST/tool:/opt/tool"], devices=["HOST/card0:/dev/c"])
    with pytest.raises(DocumentError, match=message):
        given(json.dumps(config(**members)).encode(), "config.json", [file], DIRECTORY)


@pytest.mark.parametrize(
    "text", ['{"env":["A=1"],"env":["X=1"]}', '{"env":["A=1"],"ENV":["X=1"]}'], ids=["repeated", "letter-case"]
)
def test_doubtful_environments(text: str, host: Path) -> None:
    """An environment that runtimes would read differently is refused."""
    data = f'{{"process":{text}}}'.encode()
    with pytest.raises(DocumentError, match='member "env" is there more than once'):
        given(data, "config.json", [injector_file(host)], DIRECTORY)


def test_nobody_asks(host: Path) -> None:
    """Without the variable, or without a process, nothing is asked for."""
    file = injector_file(host, binaries=["/none"])
    silent: list[Members] = [{}, {"process": None}, {"process": {}}]
    for members in (*silent, {"process": {"env": None}}, {"process": {"env": ["XY=1"]}}):
        assert asked_for([file], members, "config.json") == ()
        data = json.dumps(members).encode()
        assert given(data, "config.json", [file], DIRECTORY) == (data, ())
