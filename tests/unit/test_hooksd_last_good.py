"""Which rules a monitor keeps although their files do not say so any more."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ocihooks.errors import Diagnostic
from ocihooks.hooksd.config import HookConfig, When
from ocihooks.hooksd.directories import Rule
from ocihooks.hooksd.last_good import kept, vanished, with_rules
from ocihooks.hooksd.manager import Snapshot
from ocihooks.spec.hook import Hook

if TYPE_CHECKING:
    from ocihooks.hooksd.directories import RuleStatus


def rule(file: str, status: RuleStatus = "active", *overrides: str, codes: tuple[str, ...] = ()) -> Rule:
    """A rule of the last directory or of the first; an invalid one has an error, unless *codes* say which."""
    config = HookConfig(hook=Hook(path="/x"), when=When(always=True), stages=()) if status == "active" else None
    codes = codes or (("json_syntax",) if status == "invalid" else ())
    return Rule(
        name=file.rpartition("/")[2],
        file=file,
        config=config,
        status=status,
        problems=tuple(Diagnostic("bad", code=code, file=file) for code in codes),
        overrides=overrides,
    )


def snapshot(*rules: Rule, unlisted: str | None = None) -> Snapshot:
    """What a manager that is not strict finds."""
    problems = [Diagnostic("bad", code="read_failed", file=unlisted)] if unlisted else []
    problems += [problem for rule in rules for problem in rule.problems]
    refused = tuple(problem for problem in problems if problem.code != "missing_program")
    return Snapshot(
        directories=("/usr", "/etc"), rules=rules, problems=tuple(problems), refused=refused, programs={"/x": True}
    )


OLD = rule("/usr/a.json")
OWN = rule("/etc/a.json", "active", "/usr/a.json")

CASES = [
    # before, now, the files whose rules are kept, the files whose rules have vanished
    pytest.param(OLD, snapshot(OLD), [], [], id="unchanged"),
    pytest.param(OLD, snapshot(rule("/usr/a.json", "invalid")), ["/usr/a.json"], [], id="broken"),
    pytest.param(OLD, snapshot(), [], ["/usr/a.json"], id="deleted"),
    pytest.param(OLD, snapshot(rule("/usr/a.json", "masked")), [], ["/usr/a.json"], id="emptied"),
    pytest.param(OLD, snapshot(OWN), [], [], id="overridden"),
    pytest.param(OLD, snapshot(rule("/etc/a.json", "active")), [], ["/usr/a.json"], id="replaced-elsewhere"),
    pytest.param(
        OLD, snapshot(rule("/etc/a.json", "invalid", "/usr/a.json")), ["/usr/a.json"], [], id="override-is-broken"
    ),
    pytest.param(OLD, snapshot(rule("/etc/a.json", "invalid")), [], ["/usr/a.json"], id="only-a-broken-override-left"),
    pytest.param(OLD, snapshot(rule("/etc/a.json", "masked", "/usr/a.json")), [], ["/usr/a.json"], id="masked"),
    pytest.param(OWN, snapshot(OLD), [], ["/etc/a.json"], id="override-is-gone"),
    pytest.param(OWN, snapshot(rule("/usr/a.json", "invalid")), [], ["/etc/a.json"], id="broken-one-is-left"),
    pytest.param(
        OLD, snapshot(rule("/usr/a.json", "invalid", codes=("missing_program",))), [], ["/usr/a.json"], id="no-program"
    ),
    pytest.param(
        OLD,
        snapshot(rule("/usr/a.json", "invalid", codes=("missing_program", "json_type"))),
        ["/usr/a.json"],
        [],
        id="no-program-and-broken",
    ),
    pytest.param(OLD, snapshot(unlisted="/usr"), ["/usr/a.json"], [], id="directory-can't-be-listed"),
    pytest.param(OWN, snapshot(OLD, unlisted="/etc"), ["/etc/a.json"], [], id="directory-of-the-override-can't"),
    pytest.param(OLD, snapshot(rule("/etc/a.json"), unlisted="/usr"), [], ["/usr/a.json"], id="overridden-meanwhile"),
    pytest.param(OLD, snapshot(unlisted="/etc"), [], ["/usr/a.json"], id="other-directory-can't"),
    pytest.param(
        rule("/etc/a.json", "masked"), snapshot(OLD, unlisted="/etc"), ["/etc/a.json"], [], id="mask-can't-be-seen"
    ),
    pytest.param(rule("/etc/a.json", "masked"), snapshot(OLD), [], [], id="mask-is-gone"),
    pytest.param(rule("/usr/a.json", "invalid"), snapshot(), [], [], id="invalid-one-is-gone"),
]


@pytest.mark.parametrize(("before", "now", "stay", "gone"), CASES)
def test_case(before: Rule, now: Snapshot, stay: list[str], gone: list[str]) -> None:
    """A broken file or a directory that can't be listed keeps what was; what is gone or taken out has vanished."""
    keep = kept([before], now)
    assert [rule.file for rule in keep] == stay
    assert [rule.status for rule in keep] == [before.status] * len(keep)
    assert [rule.file for rule in vanished([before], with_rules(now, keep))] == gone


def test_kept_rule() -> None:
    """A kept rule says what is wrong with its file, and that it stays; a second reading changes nothing."""
    now = snapshot(rule("/usr/a.json", "invalid"))
    (once,) = kept([OLD], now)
    assert once.config == OLD.config
    assert [str(problem) for problem in once.problems] == [
        "/usr/a.json: bad",
        "/usr/a.json: can't be used, so its last good version stays in use until it is mended",
    ]
    assert kept([once], now) == (once,)


def test_merged_rules() -> None:
    """Kept rules stand in their places in the order, their findings among the problems, each once."""
    now = snapshot(rule("/usr/a.json", "invalid"), rule("/usr/b.json"))
    keep = kept([OLD], now)
    merged = with_rules(with_rules(now, keep), [*keep, rule("/usr/Aa.json")])
    assert [(rule.name, rule.status) for rule in merged.rules] == [
        ("a.json", "active"),
        ("Aa.json", "active"),
        ("b.json", "active"),
    ]
    assert [problem.code for problem in merged.problems] == ["json_syntax", "last_good_kept"]
    assert merged.programs == now.programs


def test_nothing_to_merge() -> None:
    """Without rules to keep, what was found stays as it is."""
    now = snapshot(OLD, rule("/usr/b.json", "invalid"))
    assert with_rules(now, ()) == now
