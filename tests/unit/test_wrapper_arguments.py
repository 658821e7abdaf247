"""How the wrapper reads an engine's command line: recorded calls, spellings, doubts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import ocihooks
from ocihooks.wrapper.arguments import CHANGING, MEMBERS, Call, changes_container, config_file, parse

SOURCE = Path(ocihooks.__file__).parents[1]
RECORDED = json.loads((Path(__file__).parents[1] / "conformance" / "engine_argv.json").read_text())
FLAVOURS = ("runc", "crun", "")
CALLS = [
    pytest.param(call, id=f"{engine['engine']}-{scenario['name']}-{number}-{call['subcommand']}")
    for engine in RECORDED["engines"]
    for scenario in engine["scenarios"]
    for number, call in enumerate(scenario["calls"])
]
SHAPES = [pytest.param(shape["argv"].split(), id=shape["argv"]) for shape in RECORDED["shapes"]]
FORMS = [pytest.param(form, id=" ".join(form["argv"])) for form in RECORDED["forms"]["tried"]]


def _value(argv: list[str], option: str) -> str | None:
    """The value of a long option that stands in *argv* as two words or as one."""
    for number, word in enumerate(argv):
        if word == option:
            return argv[number + 1]
        if word.startswith(f"{option}="):
            return word.removeprefix(f"{option}=")
    return None


def _container_id(argv: list[str], operation: str | None) -> str | None:
    """The id, which all engines put last, except that kill has the signal behind it."""
    if "--help" in argv or operation is None or operation.startswith("-"):
        return None
    return argv[-2] if operation == "kill" else argv[-1]


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("recorded", CALLS)
def test_recorded_call_is_understood(recorded: dict[str, Any], flavour: str) -> None:
    """Each call that a real engine made gives its operation, bundle, log, root and id, by the rules of any runtime."""
    argv = recorded["argv"]
    call = parse(argv, flavour)
    operation = None if argv == ["--version"] else recorded["subcommand"]
    assert call.operation == operation
    assert call.bundle == (_value(argv, "--bundle") or "")
    assert call.log == _value(argv, "--log")
    assert call.log_format == (_value(argv, "--log-format") or "text")
    assert call.root == _value(argv, "--root")
    assert call.container_id == _container_id(argv, operation)
    assert changes_container(call) == (operation == "create")
    assert (call.refused, call.doubt, call.config) == (False, None, "config.json")


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("argv", SHAPES)
def test_recorded_shape_is_understood(argv: list[str], flavour: str) -> None:
    """Each shape of a call gives the bundle and the id that stand in it, and only a create changes a container."""
    call = parse(argv, flavour)
    assert changes_container(call) == ("create" in argv)
    assert call.bundle == ("<path>" if "--bundle" in argv else "")
    assert call.container_id == ("<id>" if "<id>" in argv else None)
    assert (call.refused, call.doubt) == (False, None)


def _ran(form: dict[str, Any], runtime: str) -> bool:
    return bool(form[runtime] == "container ran")


@pytest.mark.parametrize(("runtime", "flavour"), [("runc 1.1.5", "runc"), ("crun 1.8.1", "crun")])
@pytest.mark.parametrize("form", FORMS)
def test_tried_form_names_the_bundle_that_ran(form: dict[str, Any], runtime: str, flavour: str) -> None:
    """Where a real runtime ran the container, the parser names the very configuration that it ran, without a doubt."""
    call = parse(form["argv"], flavour)
    if not _ran(form, runtime):
        assert call.doubt is None
        return
    assert changes_container(call)
    assert (call.refused, call.doubt) == (False, None)
    assert config_file(call) == _configuration_that_ran(form["argv"])


def _configuration_that_ran(argv: list[str]) -> str:
    """b1 is the only bundle there is, and alt.json in b4 the only other configuration."""
    return "b4/alt.json" if any(word.endswith("alt.json") for word in argv) else "b1/config.json"


@pytest.mark.parametrize("form", FORMS)
def test_tried_form_of_an_unknown_runtime(form: dict[str, Any]) -> None:
    """A form that any runtime runs names that configuration for a runtime we don't know, or a doubt."""
    if any(_ran(form, runtime) for runtime in ("runc 1.1.5", "crun 1.8.1")):
        call = parse(form["argv"], "")
        assert changes_container(call)
        assert not call.refused
        assert call.doubt or config_file(call) == _configuration_that_ran(form["argv"])


