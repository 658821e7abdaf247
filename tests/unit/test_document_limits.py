"""Documents at the limits get the verdict that is written down, from each interpreter and from the launcher."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit import launcher_programs
from tests.unit.document_limits import LIMITS, member, nested, verdict_of
from tests.unit.interpreters import interpreters, read_by
from tests.unit.launcher_programs import Builds, Bundle, Case, answers
from tests.unit.shortcut_cases import has_command, readings

builds = launcher_programs.builds
installed = launcher_programs.installed
bundle = launcher_programs.bundle

SCRIPT = Path(__file__).parent / "document_limits.py"
CONFIG_BYTES = 1 << 20
"""What the launcher reads of a config.json."""

Record = Callable[[str, object], None]


@pytest.mark.parametrize("python", interpreters().values(), ids=interpreters().keys())
def test_every_interpreter(python: str, record_property: Record) -> None:
    """Each limit case gets its verdict, whatever the limits of the interpreter itself are."""
    assert len(LIMITS) >= 40
    assert read_by(python, SCRIPT) == {name: verdict for name, (_, verdict) in LIMITS.items()}
    record_property("amount", f"{len(LIMITS)} limits, each interpreter counted")


def test_verdicts_are_of_both_kinds() -> None:
    """What is just within a limit is read, and what is just beyond is refused, so neither happens to all."""
    verdicts = [verdict for _, verdict in LIMITS.values()]
    assert {"ok", "too_deep", "too_large", "not_utf8", "json_syntax", "repeated_member", "member_case"} == set(verdicts)
    assert verdict_of(nested(1024)) == "ok" != verdict_of(nested(1025))
    assert verdict_of(member(b"1")) == "ok" != verdict_of(member(b"1,"))


def test_the_launcher(builds: Builds, bundle: Bundle) -> None:
    """The launcher skips just those that have one command and none of the texts, whatever else is wrong with them."""
    names = list(LIMITS)
    texts = {name: data for name, (data, _) in LIMITS.items()}
    found = answers(
        builds.driver, [Case(bundle.create, {bundle.config: texts[name]}) for name in names], data=bundle.data
    )
    wanted = {name: may_be_skipped(texts[name], bundle.texts) for name in names}
    assert {name: answer == "r" for name, answer in zip(names, found, strict=True)} == wanted
    assert 10 < sum(wanted.values()) < len(names)


def may_be_skipped(data: bytes, texts: tuple[str, ...]) -> bool:
    """Whether the launcher may become the runtime; then no reader sees one of *texts* either."""
    skipped = len(data) <= CONFIG_BYTES and has_command(data) and not any(text.encode() in data for text in texts)
    if skipped:
        for seen in readings(data):
            words = (*seen.annotations, *seen.annotations.values(), *(seen.args or ()))
            assert not any(text in word for text in texts for word in words)
    return skipped
