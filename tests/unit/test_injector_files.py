"""Injector files: every form of an entry, what holds for all of a file, and what is wrong with the others."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ocihooks.compiled.compile import compile_rules
from ocihooks.document import parse_document
from ocihooks.errors import DocumentError
from ocihooks.injector.files import Entry, InjectorFile, Paths, parse_injector_file
from ocihooks.injector.packing import packed, unpacked
from ocihooks.settings import Settings

FILE = "/etc/oci-injector-hook/a.json"


def parse(flag: str = "X", /, **members: Any) -> InjectorFile:
    """The injector file with these members."""
    return parse_injector_file(json.dumps({"activation_flag": flag, **members}).encode(), FILE)


def values(entry: Entry) -> tuple[Any, ...]:
    """An entry, to be compared."""
    return entry.kind, entry.source, entry.destination, entry.mode, entry.optional, entry.pointer


ENTRIES: dict[str, tuple[str, Any, tuple[Any, ...]]] = {
    "path": ("binaries", "/bin/a", ("/bin/a", "/bin/a", None, False)),
    "path-with-colons": ("binaries", "/sys/0000:00:02.0", ("/sys/0000:00:02.0", "/sys/0000:00:02.0", None, False)),
    "relative-path": ("binaries", "src/a", ("src/a", "src/a", None, False)),
    "directory": ("directories", "/opt", ("", "/opt", None, False)),
    "pair": ("libraries", "/a/b.so:/lib/b.so", ("/a/b.so", "/lib/b.so", None, False)),
    "pair-of-directories": ("directories", "/srv/a:/opt/a", ("/srv/a", "/opt/a", None, False)),
    "object": ("binaries", {"source": "/a:/b"}, ("/a:/b", "/a:/b", None, False)),
    "object-to": ("binaries", {"source": "/a", "destination": "/b:/c"}, ("/a", "/b:/c", None, False)),
    "object-directory": ("directories", {"destination": "/b", "mode": "1777"}, ("", "/b", 0o1777, False)),
    "object-of-nulls": ("binaries", {"source": "/a", "destination": None, "mode": None}, ("/a", "/a", None, False)),
    "mode": ("miscellaneous", {"source": "/a", "mode": "0640"}, ("/a", "/a", 0o640, False)),
    "optional": ("devices", {"source": "/dev/kvm", "optional": True}, ("/dev/kvm", "/dev/kvm", None, True)),
    "pattern": ("devices", "/dev/dri/*", ("/dev/dri/*", "/dev/dri/*", None, False)),
}


@pytest.mark.parametrize("name", ENTRIES)
def test_entries(name: str) -> None:
    """An entry is a path, a pair of paths or an object, in a list or alone."""
    kind, given, expected = ENTRIES[name]
    (first, second) = parse(**{kind: ["/first", given]}).entries
    assert values(second) == (kind, *expected, f"/{kind}/1")
    assert first.pointer == f"/{kind}/0"
    (alone,) = parse(**{kind: given}).entries
    assert values(alone) == (kind, *expected, f"/{kind}")


LISTS: dict[str, tuple[Any, bool]] = {
    "usual": (["/usr/bin/a", "/usr/bin/b", "/b", "/usr/bin/c", "/usr/bin/a"], True),
    "colons": (["/sys/0000:00:02.0", "/sys:x/a", "/a b/\u00e4"], True),
    "one-directory": (["/usr/bin/a", "/usr/bin/b", "/usr/bin/a"], True),
    "directory-in-another": (["/usr/a", "/usr/bin/b", "/usr/c"], True),
    "relative-above": (["/a", "usr/b"], False),
    "relative-name": (["a", "/b"], False),
    "slash-at-the-end": (["/a", "/b/"], False),
    "slashes": (["/a", "/b//c"], False),
    "root": (["/a", "/"], False),
    "slashes-in-front": (["/a", "//c"], False),
    "dot": (["/a", "/./b"], False),
    "dots-at-the-end": (["/a", "/b/.."], False),
    "hidden": (["/a", "/.b"], False),
    "two-planes": (["/a", "/\U0001f600"], True),
    "pair": (["/a", "/b:/c"], False),
    "pair-of-directories": (["/a", "/b:/c/d"], False),
    "object": (["/a", {"source": "/b"}], False),
    "dash": (["/a", "/-b"], False),
    "alone": ("/a", False),
    "empty": ([], False),
}


@pytest.mark.parametrize("name", LISTS)
def test_lists_of_paths(name: str) -> None:
    """A list of paths that are the same in a container is kept as a list, and says the same as each path by itself."""
    given, is_kept = LISTS[name]
    for optional in (True, False):
        file = parse(binaries=given, optional=optional)
        assert [type(part) is Paths for part in file.parts] == ([True] if is_kept else [False] * len(file.entries))
        paths = given if isinstance(given, list) else []
        alone = [parse(binaries=[path], optional=optional).entries[0] for path in paths] or list(file.entries)
        expected = [(*values(entry)[:-1], f"/binaries/{index}") for index, entry in enumerate(alone)]
        assert [(*values(entry)[:-1], f"/binaries/{index}") for index, entry in enumerate(file.entries)] == expected


RUNS = {
    "one": (["/a/b", "/a/c", "/a/b"], [("/a/", ["b", "c", "b"], 0)]),
    "root": (["/a", "/b"], [("/", ["a", "b"], 0)]),
    "three": (["/a/b", "/a/c/d", "/a/e"], [("/a/", ["b"], 0), ("/a/c/", ["d"], 1), ("/a/", ["e"], 2)]),
    "longer-name": (["/a/b", "/ab/c"], [("/a/", ["b"], 0), ("/ab/", ["c"], 1)]),
}


@pytest.mark.parametrize("name", RUNS)
def test_runs(name: str) -> None:
    """The names in a directory that follow each other are kept together."""
    paths, runs = RUNS[name]
    (part,) = parse(binaries=paths).parts
    assert isinstance(part, Paths)
    assert part.runs == runs


@pytest.mark.parametrize("paths", [["/a/b", "/a/c\0/a/d"], ["/a/b\0/a/c", "x"], ["/a/b\0/a/c", "/x"]])
def test_nul_that_looks_like_another_item(paths: list[str]) -> None:
    """A path with NUL is refused, whatever stands behind it."""
    with pytest.raises(DocumentError, match=r"/binaries/[01]: "):
        parse(binaries=paths)


def test_only_files_are_kept_as_lists() -> None:
    """Devices and directories are entries, since there is more to them than a path."""
    file = parse(devices=["/dev/a"], directories=["/a"], binaries=["/b"], libraries=["/c"], miscellaneous=["/d"])
    assert [type(part).__name__ for part in file.parts] == ["Entry", "Entry", "Paths", "Paths", "Paths"]
    assert [entry.source for entry in file.entries] == ["/dev/a", "", "/b", "/c", "/d"]


@pytest.mark.parametrize(
    "bad",
    ["", "/b\0", "/\ud800", "/a\udcff", 5, None, {"source": 1}, {"source": "/\ud800"}],
    ids=["empty", "nul", "half", "other-half", "number", "null", "object", "half-in-object"],
)
def test_faulty_item_of_a_list(bad: Any) -> None:
    """What can't be used in a list of paths is refused by its place."""
    with pytest.raises(DocumentError) as caught:
        parse(libraries=["/a", bad, "/c"])
    assert str(caught.value.problems[0].pointer).startswith("/libraries/1")


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "empty": ({"binaries": [""]}, '/binaries/0: expected a path, found ""'),
    "number": ({"binaries": [5]}, '/binaries/0: expected a path, found "5"'),
    "null": ({"binaries": [None]}, "/binaries/0: expected a path, found null"),
    "nul": ({"binaries": ["/a\0"]}, '/binaries/0: expected a path, found "/a\\u0000"'),
    "three-paths": ({"binaries": ["/a:/b:/c"]}, "expected a path or SOURCE:DESTINATION with two absolute paths"),
    "relative-pair": ({"binaries": ["a:/b"]}, "expected a path or SOURCE:DESTINATION with two absolute paths"),
    "pair-with-option": ({"devices": ["/dev/a:/dev/b:rwm"]}, "expected a path or SOURCE:DESTINATION"),
    "pattern-elsewhere": ({"devices": ["/dev/a*:/dev/b"]}, "/devices/0: a pattern can't have one destination"),
    "member": ({"binaries": [{"source": "/a", "target": "/b"}]}, '/binaries/0: unknown member "target"'),
    "no-source": ({"binaries": [{"destination": "/b"}]}, '/binaries/0: missing required member "source"'),
    "no-paths": ({"directories": [{}]}, '/directories/0: missing required member "source"'),
    "relative": ({"binaries": [{"source": "a"}]}, '/binaries/0/source: expected an absolute path, found "a"'),
    "to-number": ({"binaries": [{"source": "/a", "destination": 1}]}, "/binaries/0/destination: expected an absolute"),
    "mode-number": ({"binaries": [{"source": "/a", "mode": 644}]}, "/binaries/0/mode: expected permission bits"),
    "mode-letters": ({"binaries": [{"source": "/a", "mode": "rwx"}]}, "/binaries/0/mode: expected permission bits"),
    "mode-large": ({"binaries": [{"source": "/a", "mode": "10000"}]}, "/binaries/0/mode: expected permission bits"),
    "optional-text": ({"binaries": [{"source": "/a", "optional": "yes"}]}, "/binaries/0/optional: expected true or"),
    "all-optional-text": ({"optional": 1}, '/optional: expected true or false, found "1"'),
    "way": ({"way": "bind"}, '/way: expected "auto", "mount" or "copy", found "bind"'),
    "way-list": ({"way": ["mount"]}, '/way: expected "auto", "mount" or "copy", found ["mount"]'),
    "env-text": ({"env": "A=1"}, '/env: expected NAME=VALUE, found "A=1"'),
    "env-number": ({"env": ["A=1", 1]}, "/env/1: expected NAME=VALUE"),
    "env-name": ({"env": ["A"]}, '/env/0: expected NAME=VALUE, found "A"'),
    "env-half-pair": ({"env": ["A=\ud800"]}, "/env/0: expected NAME=VALUE"),
    "env-no-name": ({"env": ["=1"]}, "/env/0: expected NAME=VALUE"),
    "env-copied": ({"env": ["A=1"], "way": "copy"}, "/env: a hook can't set variables of a container"),
    "directory-copied": (
        {"directories": ["/a", "/b:/b"], "way": "copy"},
        '/directories/1: a hook can\'t copy the directory "/b"',
    ),
    "env-flag": ({"env": ["X=2"]}, "/env/0: the variable that asks for the file can't be set by it"),
}


