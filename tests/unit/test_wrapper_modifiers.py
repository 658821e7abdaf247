"""Modifiers in the wrapper: their hooks go where those of rules go, and if anything is wrong config.json stays."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from tests.unit.test_wrapper_create import Place

from ocihooks.injection import DEFAULT_PATH, RULE_MARK, STAGE_MARK
from ocihooks.settings import read_settings
from ocihooks.wrapper.create import inject
from ocihooks.wrapper.modifiers import modifier_findings

SANDBOX = {"io.kubernetes.cri.container-type": "sandbox"}


class Scene(Place):
    """A place with modifiers."""

    def modifiers(self, *bodies: str, settings: str = "") -> list[str]:
        """Write a file for each body of a function, and settings that name all; their words."""
        words = []
        for number, body in enumerate(bodies):
            file = self.etc / f"m{number}.py"
            file.write_text(f"from ocihooks import Hook, RefusedError\n\ndef ask(c):\n    {body}\n")
            file.chmod(0o644)
            words.append(f"{file}:ask")
        self.write_settings(f"modifiers = {json.dumps(words)}\n{settings}")
        return words

    def entries(self, stage: str = "createRuntime") -> list[dict[str, Any]]:
        """The hooks of a stage."""
        found: list[dict[str, Any]] = self.bundle.config().get("hooks", {}).get(stage, [])
        return found

    def marks(self, stage: str = "createRuntime") -> list[str]:
        """The file names in the marks of the hooks of a stage."""
        return [os.path.basename(env[-2]) for env in (entry["env"] for entry in self.entries(stage))]


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """A place without rules, settings and modifiers."""
    return Scene(tmp_path)


ADD = "c.add_hook('createRuntime', Hook(path='/bin/true', args=('true', c.id, c.operation), env=('A=1',)))"
BARE = "c.add_hook('createRuntime', Hook(path='/bin/true'))"


def test_hook(scene: Scene) -> None:
    """A hook gets its arguments, its environment and marks that name the modifier; no other byte changes."""
    scene.modifiers(ADD)
    before = scene.config.read_bytes()
    scene.prepare()
    after = scene.config.read_bytes()
    assert after.startswith(before[:-1])
    mark = f"{RULE_MARK}{scene.settings_file}/m0.py:ask"
    args = ["true", "c1", "create"]
    assert scene.entries() == [{"path": "/bin/true", "args": args, "env": ["A=1", mark, f"{STAGE_MARK}createRuntime"]}]


TOLD = "c.add_hook('createRuntime', Hook(path='/bin/true', args=('true', c.id, c.operation, c.bundle)))"


@pytest.mark.parametrize("operation", ["create", "run", "restore"])
@pytest.mark.parametrize("bundle", ["named", "relative", "here"])
def test_told(operation: str, bundle: str, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A modifier is told the container's id, what is asked of the runtime, and the absolute path of the bundle."""
    scene.modifiers(TOLD)
    directory = scene.bundle.directory
    monkeypatch.chdir(directory if bundle == "here" else directory.parent)
    words = {"named": ["--bundle", str(directory)], "relative": ["--bundle", directory.name], "here": []}[bundle]
    scene.prepare(operation, *words, "c7")
    assert scene.entries()[0]["args"][1:] == ["c7", operation, str(directory)]


