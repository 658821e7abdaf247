"""Bad input of the programs that stand in for others: a message, a status that is not 0, config.json untouched."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from tests.integration.dropins import ADD_HOOKS, TOOLKIT, Place, Programs, install_programs, make_place


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Programs:
    """The programs, installed for this module."""
    return install_programs(tmp_path_factory.mktemp("dropins"))


@pytest.fixture
def place(tmp_path: Path, programs: Programs) -> Place:
    """A place in which everything is fine."""
    return make_place(tmp_path, programs)


def assert_refused(place: Place, done: subprocess.CompletedProcess[str], program: str, fragment: str) -> None:
    """The call ended with a sentence that has *fragment*, no runtime was called, and config.json is as it was."""
    assert done.returncode == 1, done
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert lines[0].startswith(f"{program}: "), done
    assert fragment in lines[0], done
    assert any(line.startswith("hint: ") for line in lines), done
    assert "Traceback" not in done.stderr
    assert "internal error" not in done.stderr
    assert place.fake.calls() == ()
    assert "hooks" not in place.bundle.config()


F, R, F_VALUE, R_VALUE = "--hook-config-path", "--runtime-path", "{hooks}", "{runtime}"

WORDS = {
    "nothing": ([], "--hook-config-path and --runtime-path: missing"),
    "no-hook-file": ([R, R_VALUE, "create"], "expected --hook-config-path, found"),
    "no-runtime": ([F, F_VALUE, "create"], "expected --runtime-path, found"),
    "no-runtime-at-the-end": ([F, F_VALUE], "--runtime-path: missing"),
    "no-value": ([F, F_VALUE, R], "--runtime-path: expected a path, found none"),
    "empty-runtime": ([F, F_VALUE, R, "", "create"], "--runtime-path: expected a path, found none"),
    "empty-hook-file": ([f"{F}=", R, R_VALUE, "create"], "--hook-config-path: expected a path, found none"),
    "twice": ([F, F_VALUE, F, F_VALUE, R, R_VALUE, "create"], "--hook-config-path: expected it once, found it twice"),
    "no-arguments": ([F, F_VALUE, R, R_VALUE], "expected the runtime's arguments"),
    "unknown": (["--bogus", "x", F, F_VALUE, R, R_VALUE, "create"], 'found "--bogus"'),
    "one-dash": (["-hook-config-path", F_VALUE, R, R_VALUE, "create"], 'found "-hook-config-path"'),
    "of-the-runtime-first": (["--debug", F, F_VALUE, R, R_VALUE, "create"], 'found "--debug"'),
    "no-such-runtime": ([F, F_VALUE, R, "nowhere-runtime", "state", "x"], 'runtime "nowhere-runtime" is not on PATH'),
}


@pytest.mark.parametrize(("words", "fragment"), WORDS.values(), ids=WORDS)
def test_command_line(words: list[str], fragment: str, place: Place) -> None:
    """A line without both options at its beginning is refused, and the message says what is wrong."""
    texts = {F_VALUE: str(place.hooks), R_VALUE: str(place.fake.path)}
    done = place.call(place.programs.add_hooks, *(texts.get(word, word) for word in words))
    assert_refused(place, done, ADD_HOOKS, fragment)


HOOK_FILES = {
    # name: (nested form, bare form, what the message has)
    "empty": ("", "", "the file is empty"),
    "of-no-json": ("{", "{", "not JSON"),
    "byte-order-mark": ('\ufeff{"hooks": {}}', "\ufeff{}", "byte order mark"),
    "a-number": ("7", "7", "expected an object"),
    "an-array": ('{"hooks": []}', "[]", "expected an object"),
    "unknown-stage": ('{"hooks": {"preStart": []}}', '{"preStart": []}', "preStart"),
    "a-stage-of-another-kind": ('{"hooks": {"preDestroy": []}}', '{"preDestroy": []}', 'unknown stage "preDestroy"'),
    "stage-of-wrong-type": ('{"hooks": {"prestart": {}}}', '{"prestart": {}}', "expected an array, found an object"),
    "hook-of-wrong-type": ('{"hooks": {"prestart": ["x"]}}', '{"prestart": ["x"]}', "expected an object"),
    "path-of-wrong-type": (
        '{"hooks": {"prestart": [{"path": 5}]}}',
        '{"prestart": [{"path": 5}]}',
        "expected a string, found a number",
    ),
}


@pytest.mark.parametrize(("nested", "bare", "fragment"), HOOK_FILES.values(), ids=HOOK_FILES)
def test_hook_file(nested: str, bare: str, fragment: str, place: Place) -> None:
    """A hook file that can't be used stops a create in both programs; the message names it and the place."""
    place.hooks.write_text(nested)
    assert_refused(place, place.add_hooks(*place.create()), ADD_HOOKS, fragment)
    place.hooks.write_text(bare)
    done = place.toolkit(*place.create())
    assert_refused(place, done, TOOLKIT, fragment)
    assert str(place.hooks) in done.stderr