@pytest.mark.parametrize("name", BAD)
def test_faults(name: str) -> None:
    """What can't be used is refused with its place and a hint."""
    members, message = BAD[name]
    with pytest.raises(DocumentError) as caught:
        parse(**members)
    assert str(caught.value).startswith(f"{FILE}: ")
    assert message in str(caught.value)
    assert caught.value.hint


def test_all_of_a_file() -> None:
    """A way, variables, and that it is optional hold for all of a file, single entries may differ."""
    file = parse(way="mount", env=["A=1", "B="], optional=True, binaries=["/a", {"source": "/b", "optional": False}])
    assert (file.way, file.env, file.optional) == ("mount", ("A=1", "B="), True)
    assert [entry.optional for entry in file.entries] == [True, False]
    plain = parse(binaries=["/a"])
    assert (plain.way, plain.env, plain.optional) == ("auto", (), False)


PROCESSES: dict[str, tuple[str, int]] = {
    "none": ("null", 0),
    "no-environment": ("{}", 0),
    "asks": ('{"env": ["A=1", "X=1"]}', 1),
    "asks-not": ('{"env": ["A=X", "XY=1", "x=1", "AX=1"]}', 0),
    "asks-with-value": ('{"env": ["Y=2"]}', 1),
    "asks-with-other-value": ('{"env": ["Y=1", "Y=22"]}', 0),
    "asks-for-both": ('{"env": ["Y=2", "X="]}', 2),
    "letter-case": ('{"ENV": ["X=1"]}', 2),
    "repeated": ('{"env": ["X=1"], "env": ["A=1"]}', 2),
    "no-array": ('{"env": "X=1"}', 2),
}


@pytest.mark.parametrize("name", PROCESSES)
def test_asked(name: str) -> None:
    """The compiled rules tell which files a container may ask for: all of them where its environment is doubtful."""
    process, count = PROCESSES[name]
    rules = compile_rules((), Settings(), (), [parse("X"), parse("Y=2")])
    members = parse_document(f'{{"process": {process}}}'.encode(), "config.json").members
    assert len(rules.asked(members["process"])) == count
    assert compile_rules((), Settings(), ()).asked(members["process"]) == ()


def test_packing() -> None:
    """What the compiled rules keep is the whole file."""
    given = parse(way="mount", env=["A=1"], optional=True, devices=["/dev/a", {"source": "/dev/b", "mode": "0600"}])
    back = unpacked(packed(given))
    assert list(map(values, back.entries)) == list(map(values, given.entries))
    for name in ("file", "flag", "way", "optional", "env"):
        assert getattr(back, name) == getattr(given, name)
