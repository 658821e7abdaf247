"""Modifiers: what they are given, what they may do, and that nothing of what they do to their process is left."""

from __future__ import annotations

import json
import os
import py_compile
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ocihooks
from ocihooks.engines.images import Image
from ocihooks.errors import HookError, OCIHooksError, RefusedError, UntrustedError
from ocihooks.modifiers.call import Asked, ask, check
from ocihooks.modifiers.creation import Creation
from ocihooks.modifiers.load import files_of
from ocihooks.spec.hook import Hook
from ocihooks.trust import trust_here

ID = "0123456789abcdef" * 4
TRUST = trust_here()
CONFIG = {"ociVersion": "1.0.2", "root": {"path": "root/../fs"}, "annotations": {"k": "v"}, "process": {"args": ["sh"]}}

Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a file with a modifier `f`; its word."""

    def made(body: str, *, name: str = "m.py", function: str = "f") -> str:
        file = tmp_path / name
        file.write_text(f"import ocihooks\n\ndef f(c):\n    {body}\n" if "\n" not in body else body)
        file.chmod(0o644)
        return f"{file}:{function}"

    return made


def asked(config: dict[str, Any] | str = CONFIG, **facts: str) -> Asked:
    text = config if isinstance(config, str) else json.dumps(config)
    return Asked(**{"text": text, "id": "c1", "operation": "create", "bundle": "/b"} | facts)


def failure(*words: str, config: dict[str, Any] | str = CONFIG) -> OCIHooksError:
    """The error with which a container is not created."""
    with pytest.raises(OCIHooksError) as caught:
        ask(words, asked(config), TRUST)
    return caught.value


class TestGiven:
    """What a modifier sees."""

    def test_facts(self, write: Write, tmp_path: Path) -> None:
        """Id, operation, bundle, annotations, root and configuration are those of the container."""
        note = tmp_path / "note"
        body = (
            "open({note!r}, 'w').write(repr([c.id, c.operation, c.bundle, c.annotations, c.rootfs, c.image, c.config]))"
        )
        ask([write(body.format(note=str(note)))], asked(operation="restore"), TRUST)
        assert note.read_text() == repr(["c1", "restore", "/b", {"k": "v"}, "/b/root/../fs", None, CONFIG])

    @pytest.mark.parametrize("root", [None, {}, {"path": "/abs/"}], ids=["none", "no-path", "absolute"])
    def test_rootfs(self, root: Any) -> None:
        """A root that is not named is None, and an absolute path stays."""
        creation = Creation({"root": root}, bundle="/b")
        assert creation.rootfs == ("/abs" if root else None)

    def test_config_is_a_copy(self, write: Write) -> None:
        """What a modifier does to the configuration, the next one does not see."""
        first = write("c.config['process']['args'].append('x'); c.config.clear()", name="a.py")
        second = write("assert c.config['process']['args'] == ['sh'], c.config", name="b.py")
        assert ask([first, second], asked(), TRUST) == ((), ())

    @pytest.mark.parametrize("text", ['{"a":' + "[" * 1000 + "]" * 1000 + "}", '{"a":' + "9" * 5000 + "}"])
    def test_odd_documents(self, text: str, write: Write) -> None:
        """What runtimes read, modifiers can be asked about: deep documents and long numbers."""
        assert ask([write("c.config['a']")], asked(text), TRUST) == ((),)

    def test_empty_streams(self, write: Write, capfd: pytest.CaptureFixture[str]) -> None:
        """Standard input is empty, and what it and its programs print goes to standard error."""
        body = "import os; os.system('echo program; cat'); os.write(1, b'[%s]' % os.read(0, 9))"
        ask([write(body)], asked(), TRUST)
        out, error = capfd.readouterr()
        assert out == ""
        assert error.split() == ["program", "[]"]


class TestHooks:
    """What a modifier adds."""

    def test_order(self, write: Write) -> None:
        """Hooks come as they were added, modifier by modifier, whole."""
        body = "[c.add_hook(s, ocihooks.Hook(path='/bin/true', args=('a', c.id), env=('A=1',), timeout=3)) for s in {}]"
        first = write(body.format(["poststop", "createRuntime"]), name="a.py")
        second = write(body.format(["createRuntime"]), name="b.py")
        hook = Hook(path="/bin/true", args=("a", "c1"), env=("A=1",), timeout=3)
        assert ask([first, second], asked(), TRUST) == (
            (("poststop", hook), ("createRuntime", hook)),
            (("createRuntime", hook),),
        )

    @pytest.mark.parametrize(
        ("stage", "hook", "said"),
        [
            pytest.param("createruntime", Hook(path="/x"), 'unknown stage "createruntime"', id="stage"),
            pytest.param("precreate", Hook(path="/x"), 'unknown stage "precreate"', id="filter"),
            pytest.param("poststop", {"path": "/x"}, "expected an ocihooks.Hook, found dict", id="no-hook"),
            pytest.param("poststop", Hook(path="x"), 'expected an absolute path, found "x"', id="relative"),
            pytest.param("poststop", Hook(path="/x", args=("a\0",)), "expected texts without NUL", id="nul"),
            pytest.param("poststop", Hook(path="/x", args=(1,)), "expected texts", id="number"),  # type: ignore[arg-type]
            pytest.param("poststop", Hook(path="/x", env=("A",)), "of the form NAME=value", id="env"),
            pytest.param("poststop", Hook(path="/x", timeout=0), "1 to 3600 whole seconds, found 0", id="zero"),
            pytest.param("poststop", Hook(path="/x", timeout=True), "found True", id="true"),
        ],
    )
    def test_odd_hooks(self, stage: str, hook: Any, said: str) -> None:
        """A hook that could not be written is refused where it is added."""
        creation = Creation(dict(CONFIG))
        with pytest.raises(HookError, match=said):
            creation.add_hook(stage, hook)
        assert creation.hooks == ()

    def test_stage_of_the_library(self) -> None:
        """Stages may be given as members of Stage; they are kept as texts."""
        creation = ocihooks.Creation({})
        creation.add_hook(ocihooks.Stage.POSTSTOP, Hook(path="/x"))
        assert json.dumps(creation.hooks[0][0]) == '"poststop"'

    def test_place_of_an_odd_hook(self, write: Write) -> None:
        """The message names modifier, file and line."""
        word = write("c.add_hook('createruntime', ocihooks.Hook(path='/x'))")
        error = failure(word)
        assert str(error) == f'{word[:-2]}: line 4: modifier "{word}": unknown stage "createruntime"'
        assert "createRuntime" in str(error.hint)


RAISES = [
    pytest.param("raise KeyError('x')", "KeyError: 'x'", id="exception"),
    pytest.param("1 / 0", "ZeroDivisionError: division by zero", id="arithmetic"),
    pytest.param("raise ValueError", "ValueError", id="no-words"),
    pytest.param("raise ValueError('a\\nb\\x1b')", "ValueError: a b\\x1b", id="lines"),
    pytest.param("raise SystemExit(3)", "SystemExit: 3", id="exit"),
    pytest.param("raise KeyboardInterrupt", "KeyboardInterrupt", id="interrupt"),
    pytest.param("f(c)", "RecursionError: maximum recursion depth exceeded", id="recursion"),
    pytest.param("raise BaseException('base')", "BaseException: base", id="base"),
]


class TestFailures:
    """Whatever goes wrong is one sentence with the modifier in it, and no container is created."""

    @pytest.mark.parametrize(("body", "said"), RAISES)
    def test_raised(self, body: str, said: str, write: Write) -> None:
        """What a modifier raises is told with its type, its words and its line."""
        word = write(body)
        error = failure(word)
        assert str(error).startswith(f'{word[:-2]}: line 4: modifier "{word}" failed: {said}'), error
        assert (error.code, "\n" in str(error)) == ("modifier_failed", False)

    def test_refusal(self, write: Write) -> None:
        """A refusal is told in the modifier's words, and no later modifier is asked."""
        word = write("raise ocihooks.RefusedError('no licence for ' + c.id, hint='buy one')")
        error = failure(word, "/nowhere.py:f")
        assert isinstance(error, RefusedError)
        assert str(error) == f'modifier "{word}" refuses the container: no licence for c1'
        assert (error.code, error.hint) == ("modifier_refused", "buy one")

    @pytest.mark.parametrize("value", ["False", "c", "[c]"])
    def test_returned(self, value: str, write: Write) -> None:
        """A modifier that returns something is not understood: the container is not created."""
        error = failure(write(f"return {value}"))
        assert "expected None" in str(error)

    @pytest.mark.parametrize(
        ("body", "said"),
        [
            ("import os; os._exit(0)", "ended its process with status 0"),
            ("import os; os.kill(os.getpid(), 9)", "ended its process by signal 9"),
        ],
        ids=["exit", "killed"],
    )
    def test_ended(self, body: str, said: str, write: Write) -> None:
        """A modifier that ends its process has not answered."""
        first = write("pass", name="a.py")
        word = write(body)
        assert str(failure(first, word)) == f'modifier "{word}" {said}'

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            pytest.param("def f(c:\n", "line 1: modifier {} failed: SyntaxError: '(' was never closed", id="syntax"),
            pytest.param(
                "\nimport none_such\n", "line 2: modifier {} failed: ModuleNotFoundError: No module", id="import"
            ),
            pytest.param("g = 1\n", 'the file of modifier {} has no "f"', id="no-function"),
            pytest.param("f = 1\n", "expected a function as modifier {}, found int", id="no-callable"),
        ],
    )
    def test_loading(self, text: str, said: str, write: Write) -> None:
        """A file that can't be loaded is told with the place, and so does a check, which calls nothing."""
        word = write(text)
        error = failure(word)
        assert said.format(json.dumps(word)) in str(error)
        assert check([word], TRUST) == error.problems

    def test_check_calls_nothing(self, write: Write) -> None:
        """A check loads every modifier by itself, and calls none."""
        good, bad = write("1 / 0"), write("x = \n", name="b.py")
        assert [problem.code for problem in check([good, bad, good], TRUST)] == ["modifier_failed"]

    @pytest.mark.parametrize("word", ["/none/such.py:f", "none_such:f", "ocihooks.none:f", "json:loads"])
    def test_missing(self, word: str) -> None:
        """There is no such file or module; the standard library is not looked at."""
        error = failure(word)
        assert (error.code, bool(error.hint)) == ("modifier_missing", True)
        assert word in str(error)

    def test_untrusted_file(self, write: Write, tmp_path: Path) -> None:
        """A file that somebody else could have written is not executed."""
        word = write("pass")
        Path(word[:-2]).chmod(0o666)
        error = failure(word)
        assert (error.code, "everybody may write it" in str(error)) == ("untrusted", True)


