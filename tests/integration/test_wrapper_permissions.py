"""Who may own and write what root is going to run: rule, directory, directory above, hook program, interpreter."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.integration.wrappers import Simulated, assert_refused, rules_of

from ocihooks.errors import UntrustedError
from ocihooks.hooksd.manager import HookManager
from ocihooks.install.install import Request, prepare_install

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files away")

Record = Callable[[str, object], None]

GROUP, OTHERS, OWNER = "group 1 may write", "everybody may write", "belongs to user 1"


@dataclass(frozen=True, kw_only=True)
class Row:
    """A mode and owners, and what a refusal says; None: all is well."""

    mode: int
    uid: int = 0
    gid: int = 0
    refusal: str | None = None

    def apply(self, path: Path) -> None:
        """Give *path* this mode and these owners."""
        os.chown(path, self.uid, self.gid)
        path.chmod(self.mode)


FILES = {
    "0644": Row(mode=0o644),
    "0600": Row(mode=0o600),
    "0664-root": Row(mode=0o664),
    "0664-group": Row(mode=0o664, gid=1, refusal=GROUP),
    "0646": Row(mode=0o646, refusal=OTHERS),
    "0644-user": Row(mode=0o644, uid=1, refusal=OWNER),
}
PROGRAMS = {
    "0755": Row(mode=0o755),
    "0700": Row(mode=0o700),
    "0775-root": Row(mode=0o775),
    "0775-group": Row(mode=0o775, gid=1, refusal=GROUP),
    "0757": Row(mode=0o757, refusal=OTHERS),
    "0755-user": Row(mode=0o755, uid=1, refusal=OWNER),
    "0644": Row(mode=0o644, refusal="not executable"),
}
DIRECTORIES = {
    **{name: row for name, row in PROGRAMS.items() if name != "0644"},
    "1777": Row(mode=0o1777),
}
TARGETS: dict[str, tuple[Callable[[Simulated], Path], dict[str, Row]]] = {
    "file": (lambda simulated: simulated.wrapper.hooks_dirs[0] / "a.json", FILES),
    "directory": (lambda simulated: simulated.wrapper.hooks_dirs[0], DIRECTORIES),
    "parent": (lambda simulated: simulated.wrapper.directory, DIRECTORIES),
    "binary": (lambda simulated: simulated.wrapper.settings.parent / "program", PROGRAMS),
    "parent-of-binary": (lambda simulated: simulated.wrapper.settings.parent, DIRECTORIES),
}
CASES = [
    pytest.param(target, row, id=f"{target}-{name}")
    for target, (_, rows) in TARGETS.items()
    for name, row in rows.items()
]


def write_rule(simulated: Simulated) -> None:
    """Write a rule with a program of its own."""
    program = simulated.wrapper.settings.parent / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    simulated.wrapper.write_rule("a.json", hook={"path": str(program)})


@pytest.mark.parametrize(("target", "row"), CASES)
def test_permissions(simulated: Simulated, target: str, row: Row, record_property: Record) -> None:
    """What others could have written is refused with its name and the remedy, and nothing is changed; else it runs."""
    wrapper = simulated.wrapper
    write_rule(simulated)
    path = TARGETS[target][0](simulated)
    before = simulated.bundle.config_path.read_bytes()
    row.apply(path)
    try:
        call = simulated.create()
    finally:
        Row(mode=0o755).apply(wrapper.directory)
    record_property("amount", "1 modes and owners")
    if row.refusal is None:
        assert (call.returncode, call.stderr) == (0, ""), call
        assert rules_of(simulated.bundle) == ["a.json"]
        return
    assert_refused(call, row.refusal, str(path), "hint: ch")
    assert simulated.bundle.config_path.read_bytes() == before
    assert simulated.fake.calls() == ()


@pytest.mark.parametrize("form", ["script"], indirect=True)
def test_whoever_does_not_look_takes_all(simulated: Simulated, record_property: Record) -> None:
    """Control: read without a look at owners and modes, as the format's other readers do, each such rule is used."""
    wrapper, taken = simulated.wrapper, []
    refused = [
        (name, row)
        for name, (_, rows) in TARGETS.items()
        for row in rows.values()
        if row.refusal in (GROUP, OTHERS, OWNER)
    ]
    for target, row in refused:
        write_rule(simulated)
        path = TARGETS[target][0](simulated)
        row.apply(path)
        try:
            taken += [rule.name for rule in HookManager(wrapper.hooks_dirs).rules if rule.status == "active"]
        finally:
            Row(mode=0o755).apply(path)
    assert taken == ["a.json"] * len(refused)
    record_property("control", f"{len(taken)} files that others could have written, and that are used")


@pytest.mark.parametrize("row", [pytest.param(row, id=name) for name, row in DIRECTORIES.items() if name != "1777"])
@pytest.mark.parametrize("target", ["interpreter", "parent"])
def test_permissions_of_the_interpreter(tmp_path: Path, target: str, row: Row, record_property: Record) -> None:
    """An interpreter that others could have written, or put there, is refused when the wrapper is installed."""
    directory = tmp_path / "python"
    directory.mkdir(mode=0o755)
    python = directory / "python"
    shutil.copy(os.path.realpath(sys.executable), python)
    row.apply(python if target == "interpreter" else directory)
    record_property("amount", "1 modes and owners")
    request = Request(prefix=str(tmp_path / "prefix"), runtime="/bin/true", python=str(python), launcher=False)
    if row.refusal is None:
        assert prepare_install(request).record.python == str(python)
        return
    with pytest.raises(UntrustedError, match=row.refusal) as caught:
        prepare_install(request)
    assert caught.value.hint
    assert not (tmp_path / "prefix").exists()