def test_told_by_a_command(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no engine asks, there is no id, and the bundle is where the configuration is."""
    scene.modifiers(TOLD)
    monkeypatch.chdir(scene.directory)
    inject("bundle/config.json", read_settings(str(scene.settings_file)))
    assert scene.entries()[0]["args"][1:] == ["", "create", str(scene.bundle.directory)]


def test_defaults(scene: Scene) -> None:
    """A hook without arguments, environment and timeout gets those that hooks of rules get."""
    scene.modifiers(BARE, settings="default-timeout = 7")
    scene.prepare()
    (entry,) = scene.entries()
    assert (entry["args"], entry["env"][0], entry["timeout"]) == (["/bin/true"], DEFAULT_PATH, 7)


def test_order(scene: Scene) -> None:
    """Hooks of modifiers stand behind those of rules, in the order of the settings, and filters see all of them."""
    scene.rule("z.json")
    counted = scene.directory / "counted"
    scene.filter(f"tee {counted}")
    scene.modifiers(BARE, BARE)
    scene.prepare()
    assert scene.marks() == ["z.json", "m0.py:ask", "m1.py:ask"]
    assert counted.read_text().count("m1.py:ask") == 1


def test_twice_is_once(scene: Scene) -> None:
    """Asked again, a modifier that answers the same changes nothing; one that changed its mind replaces its hooks."""
    scene.rule()
    scene.modifiers(BARE, BARE)
    scene.prepare()
    data, inode = scene.config.read_bytes(), scene.config.stat().st_ino
    scene.prepare()
    assert (scene.config.read_bytes(), scene.config.stat().st_ino) == (data, inode)
    scene.modifiers(BARE, "pass")
    scene.prepare()
    assert scene.marks() == ["a.json", "m0.py:ask"]
    scene.write_settings("")
    scene.prepare()
    assert scene.marks() == ["a.json"]


def test_entries_of_another_wrapper(scene: Scene) -> None:
    """Hooks that modifiers of other settings added stay where they are."""
    scene.modifiers(BARE)
    scene.prepare()
    other = scene.directory / "other.toml"
    text = scene.config.read_text().replace(str(scene.settings_file), str(other))
    scene.config.write_text(text)
    scene.prepare()
    assert [env[-2] for env in (entry["env"] for entry in scene.entries())] == [
        f"{RULE_MARK}{place}/m0.py:ask" for place in (other, scene.settings_file)
    ]


def test_sandbox(scene: Scene) -> None:
    """Nobody is asked about the sandbox of a pod, unless the settings say so."""
    config = scene.bundle.config()
    scene.bundle.write_config(config | {"annotations": SANDBOX})
    scene.modifiers(BARE)
    scene.prepare()
    assert scene.entries() == []
    scene.modifiers(BARE, settings="sandbox = true")
    scene.prepare()
    assert scene.marks() == ["m0.py:ask"]


def test_supervised(scene: Scene) -> None:
    """Where all hooks are supervised, those of modifiers are, too."""
    records = scene.directory / "records"
    settings = f'supervise = "on"\nrecords = "{records}"\ndefault-timeout = 7'
    scene.modifiers("c.add_hook('createRuntime', Hook(path='/bin/true', timeout=3))", settings=settings)
    scene.prepare()
    (entry,) = scene.entries()
    assert entry["args"][-3:] == ["--", "/bin/true", "/bin/true"]
    assert {"--timeout=3", f"--records={records}"} <= set(entry["args"])
    assert entry["timeout"] == 8
    (record,) = [json.loads(line) for line in records.read_text().splitlines()]
    assert record["hooks"] == [{"rule": f"{scene.settings_file}/m0.py:ask", "stage": "createRuntime"}]


REFUSALS = [
    pytest.param("raise RefusedError('no licence')", 'modifier "{0}" refuses the container: no licence', id="refused"),
    pytest.param("raise KeyError('x')", "m1.py: line 4: modifier \"{0}\" failed: KeyError: 'x'", id="failed"),
    pytest.param("return 1", 'modifier "{0}" returned 1, expected None', id="returned"),
    pytest.param(
        "c.add_hook('poststop', Hook(path='/none/such'))",
        'modifier "{0}" adds a hook for poststop: program "/none/such": it does not exist',
        id="program",
    ),
    pytest.param(
        "open(c.bundle + '/writable', 'w'); c.add_hook('poststop', Hook(path=c.bundle + '/writable'))",
        'writable" is not executable',
        id="not-executable",
    ),
]


@pytest.mark.parametrize(("body", "said"), REFUSALS)
def test_refused(body: str, said: str, scene: Scene) -> None:
    """Whatever a modifier does wrong, config.json stays as it is, the message names it, and the log tells."""
    scene.rule()
    _, word = scene.modifiers(BARE, body.replace("c.bundle", repr(str(scene.etc))), settings=f'log = "{scene.log}"')
    error = scene.refusal()
    assert said.format(word) in str(error)
    assert said.format(word) in scene.lines()[-1]["msg"]


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        pytest.param("/none/such", "install the program", id="missing"),
        pytest.param("PLAIN", "chmod +x PLAIN", id="not-executable"),
    ],
)
def test_remedy(path: str, hint: str, scene: Scene) -> None:
    """What mends a hook's program is said; a mask, as for a rule, is no remedy for a modifier."""
    plain = scene.etc / "plain"
    plain.touch(0o644)
    scene.modifiers(f"c.add_hook('poststop', Hook(path={path.replace('PLAIN', str(plain))!r}))")
    assert scene.refusal().hint == hint.replace("PLAIN", str(plain))


def test_findings(scene: Scene) -> None:
    """Checked without a container, a modifier that can't be used is told at its file; one that can is not called."""
    _, word = scene.modifiers("raise KeyError('called')", "pass")
    file = Path(word.rpartition(":")[0])
    settings = read_settings(str(scene.settings_file))
    assert list(modifier_findings(settings)) == []
    file.chmod(0o666)
    (finding,) = modifier_findings(settings)
    assert (finding.file, finding.pointer, finding.code) == (str(file), None, "untrusted")


def test_finding_without_a_file(scene: Scene) -> None:
    """A modifier that is nowhere is told at the setting that names it."""
    scene.write_settings('modifiers = ["no_such_module_anywhere:ask"]')
    (finding,) = modifier_findings(read_settings(str(scene.settings_file)))
    assert (finding.file, finding.pointer) == (str(scene.settings_file), "ocihooks.modifiers")


def test_program_in_the_container(scene: Scene) -> None:
    """A program of startContainer lives in the container and is not looked at."""
    scene.modifiers("c.add_hook('startContainer', Hook(path='/none/such'))")
    scene.prepare()
    assert scene.marks("startContainer") == ["m0.py:ask"]


def test_log(scene: Scene) -> None:
    """The log tells who was asked."""
    words = scene.modifiers("pass", settings=f'log = "{scene.log}"')
    scene.prepare()
    assert (scene.lines()[-1]["msg"], scene.lines()[-1]["modifiers"]) == ("nothing to add", words)


@pytest.mark.parametrize("broken", ["missing", "mode"])
def test_loading(broken: str, scene: Scene) -> None:
    """A modifier that can't be loaded refuses every container, also where rules may be broken."""
    (word,) = scene.modifiers("pass", settings='on-invalid = "ignore"')
    file = Path(word.rpartition(":")[0])
    file.unlink() if broken == "missing" else file.chmod(0o666)
    assert scene.refusal().file == str(file)


def test_kill_switch(scene: Scene) -> None:
    """While hooks are switched off nobody is asked."""
    scene.modifiers("raise RefusedError('no')")
    switch = scene.etc / "disabled"
    switch.touch()
    switch.chmod(0o644)
    scene.prepare()
    switch.unlink()
    scene.refusal()


def test_fresh_files(scene: Scene) -> None:
    """A modifier's file is a source of the compiled rules, and what it says counts at once."""
    import time

    scene.modifiers("pass")
    time.sleep(2.1)
    scene.prepare()
    refreshes = len(scene.before_refresh)
    scene.prepare()
    assert len(scene.before_refresh) == refreshes
    scene.modifiers("raise RefusedError('changed')")
    assert "changed" in str(scene.refusal())
    assert len(scene.before_refresh) == refreshes + 1
