"""What the drop-in wrappers import, and that their launcher does without Python."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.architecture.test_warm_path import BUILTIN, LIST_MODULES

from ocihooks.install.image import ASLEEP, EXTENSIONS
from ocihooks.install.install import Request, install
from ocihooks.install.launcher import is_built
from ocihooks.install.programs import PROGRAMS
from ocihooks.install.record import Record
from ocihooks.testing.fake import Answer, write_fake_runtime

ADD_HOOKS, TOOLKIT = "oci-add-hooks", "container-hooks-runtime"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Both wrappers in front of a runtime, their settings parsed and kept."""

    directory: Path
    records: dict[str, Record]

    def words(self, program: str, *words: str) -> list[str]:
        """The words of a call."""
        own = ["--hook-config-path", f"{self.directory}/hooks.json", "--runtime-path", f"{self.directory}/runtime"]
        return [*(own if program == ADD_HOOKS else []), *words]

    def create(self) -> list[str]:
        """The words of a create in a new bundle."""
        (self.directory / "b").mkdir(exist_ok=True)
        (self.directory / "b/config.json").write_text('{"ociVersion": "1.0.2"}')
        return ["create", "--bundle", f"{self.directory}/b", "c1"]


def make_place(directory: Path, *, launcher: bool) -> Place:
    """Install both, and call them until the settings are kept."""
    write_fake_runtime(directory / "runtime", answers={"*": Answer()})
    (directory / "config.toml").write_text(
        f'[container-hooks]\npath = "{directory}/hooks.json"\n'
        f'[container-hooks-runtime]\ndebug = "{directory}/log"\nruntimes = ["{directory}/runtime"]\n'
    )
    (directory / "hooks.json").write_text("{}")
    settings, cache = str(directory / "config.toml"), str(directory / "cache")
    prefix = str(directory / "prefix")
    records = {
        ADD_HOOKS: install(Request(prefix=prefix, program=ADD_HOOKS, name=ADD_HOOKS, launcher=launcher)),
        TOOLKIT: install(
            Request(prefix=prefix, program=TOOLKIT, name=TOOLKIT, launcher=launcher, settings=settings, cache_dir=cache)
        ),
    }
    time.sleep(2.1)  # settings are kept once nobody has touched them for two seconds
    subprocess.run([records[TOOLKIT].script, "state", "c1"], check=True)
    return Place(directory=directory, records=records)


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Without launcher."""
    return make_place(tmp_path_factory.mktemp("scripts"), launcher=False)


@pytest.fixture(scope="module")
def launchers(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """With it."""
    if not is_built():
        pytest.skip("the package was built without the launcher")
    return make_place(tmp_path_factory.mktemp("launchers"), launcher=True)


@pytest.mark.parametrize("program", [ADD_HOOKS, TOOLKIT])
def test_modules(program: str, scripts: Place) -> None:
    """A call loads what the images of the program list, and nothing else: no os, no re, no json, no library."""
    hooks = {"poststop": [{"path": "/x", "timeout": 5}]}
    (scripts.directory / "hooks.json").write_text(json.dumps({"hooks": hooks} if program == ADD_HOOKS else hooks))
    record, images = scripts.records[program], PROGRAMS[program].images
    for words, expected in (
        (["delete", "c1"], images[".call"]),
        (scripts.create(), (*images[".call"], *images[".create"])),
    ):
        command = [record.python, "-IS", "-c", LIST_MODULES, record.script, *scripts.words(program, *words)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        loaded = set(done.stdout.split()) - BUILTIN - {"gc"}
        assert loaded <= set(expected)
        assert set(expected) - loaded - BUILTIN <= {*ASLEEP, *EXTENSIONS}
    assert "poststop" in (scripts.directory / "b/config.json").read_text()


def programs_started(place: Place, program: str, *words: str, **environment: str) -> list[str]:
    """The names of the programs that one call of a wrapper executes, itself left out."""
    log = place.directory / "strace"
    command = [shutil.which("strace") or "strace", "-o", str(log), "-e", "trace=execve", place.records[program].script]
    given = {"PATH": "/usr/bin:/bin"} | environment
    subprocess.run([*command, *place.words(program, *words)], check=True, env=given)
    names = [Path(line.split('"')[1]).name for line in log.read_text().splitlines() if line.startswith("execve(")]
    ours = names.index("runtime") if "runtime" in names else len(names)
    return names[1 : ours + 1]


needs_strace = pytest.mark.skipif(not shutil.which("strace"), reason="strace shows the programs")


@needs_strace
@pytest.mark.parametrize("program", [ADD_HOOKS, TOOLKIT])
def test_other_operations_without_python(program: str, launchers: Place) -> None:
    """With the launcher every other operation becomes the runtime at once; a create is left to Python."""
    for operation in ("state", "start", "kill", "delete", "exec"):
        assert programs_started(launchers, program, operation, "c1") == ["runtime"]
    before = (launchers.directory / "hooks.json").read_text()
    (launchers.directory / "hooks.json").write_text('{"hooks": {}}' if program == ADD_HOOKS else "{}")
    assert programs_started(launchers, program, *launchers.create()) != ["runtime"]
    (launchers.directory / "hooks.json").write_text(before)


@needs_strace
def test_line_of_the_launcher(launchers: Place) -> None:
    """The launcher logs the same line as Python, in both formats; with --debug it leaves that to Python."""
    log = launchers.directory / "log"
    log.write_text("")
    assert programs_started(launchers, TOOLKIT, "state", "c1") == ["runtime"]
    assert programs_started(launchers, TOOLKIT, "--debug", "state", "c1") != ["runtime"]
    fast, _, slow = log.read_text().splitlines()
    assert fast.partition(" level=")[2] == slow.partition(" level=")[2]
    log.write_text("")
    assert programs_started(launchers, TOOLKIT, "--log-format", "json", "state", "c1") == ["runtime"]
    entry = json.loads(log.read_text())
    assert entry == {"level": "info", "msg": f"state goes to {launchers.directory}/runtime", "time": entry["time"]}
    moment = time.mktime(time.strptime(entry["time"], "%Y-%m-%dT%H:%M:%SZ")) - time.timezone
    assert abs(moment - time.time()) < 60


@needs_strace
@pytest.mark.parametrize("change", ["settings", "log", "runtime"])
def test_any_change_is_left_to_python(change: str, launchers: Place) -> None:
    """When settings, log or runtime are not as they were, Python looks again."""
    assert programs_started(launchers, TOOLKIT, "state", "c1") == ["runtime"]
    if change == "log":
        (launchers.directory / "log").unlink()
    else:
        file = launchers.directory / {"settings": "config.toml", "runtime": "runtime"}[change]
        mode, data = file.stat().st_mode, file.read_bytes()
        file.unlink()
        file.write_bytes(data)
        file.chmod(mode)
    assert programs_started(launchers, TOOLKIT, "state", "c1") != ["runtime"]
    time.sleep(2.1)
    programs_started(launchers, TOOLKIT, "state", "c1")
    assert programs_started(launchers, TOOLKIT, "state", "c1") == ["runtime"], "once all is quiet again"


@needs_strace
def test_another_path_is_left_to_python(launchers: Place) -> None:
    """A runtime by name is the launcher's only for callers with the same PATH, and for these it makes no difference."""
    settings = launchers.directory / "config.toml"
    before = settings.read_text()
    settings.write_text('[container-hooks-runtime]\ndebug = ""\nruntimes = ["runtime"]\n')
    time.sleep(2.1)
    mine = {"PATH": f"/nowhere:{launchers.directory}"}
    programs_started(launchers, TOOLKIT, "state", "c1", **mine)
    assert programs_started(launchers, TOOLKIT, "state", "c1", **mine) == ["runtime"]
    other = {"PATH": f"/nowhere/else:{launchers.directory}"}
    assert programs_started(launchers, TOOLKIT, "state", "c1", **other)[-1] == "runtime"
    assert programs_started(launchers, TOOLKIT, "state", "c1", **other) != ["runtime"]
    settings.write_text(before)
    time.sleep(2.1)
    programs_started(launchers, TOOLKIT, "state", "c1")


@needs_strace
def test_unusual_words_are_left_to_python(launchers: Place) -> None:
    """The launcher of oci-add-hooks takes its own options in their usual form only; Python takes the others."""
    script, directory = launchers.records[ADD_HOOKS].script, launchers.directory
    swapped = ["--runtime-path", f"{directory}/runtime", "--hook-config-path", f"{directory}/hooks.json", "state", "c1"]
    log = directory / "strace"
    subprocess.run(["strace", "-o", str(log), "-e", "trace=execve", script, *swapped], check=True)
    assert log.read_text().count("execve(") > 2