@pytest.mark.parametrize("argv", [["run", "-b", "b1"], ["run", "-b", "b1", "f1", "extra"]], ids=" ".join)
@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_missing_or_second_id_is_left_to_the_runtime(argv: list[str], flavour: str) -> None:
    """Lines without exactly one id, which both runtimes were seen to refuse, are marked as refused."""
    form = next(form for form in RECORDED["forms"]["tried"] if form["argv"] == argv)
    assert not any(_ran(form, runtime) for runtime in ("runc 1.1.5", "crun 1.8.1"))
    call = parse(argv, flavour)
    assert changes_container(call)
    assert call.refused


ANY = FLAVOURS
RUNC = ("runc",)
CRUN = ("crun",)
READ = {
    "bundle in two words": (ANY, "create --bundle B i", {"bundle": "B"}),
    "bundle in one word": (ANY, "create --bundle=B i", {"bundle": "B"}),
    "short bundle": (ANY, "create -b B i", {"bundle": "B"}),
    "short bundle with equals sign in runc": (RUNC, "create -b=B i", {"bundle": "B"}),
    "short bundle with equals sign in crun": (CRUN, "create -b=B i", {"bundle": "=B"}),
    "short bundle attached": (CRUN, "create -bB i", {"bundle": "B"}),
    "short options in one word": (CRUN, "run -dbB i", {"bundle": "B"}),
    "short options in one word, value apart": (CRUN, "run -db B i", {"bundle": "B"}),
    "bundle with one dash": (RUNC, "create -bundle B i", {"bundle": "B"}),
    "bundle with one dash in one word": (RUNC, "create -bundle=B i", {"bundle": "B"}),
    "one dash in crun is a cluster": (CRUN, "create -bundle=B i", {"bundle": "undle=B"}),
    "short name with two dashes": (RUNC, "create --b B i", {"bundle": "B"}),
    "abbreviated": (CRUN, "create --bund B i", {"bundle": "B"}),
    "abbreviated to one letter": (CRUN, "create --b=B i", {"bundle": "B"}),
    "abbreviated config": (CRUN, "create --conf F --bun B i", {"bundle": "B", "config": "F"}),
    "ambiguous abbreviations with values": (CRUN, "create --pi F --co S -b B i", {"bundle": "B"}),
    "abbreviation of a flag and of a value, before the id": (CRUN, "create --l i", {"bundle": ""}),
    "abbreviation of a flag and of a value, before its value": (CRUN, "create --l x -b B i", {"bundle": "B"}),
    "abbreviated flag": (CRUN, "run --det -b B i", {"bundle": "B"}),
    "abbreviated to one letter of another option": (
        CRUN,
        "restore --f -b B i",
        {"bundle": "B", "config": "config.json"},
    ),
    "options behind the id": (RUNC, "run i --bundle B", {"bundle": "B"}),
    "options around the id": (RUNC, "run --detach i -b B --no-pivot", {"bundle": "B"}),
    "double dash before the id": (ANY, "create -b B -- i", {"bundle": "B"}),
    "double dash before the command": (ANY, "-- create -b B i", {"bundle": "B"}),
    "double dash behind the id": (RUNC, "create -b B i --", {"bundle": "B"}),
    "twice: the last wins": (ANY, "create -b A --bundle B i", {"bundle": "B"}),
    "no bundle": (ANY, "create i", {"bundle": "", "file": "config.json"}),
    "empty bundle": (ANY, "create --bundle= i", {"bundle": "", "file": "config.json"}),
    "a value that looks like an option": (ANY, "create --bundle -d i", {"bundle": "-d"}),
    "a value that is two dashes": (ANY, "create --pid-file -- --bundle B i", {"bundle": "B"}),
    "a negative number": (ANY, "create --preserve-fds -1 -b B i", {"bundle": "B"}),
    "flags with a value": (RUNC, "--debug=false create --no-pivot=false -b B i", {"bundle": "B"}),
    "values of no interest": (
        ANY,
        "create --pid-file P --console-socket S --pidfd-socket=T --preserve-fds 3 --bundle B i",
        {"bundle": "B"},
    ),
    "flags": (ANY, "run --detach --keep --no-pivot --no-new-keyring --no-subreaper --bundle B i", {"bundle": "B"}),
    "global options": (
        ANY,
        "--log-format json --log L --root=R --rootless true --systemd-cgroup --debug create -b B i",
        {"bundle": "B", "log": "L", "log_format": "json", "root": "R"},
    ),
    "cgroup manager": (CRUN, "--cgroup-manager disabled create -b B i", {"bundle": "B"}),
    "log level": (CRUN, "--log-level debug create -b B i", {"bundle": "B"}),
    "criu": (RUNC, "--criu /sbin/criu create -b B i", {"bundle": "B"}),
    "global options with one dash": (RUNC, "-root R -log=L create -b B i", {"bundle": "B", "log": "L", "root": "R"}),
    "global options behind the command": (
        RUNC,
        "create --root R -b B --log L --debug i",
        {"bundle": "B", "log": "L", "root": "R"},
    ),
    "restore": (
        ANY,
        "restore --image-path I --work-path W --manage-cgroups-mode soft --tcp-established --detach --bundle B i",
        {"bundle": "B", "operation": "restore"},
    ),
    "restore of a shell": (
        ANY,
        "restore --shell-job --file-locks --ext-unix-sk --lsm-profile P --console-socket S --bundle B i",
        {"bundle": "B", "operation": "restore"},
    ),
    "restore of runc": (
        RUNC,
        "restore --empty-ns network --auto-dedup --lazy-pages --lsm-mount-context C --no-subreaper -b B i",
        {"bundle": "B"},
    ),
    "other configuration": (CRUN, "run -b B -f F i", {"bundle": "B", "config": "F", "file": "F"}),
    "other configuration attached": (CRUN, "run -b B -fF i", {"file": "F"}),
    "other configuration, long": (CRUN, "run -b B --config=F i", {"file": "F"}),
    "the usual name is in the bundle for crun": (CRUN, "run -b B -f config.json i", {"file": "B/config.json"}),
    "the usual name is in the working directory for runc": (
        RUNC,
        "run -b B --config config.json i",
        {"file": "./config.json"},
    ),
    "other configuration of runc": (RUNC, "run -b B --config x.json i", {"file": "x.json"}),
    "empty configuration of runc": (RUNC, "run -b B --config= i", {"file": "B/config.json"}),
    "bytes that are no UTF-8": (ANY, "create --bundle=/\udcff i", {"bundle": "/\udcff"}),
    "unknown option with a value in the same word": (ANY, "--new=1 create --newer=2 --bundle B i", {"bundle": "B"}),
    "unknown flag before the bundle": (ANY, "create --new --bundle B i", {"bundle": "B"}),
    "unknown option with a value": (ANY, "create --bundle B --new value i", {"bundle": "B"}),
    "unknown options of both kinds": (ANY, "create --new --newer value --bundle B i", {"bundle": "B"}),
    "unknown global flag": (ANY, "--new create --bundle B i", {"bundle": "B"}),
    "unknown global option with a value": (ANY, "--new value create --bundle B i", {"bundle": "B"}),
    "unknown short flag": (ANY, "create -x --bundle B i", {"bundle": "B"}),
    "help switched off": (RUNC, "create --help=false --bundle B i", {"bundle": "B"}),
}