ONLY_NESTED = {
    "null": ("null", "expected an object"),
    "without-hooks": ('{"other": 1}', 'missing required member "hooks"'),
    "hooks-of-wrong-type": ('{"hooks": "x"}', "expected an object, found a string"),
}


@pytest.mark.parametrize(("text", "fragment"), ONLY_NESTED.values(), ids=ONLY_NESTED)
def test_nested_hook_file(text: str, fragment: str, place: Place) -> None:
    """oci-add-hooks wants an object with a member hooks."""
    place.hooks.write_text(text)
    assert_refused(place, place.add_hooks(*place.create()), ADD_HOOKS, fragment)


ONLY_BARE = {
    "the-other-form": ('{"hooks": {"prestart": []}}', "top level"),
    "timeout-with-a-fraction": ('{"prestart": [{"path": "/x", "timeout": 1.5}]}', "whole number of seconds, found 1.5"),
    "timeout-too-big": ('{"prestart": [{"path": "/x", "timeout": 9223372036854775808}]}', "whole number of seconds"),
}


@pytest.mark.parametrize(("text", "fragment"), ONLY_BARE.values(), ids=ONLY_BARE)
def test_bare_hook_file(text: str, fragment: str, place: Place) -> None:
    """container-hooks-runtime wants the stages at the top level, and timeouts that runtimes can read."""
    place.hooks.write_text(text)
    assert_refused(place, place.toolkit(*place.create()), TOOLKIT, fragment)


def test_missing_hook_file(place: Place) -> None:
    """oci-add-hooks refuses to go on without its hook file; for container-hooks-runtime there are no hooks then."""
    place.hooks.unlink()
    assert_refused(place, place.add_hooks(*place.create()), ADD_HOOKS, "the hook file can't be read: it does not exist")
    assert place.toolkit(*place.create()).returncode == 0
    assert len(place.fake.calls()) == 1


@pytest.mark.parametrize("what", ["directory", "fifo"])
def test_something_else_as_hook_file(what: str, place: Place) -> None:
    """A directory or a FIFO in place of the hook file is refused, and nobody waits."""
    place.hooks.unlink()
    place.hooks.mkdir() if what == "directory" else os.mkfifo(place.hooks)
    assert_refused(place, place.add_hooks(*place.create()), ADD_HOOKS, "expected a regular file")
    assert_refused(place, place.toolkit(*place.create()), TOOLKIT, "expected a regular file")


def directory(path: Path) -> None:
    path.mkdir()


def text(path: Path) -> None:
    path.write_text("exit 0\n")


def fifo(path: Path) -> None:
    os.mkfifo(path)


def empty(path: Path) -> None:
    path.write_text("")


def script_without_interpreter(path: Path) -> None:
    path.write_text("#!/nowhere/sh\n")


def link_to_nowhere(path: Path) -> None:
    path.symlink_to("/nowhere/at/all")