class TestProcess:
    """The caller's process stays as it was."""

    def test_nothing_left(self, write: Write) -> None:
        """Working directory, environment, signals, mask, modules and descriptors are not changed."""
        body = (
            "import os, signal, threading; os.chdir('/'); os.environ['LEFT'] = '1'; os.umask(0); os.setsid;"
            " signal.signal(signal.SIGTERM, signal.SIG_IGN); os.open('/dev/null', os.O_RDONLY);"
            " threading.Thread(target=threading.Event().wait, daemon=True).start()"
        )
        word = write(body)
        mask = os.umask(0o22)
        before = (os.getcwd(), dict(os.environ), signal.getsignal(signal.SIGTERM), sorted(os.listdir("/proc/self/fd")))
        ask([word], asked(), TRUST)
        assert (
            os.getcwd(),
            dict(os.environ),
            signal.getsignal(signal.SIGTERM),
            sorted(os.listdir("/proc/self/fd")),
        ) == before
        assert os.umask(mask) == 0o22
        assert word[:-2] not in sys.modules

    def test_ignored_children(self, write: Write) -> None:
        """Where the engine had SIGCHLD ignored, answers and refusals are heard all the same."""
        former = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        try:
            assert ask([write("pass")], asked(), TRUST) == ((),)
            assert isinstance(failure(write("raise ocihooks.RefusedError('no')")), RefusedError)
        finally:
            signal.signal(signal.SIGCHLD, former)

    def test_leftovers_are_not_waited_for(self, write: Write, tmp_path: Path) -> None:
        """A process that a modifier leaves behind holds nobody up."""
        pid_file = tmp_path / "pid"
        body = f"""
import os, time
def f(c):
    pid = os.fork()
    if not pid:
        time.sleep(60)
        os._exit(0)
    open({str(pid_file)!r}, "w").write(str(pid))
"""
        assert ask([write(body)], asked(), TRUST) == ((),)
        os.kill(int(pid_file.read_text()), signal.SIGKILL)