@pytest.mark.parametrize(
    ("flavour", "line", "expected"),
    [
        pytest.param(flavour, line, expected, id=f"{name}-{flavour or 'unknown'}")
        for name, (flavours, line, expected) in READ.items()
        for flavour in flavours
    ],
)
def test_line_is_read_as_the_runtime_reads_it(flavour: str, line: str, expected: dict[str, str]) -> None:
    """A line that the runtime accepts gives what it would use, the id, and no doubt."""
    call = parse(line.split(), flavour)
    found = {"file": config_file(call)} | {name: getattr(call, name) for name in MEMBERS}
    assert {name: found[name] for name in expected} == expected
    assert call.container_id == "i"
    assert changes_container(call)
    assert (call.refused, call.doubt) == (False, None)


@pytest.mark.parametrize(
    ("flavour", "line"),
    [
        ("", "create -b=B i"),
        ("", "create -bundle=B i"),
        ("runc", "create --new --bundle=B i"),
        ("crun", "create --new -bB i"),
        ("", "create --new --config=F i"),
        ("crun", "create -xbB i"),
        ("runc", "create - --bundle B"),
        ("runc", "create i --bundle"),
        ("runc", "create B i -b"),
        ("runc", "create --root R --pid-file"),
        ("runc", "create -1 --bundle B"),
        ("runc", "create -+ --bundle B"),
        ("runc", "create -x --bundle B --"),
        ("runc", "create --root --bundle=B --"),
        ("crun", " ".join(f"--new{number}" for number in range(9)) + " create -b B i"),
        ("crun", "create -b B " + " ".join(f"--new{number}" for number in range(9)) + " i"),
    ],
)
def test_a_line_with_two_meanings_is_in_doubt(flavour: str, line: str) -> None:
    """A line that versions or kinds of runtimes read differently, and may accept, carries a sentence that says so."""
    call = parse(line.split(), flavour)
    assert changes_container(call)
    assert call.doubt
    assert not call.refused