RUNTIMES = {
    "directory": (directory, 0o755, "expected an OCI runtime, found a directory"),
    "not-executable": (text, 0o644, "the OCI runtime is not executable"),
    "no-shebang": (text, 0o755, "found a file that this machine can't execute"),
    "empty": (empty, 0o755, "found a file that this machine can't execute"),
    "fifo": (fifo, 0o755, "found something that is no regular file"),
    "missing-interpreter": (script_without_interpreter, 0o755, "needs an interpreter"),
    "link-to-nowhere": (link_to_nowhere, None, "does not exist"),
    "missing": (lambda path: None, None, "does not exist"),
}


@pytest.mark.parametrize(("make", "mode", "fragment"), RUNTIMES.values(), ids=RUNTIMES)
def test_runtime(make: object, mode: int | None, fragment: str, place: Place) -> None:
    """A runtime that can't be started is noticed before config.json is touched."""
    runtime = place.directory / "runtime"
    assert callable(make)
    make(runtime)
    if mode is not None:
        runtime.chmod(mode)
    own = ("--hook-config-path", str(place.hooks), "--runtime-path", str(runtime))
    done = place.call(place.programs.add_hooks, *own, *place.create())
    assert_refused(place, done, ADD_HOOKS, fragment)
    assert str(runtime) in done.stderr


def test_runtime_is_ourselves(place: Place) -> None:
    """A program that is told to be its own runtime refuses."""
    own = ("--hook-config-path", str(place.hooks), "--runtime-path", place.programs.add_hooks)
    done = place.call(place.programs.add_hooks, *own, *place.create())
    assert_refused(place, done, ADD_HOOKS, "found the wrapper that stands in front of it")
    place.write_hooks({}, nested=False)
    place.write_settings(runtimes=[place.programs.toolkit])
    for words in (place.create(), ("state", "c1")):
        done = place.toolkit(*words)
        assert_refused(place, done, TOOLKIT, "found the wrapper that stands in front of it")


def test_no_candidate(place: Place) -> None:
    """Where no candidate is a program, container-hooks-runtime names them all and the settings."""
    place.write_settings(runtimes=["nowhere-one", "/nowhere/two", ""])
    done = place.toolkit(*place.create())
    assert_refused(place, done, TOOLKIT, 'no candidate is an executable file: "nowhere-one", "/nowhere/two", ""')
    assert str(place.programs.settings) in done.stderr


SETTINGS = {
    "no-toml": ("[container-hooks-runtime\n", "not TOML"),
    "a-key-twice": ('[container-hooks]\npath = "/a"\npath = "/b"\n', "not TOML"),
    "not-utf8": ('[container-hooks]\npath = "\udcff"\n', "not UTF-8"),
    "runtimes-text": ('[container-hooks-runtime]\nruntimes = "runc"\n', "container-hooks-runtime.runtimes: expected"),
    "runtimes-numbers": ("[container-hooks-runtime]\nruntimes = [1]\n", "container-hooks-runtime.runtimes: expected"),
    "path-number": ("[container-hooks]\npath = 1\n", "container-hooks.path: expected a path, found 1"),
    "no-table": ("container-hooks = 1\n", "container-hooks: expected a table"),
    "another-programs-key": ("[container-hooks-ctk]\npath = []\n", "container-hooks-ctk.path: expected a path"),
}

CHANGING = ("create", "run", "restore")


@pytest.mark.parametrize(("text", "fragment"), SETTINGS.values(), ids=SETTINGS)
def test_broken_settings(text: str, fragment: str, place: Place) -> None:
    """Broken settings stop create, run and restore with a message, and nothing else."""
    place.programs.settings.write_bytes(text.encode("utf-8", "surrogateescape"))
    path = place.directory / "bin"
    path.mkdir()
    (path / "runc").symlink_to(place.fake.path)
    for operation in CHANGING:
        done = place.toolkit(operation, "--bundle", str(place.bundle.directory), "c1", env={"PATH": str(path)})
        assert_refused(place, done, TOOLKIT, fragment)
        assert done.stderr.splitlines()[0].endswith("; container not created")
    for words in (
        ("state", "c1"),
        ("delete", "--force", "c1"),
        ("kill", "c1"),
        ("start", "c1"),
        ("exec", "c1", "create"),
    ):
        done = place.toolkit(*words, env={"PATH": str(path)})
        assert "container-hooks" not in done.stderr
    assert len(place.fake.calls()) == 5
    assert place.fake.calls()[0].argv[1:] == ("state", "c1")