def make_package(place: Path) -> None:
    """A package `deployed` with a module `audit`, which imports another one."""
    package = place / "deployed"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "names.py").write_text("STAGE = 'poststop'\n")
    (package / "audit.py").write_text(
        "import ocihooks\nfrom deployed.names import STAGE\n\ndef f(c):\n"
        "    c.add_hook(STAGE, ocihooks.Hook(path='/bin/true'))\n"
    )


def test_killed_with_its_caller(write: Write, tmp_path: Path) -> None:
    """When the caller is killed, the process that asks modifiers is killed, too."""
    note = tmp_path / "pid"
    word = write(f"import os, time; open({str(note)!r}, 'w').write(str(os.getpid())); time.sleep(60)")
    code = "import sys; from ocihooks.modifiers.call import *; from ocihooks.trust import trust_here as here;"
    code += " ask([sys.argv[1]], Asked(text='{}', id='', operation='create', bundle='/'), here())"
    caller = subprocess.Popen([sys.executable, "-c", code, word])
    wait_until(lambda: note.exists() and note.read_text() != "")
    caller.kill()
    caller.wait()
    wait_until(lambda: not lives(int(note.read_text())))


def test_interrupted(write: Write, tmp_path: Path) -> None:
    """An exception in the caller while it waits, such as that of Ctrl-C, ends the process that asks modifiers."""
    note = tmp_path / "pid"
    body = (
        f"import os, time; open({str(note)!r}, 'w').write(str(os.getpid())); os.kill(os.getppid(), 10); time.sleep(60)"
    )
    former = signal.signal(signal.SIGUSR1, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            ask([write(body)], asked(), TRUST)
    finally:
        signal.signal(signal.SIGUSR1, former)
    assert not lives(int(note.read_text()))


def lives(pid: int) -> bool:
    """Whether there is such a process, and it has not ended."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait until it holds."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class TestModules:
    """Modifiers of installed modules."""

    def test_found_where_packages_are(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A module is found beside the packages, with all that is above it; sources name each file."""
        make_package(tmp_path)
        monkeypatch.setattr("ocihooks.modifiers.load.package_paths", lambda: (str(tmp_path),))
        monkeypatch.syspath_prepend(str(tmp_path))
        (added,) = ask(["deployed.audit:f"], asked(), TRUST)
        assert [stage for stage, _ in added] == ["poststop"]
        assert list(files_of(["deployed.audit:f"])) == [
            str(tmp_path / "deployed/__init__.py"),
            str(tmp_path / "deployed/audit.py"),
        ]

    def test_not_found_elsewhere(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The working directory and sys.path decide nothing."""
        make_package(tmp_path)
        monkeypatch.chdir(tmp_path)
        monkeypatch.syspath_prepend(str(tmp_path))
        assert failure("deployed.audit:f").code == "modifier_missing"

    def test_package_of_somebody_else(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Every file on the way to the module has to be trusted, and none is executed before."""
        make_package(tmp_path)
        (tmp_path / "deployed/__init__.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
        (tmp_path / "deployed/audit.py").chmod(0o666)
        monkeypatch.setattr("ocihooks.modifiers.load.package_paths", lambda: (str(tmp_path),))
        error = failure("deployed.audit:f")
        assert error.code == "untrusted"
        assert not (tmp_path / "ran").exists()

    @pytest.mark.parametrize("trusted", [True, False], ids=["control", "untrusted"])
    def test_compiled_form_of_somebody_else(
        self, trusted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The compiled form is executed in place of the source, so who may write it decides as well."""
        make_package(tmp_path)
        source, note = tmp_path / "deployed/audit.py", tmp_path / "ran"
        sound = source.read_text()
        evil = f"open({str(note)!r}, 'w')\n"
        source.write_text(evil + sound)
        os.utime(source, (1, 1))
        py_compile.compile(str(source), doraise=True)
        source.write_text("#" * (len(evil) - 1) + "\n" + sound)
        os.utime(source, (1, 1))
        (source.parent / "__pycache__").chmod(0o755 if trusted else 0o777)
        monkeypatch.setattr("ocihooks.modifiers.load.package_paths", lambda: (str(tmp_path),))
        if trusted:
            ask(["deployed.audit:f"], asked(), TRUST)
        else:
            assert failure("deployed.audit:f").code == "untrusted"
        assert note.exists() == trusted


class TestImages:
    """The image of a container, as engines keep it in files of theirs."""

    def image(self, write: Write, tmp_path: Path, config: dict[str, Any], bundle: str = "/b") -> str:
        word = write(f"open({str(tmp_path / 'image')!r}, 'w').write(repr(c.image))")
        ask([word], asked(config, id=ID, bundle=bundle), TRUST)
        return (tmp_path / "image").read_text()

    def docker(self, place: Path, **members: Any) -> dict[str, Any]:
        """Docker's file about the container, and a configuration with its mounts."""
        directory = place / "containers" / ID
        directory.mkdir(parents=True)
        said = {"ID": ID, "Image": f"sha256:{ID}", "Config": {"Image": "web:1"}, **members}
        (directory / "config.v2.json").write_text(json.dumps(said))
        other = place / "containers" / ("f" * 64) / "hosts"
        return {
            "mounts": [{"source": "/x"}, {"source": str(other)}],
            "annotations": {"io.kubernetes.cri.image-name": "x"},
        }

    def test_docker(self, write: Write, tmp_path: Path) -> None:
        """Docker's own file counts more than an annotation, also in the network of another container."""
        config = self.docker(tmp_path)
        assert self.image(write, tmp_path, config) == repr(Image(name="web:1", id=f"sha256:{ID}"))

    @pytest.mark.parametrize("members", [{"ID": "x"}, {"Config": None}, {"Image": 1}], ids=["other", "none", "number"])
    def test_not_docker(self, members: dict[str, Any], write: Write, tmp_path: Path) -> None:
        """A file about another container, or of another form, tells nothing."""
        config = self.docker(tmp_path, **members)
        assert self.image(write, tmp_path, config) == repr(Image(name="x"))

    def test_untrusted(self, write: Write, tmp_path: Path) -> None:
        """A file that others could have written tells nothing."""
        config = self.docker(tmp_path)
        (tmp_path / "containers" / ID / "config.v2.json").chmod(0o666)
        assert self.image(write, tmp_path, config) == repr(Image(name="x"))

    @pytest.mark.parametrize("name", ["containers.json", "volatile-containers.json"])
    def test_podman(self, name: str, write: Write, tmp_path: Path) -> None:
        """Podman's storage has the image's name and id."""
        directory = tmp_path / "overlay-containers"
        (directory / ID / "userdata").mkdir(parents=True)
        entries = [{"id": "other"}, {"id": ID, "image": ID, "metadata": json.dumps({"image-name": "localhost/web:1"})}]
        (directory / name).write_text(json.dumps(entries))
        found = self.image(write, tmp_path, {}, str(directory / ID / "userdata"))
        assert found == repr(Image(name="localhost/web:1", id=f"sha256:{ID}"))

    def test_annotations(self, write: Write, tmp_path: Path) -> None:
        """CRI engines tell it by annotations; an id that is none is left out."""
        annotations = {"io.kubernetes.cri-o.ImageName": "quay.io/web:1", "io.kubernetes.cri-o.ImageRef": ID}
        found = self.image(write, tmp_path, {"annotations": annotations})
        assert found == repr(Image(name="quay.io/web:1", id=f"sha256:{ID}"))
        annotations["io.kubernetes.cri-o.ImageRef"] = "quay.io/web@sha256:1"
        assert self.image(write, tmp_path, {"annotations": annotations}) == repr(Image(name="quay.io/web:1"))

    def test_untrusted_error_is_public(self) -> None:
        """The errors that modifiers raise and meet are public names."""
        assert (ocihooks.RefusedError, ocihooks.UntrustedError) == (RefusedError, UntrustedError)