@pytest.mark.parametrize("argv", [["create", " --bundle=B", "i"], ["create", "--bundle=B ", "i"]])
def test_blanks_around_an_option_are_in_doubt(argv: list[str]) -> None:
    """An option with blanks around it is one for runc 1.5 and none for runc 1.1."""
    assert parse(argv, "runc").doubt


def test_a_doubt_names_what_it_is_between() -> None:
    """The sentence shows both bundles, with characters escaped that could forge a line of a log."""
    call = parse(["create", "--new", "--bundle=/a\nb", "i"], "runc")
    assert call.doubt == 'the runtime may take the bundle "/a\\nb" or the working directory as bundle'


@pytest.mark.parametrize(
    "line",
    [
        "--version",
        "-v",
        "--help",
        "features",
        "create --help",
        "run --help",
        "restore --help",
        "create --bundle B --help i",
        "--help create --bundle B i",
        "--version create --bundle B i",
        "checkpoint --help",
        "help create",
        "",
        "--",
        "--root R",
        "spec --bundle B",
        "nosuch --bundle B i",
        "kill create 9",
        "delete --force run",
        "--new kill run 9",
    ],
)
@pytest.mark.parametrize("flavour", FLAVOURS)
def test_other_lines_change_no_container(line: str, flavour: str) -> None:
    """Help, version, every other operation and no operation at all leave containers alone, without any doubt."""
    call = parse(line.split(), flavour)
    assert not changes_container(call)
    assert call.doubt is None


@pytest.mark.parametrize(
    ("flavour", "line"),
    [
        ("runc", "create -h"),
        ("runc", "run -h i"),
        ("runc", "-help create i"),
        ("crun", "create -?"),
        ("crun", "-? create i"),
        ("runc", "-h create i"),
        ("crun", "run -d? i"),
        ("crun", "-V create i"),
        ("crun", "create --usage"),
        ("crun", "create --hel"),
        ("crun", "--vers"),
    ],
)
def test_help_of_one_runtime(flavour: str, line: str) -> None:
    """Each runtime's own spellings of help and version change no container either."""
    call = parse(line.split(), flavour)
    assert call.prints
    assert not changes_container(call)


@pytest.mark.parametrize(
    ("flavour", "line"),
    [
        ("crun", "create i --bundle B"),
        ("crun", "create i --"),
        ("crun", "create --bundle"),
        ("crun", "create -b"),
        ("crun", "create --con i"),
        ("crun", "list --format"),
        ("crun", "restore --bundle B i j k"),
        ("runc", "restore --bundle B i j"),
        ("runc", "create i j --bundle B"),
    ],
)
def test_a_line_that_the_runtime_refuses(flavour: str, line: str) -> None:
    """A line without an id, with several, or without a value is left to the runtime, which has words for it."""
    call = parse(line.split(), flavour)
    assert call.refused
    assert call.doubt is None


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("container_id", ["+i", "+", "0", "_", "i-", "i.--"])
def test_odd_container_id(container_id: str, flavour: str) -> None:
    """Whatever characters an id begins with, it is one, and ends no options."""
    call = parse(["create", "--bundle", "B", container_id], flavour)
    assert (call.bundle, call.container_id, call.refused, call.doubt) == ("B", container_id, False, None)
    if flavour == "runc":
        behind = parse(["create", container_id, "--bundle", "B"], flavour)
        assert (behind.bundle, behind.container_id, behind.refused) == ("B", container_id, False)


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_odd_command(flavour: str) -> None:
    """A word before the command's place is the command, whatever it begins with."""
    call = parse(["+x", "create", "i"], flavour)
    assert (call.operation, changes_container(call)) == ("+x", False)