def test_settings_in_a_directory(place: Place) -> None:
    """A directory in place of the settings is told as such."""
    place.programs.settings.unlink()
    place.programs.settings.mkdir()
    try:
        assert_refused(place, place.toolkit(*place.create()), TOOLKIT, "expected a regular file")
    finally:
        place.programs.settings.rmdir()


CONFIGS = {
    "of-no-json": (b"{", "not JSON"),
    "byte-order-mark": (b"\xef\xbb\xbf{}", "byte order mark"),
    "nan": (b'{"x": NaN}', "not JSON"),
    "hooks-array": (b'{"ociVersion": "1.0.2", "hooks": []}', "expected an object, found an array"),
    "stage-object": (b'{"ociVersion": "1.0.2", "hooks": {"prestart": {}}}', "expected an array, found an object"),
}


@pytest.mark.parametrize(("data", "fragment"), CONFIGS.values(), ids=CONFIGS)
def test_config(data: bytes, fragment: str, place: Place) -> None:
    """A config.json that can't be understood is left as it is, by both programs."""
    place.bundle.write_config(data)
    done = place.add_hooks(*place.create())
    place.write_hooks({"prestart": [{"path": "/x"}]}, nested=False)
    for program, one in ((ADD_HOOKS, done), (TOOLKIT, place.toolkit(*place.create()))):
        assert (one.returncode, one.stdout) == (1, "")
        assert one.stderr.startswith(f"{program}: {place.bundle.config_path}")
        assert fragment in one.stderr
    assert place.bundle.config_path.read_bytes() == data
    assert place.fake.calls() == ()


def test_config_with_null_hooks(place: Place) -> None:
    """Null hooks in config.json count as none."""
    place.bundle.write_config(b'{"ociVersion": "1.0.2", "hooks": null}')
    assert place.add_hooks(*place.create()).returncode == 0
    assert len(place.stage("createRuntime")) == 1


def test_member_of_wrong_type(place: Place) -> None:
    """container-hooks-runtime refuses a config.json that no runtime could read, but leaves numbers to the runtime."""
    place.write_hooks({}, nested=False)
    place.bundle.write_config(b'{"ociVersion": "1.0.2", "linux": {"resources": {"memory": {"limit": 1e9}}}}')
    assert place.toolkit(*place.create()).returncode == 0
    place.bundle.write_config(b'{"ociVersion": "1.0.2", "hostname": 5}')
    done = place.toolkit(*place.create())
    assert done.returncode == 1
    assert f"{place.bundle.config_path}: /hostname: expected a string, found a number" in done.stderr


NO_BUNDLE = {
    "nothing-behind-it": (["create", "c1", "--bundle"], "found the end of the command line"),
    "empty": (["create", "--bundle", "", "c1"], "found an empty word"),
    "empty-with-equals": (["create", "--bundle=", "c1"], "found an empty word"),
}


@pytest.mark.parametrize(("words", "fragment"), NO_BUNDLE.values(), ids=NO_BUNDLE)
def test_bundle_option_without_directory(words: list[str], fragment: str, place: Place) -> None:
    """container-hooks-runtime refuses a bundle option without a directory."""
    assert_refused(place, place.toolkit(*words), TOOLKIT, fragment)


def test_message_in_the_log_of_the_runtime(place: Place) -> None:
    """A refusal also stands in the file behind --log, in its format, where engines look."""
    place.hooks.write_text("{")
    log = place.directory / "runtime.json"
    place.add_hooks("--log", str(log), "--log-format", "json", *place.create())
    assert '"level":"error","msg":"oci-add-hooks: ' in log.read_text()