def test_restore_of_crun_may_have_a_second_argument() -> None:
    """crun takes one or two arguments for restore."""
    call = parse(["restore", "--bundle", "B", "i", "j"], "crun")
    assert (call.bundle, call.container_id, call.refused) == ("B", "i", False)


@pytest.mark.parametrize(
    ("line", "container_id"),
    [
        ("exec --process P --detach --pid-file F i", "i"),
        ("exec -e A=1 -u 0 i sh -c --log", "i"),
        ("update --resources - i", "i"),
        ("update --resources=- i", "i"),
        ("update --memory 100 i", "i"),
        ("ps --format json i", "i"),
        ("kill --all i 9", "i"),
        ("kill i KILL", "i"),
        ("delete -f i", "i"),
        ("checkpoint --image-path D --work-path W --leave-running i", "i"),
        ("state -- i", "i"),
        ("events --interval 1s --stats i", "i"),
        ("list", None),
    ],
)
@pytest.mark.parametrize("flavour", FLAVOURS)
def test_id_of_other_operations(line: str, container_id: str | None, flavour: str) -> None:
    """The container id of the other operations is found behind their options, too."""
    assert parse(line.split(), flavour).container_id == container_id


def test_words_of_a_command_in_the_container_are_no_options() -> None:
    """What exec runs in the container doesn't name our log."""
    call = parse(["--log", "L", "exec", "i", "tool", "--log", "X"], "runc")
    assert call.log == "L"


def test_a_call_shows_what_it_holds() -> None:
    """The representation names every attribute, for whoever debugs."""
    assert repr(parse(["start", "i"])).startswith("Call(bundle='', config='config.json', container_id='i', doubt=None")


WORDS = st.sampled_from(
    [
        *("create", "run", "restore", "start", "kill", "exec", "i", "j", "B", "--", "-", "-1", "-x", "-?", "-d", "-b"),
        *(
            "-bB",
            "-b=B",
            "-dbB",
            "--b",
            "--bund",
            "--bundle",
            "--bundle=B",
            "--config",
            "-f",
            "--no-pivot",
            "--pid-file",
        ),
        *("--root", "--log", "--debug", "--new", "--new=1", "--help", "--help=false"),
    ]
)


@example([])
@settings(deadline=None)
@given(st.lists(WORDS | st.text(), max_size=12))
def test_any_line_can_be_read(argv: list[str]) -> None:
    """Nothing that an engine or a user writes makes the parser fail, and what it says hangs together."""
    for flavour in FLAVOURS:
        call = parse(argv, flavour)
        assert isinstance(call, Call)
        assert not (call.refused and call.doubt)
        assert call.operation in CHANGING or call.doubt is None


@settings(deadline=None)
@given(st.lists(st.sampled_from(["--new", "--new=1", "--pid-file=P", "--no-pivot"]), max_size=6))
def test_options_we_do_not_know_never_lose_the_bundle(extra: list[str]) -> None:
    """Where a bundle in two words is followed by the id, options before it leave no other reading that is accepted."""
    for flavour in FLAVOURS:
        call = parse(["create", *extra, "--bundle", "B", "i"], flavour)
        assert (call.bundle, call.refused, call.doubt) == ("B", False, None)


def test_the_warm_path_imports_nothing() -> None:
    """The modules that run before every container bring no other module with them, beyond what CPython starts with."""
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); before = set(sys.modules)\n"
        "import ocihooks.wrapper.arguments, ocihooks.wrapper.become, ocihooks.wrapper.report\n"
        "ocihooks.wrapper.arguments.parse(['create', '--bundle', 'B', 'i'])\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    command = [sys.executable, "-I", "-S", "-c", script, str(SOURCE)]
    imported = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    assert imported == [
        "ocihooks",
        "ocihooks.wrapper",
        "ocihooks.wrapper.arguments",
        "ocihooks.wrapper.become",
        "ocihooks.wrapper.logline",
        "ocihooks.wrapper.report",
    ]
