"""
The shortcut on create never skips a container that a rule matches, or about which a rule can't be decided.

Made-up rules and configurations, the library as the oracle; see shortcut_cases. The launcher's decision is computed by
a model of it, and by the program itself for a part of the cases.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.unit import launcher_programs, shortcut_cases
from tests.unit.launcher_programs import Builds, Case, answers
from tests.unit.shortcut_cases import (
    WORDS,
    ConfigCase,
    RuleCase,
    config_case,
    has_command,
    make_config,
    make_rules,
    may_match,
    may_skip,
    read_rule,
    rule_case,
)

from ocihooks.compiled.skip import encode
from ocihooks.compiled.snapshot import snapshot
from ocihooks.injector.files import InjectorFile

builds = launcher_programs.builds

RULES, CONFIGS = 16, 16
"""How many of each are combined with each other."""

Decision = Callable[[RuleCase, ConfigCase], bool]


def pairs(seed: int, count: int) -> Iterator[tuple[RuleCase, ConfigCase]]:
    """*count* combinations of rules and configurations that have words in common."""
    rng = random.Random(seed)
    for _ in range(0, count, RULES * CONFIGS):
        words = rng.sample(WORDS, 6)
        configs = [make_config(rng, words) for _ in range(CONFIGS)]
        for _ in range(RULES):
            rules = make_rules(rng, words)
            yield from ((rules, config) for config in configs)


def skipped_matches(decide: Decision, seed: int, count: int) -> list[tuple[RuleCase, ConfigCase]]:
    """The combinations that are skipped by *decide* although a rule may match."""
    return [
        (rules, config) for rules, config in pairs(seed, count) if decide(rules, config) and may_match(rules, config)
    ]


def shown(found: list[tuple[RuleCase, ConfigCase]]) -> str:
    """The first of the combinations that should not be."""
    rules, config = found[0]
    return f"{[rule.when for rule in rules.rules]}\n{rules.texts!r}\n{config.data!r}"


def test_no_match_is_skipped() -> None:
    """In none of 30,000 combinations is a container skipped that a rule may match."""
    found = skipped_matches(may_skip, seed=1, count=30_000)
    assert not found, shown(found)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 110))
def test_no_match_is_skipped_in_a_million(seed: int) -> None:
    """In none of ten times 100,000 further combinations is a container skipped that a rule may match."""
    found = skipped_matches(may_skip, seed, count=100_000)
    assert not found, shown(found)


def without_unicode_rule(rules: RuleCase, config: ConfigCase) -> bool:
    """A launcher that does not look for escapes by number."""
    data = config.data.replace(b"\\u", b"")
    return rules.texts is not None and has_command(data) and not any(text in config.data for text in rules.texts)


def without_slash_rule(rules: RuleCase, config: ConfigCase) -> bool:
    """A launcher that does not know that JSON may escape slashes."""
    data = config.data.replace(b"\\/", b"")
    return rules.texts is not None and has_command(data) and not any(text in config.data for text in rules.texts)


def without_command_rule(rules: RuleCase, config: ConfigCase) -> bool:
    """A launcher that does not ask whether there is a command."""
    plain = b"\\u" not in config.data and b"\\/" not in config.data
    return rules.texts is not None and plain and not any(text in config.data for text in rules.texts)


def with_the_first_text_only(rules: RuleCase, config: ConfigCase) -> bool:
    """A launcher that looks for our own mark and one more text."""
    texts = None if rules.texts is None else rules.texts[:2]
    return may_skip(RuleCase(rules=rules.rules, texts=texts), config)


def without_injector_files(rules: RuleCase, config: ConfigCase) -> bool:
    """A launcher that does not look for what asks for injector files."""
    asking = [(file.flag if "=" in file.flag else f"{file.flag}=").encode() for file in rules.injectors]
    texts = None if rules.texts is None else tuple(text for text in rules.texts if text not in asking)
    return may_skip(RuleCase(rules=rules.rules, texts=texts), config)


@pytest.mark.parametrize(
    "careless", [without_unicode_rule, without_slash_rule, without_command_rule, with_the_first_text_only]
)
def test_careless_launchers_are_caught(careless: Decision) -> None:
    """A launcher without one of its rules skips containers that match, and the same combinations show it."""
    assert skipped_matches(careless, seed=1, count=30_000)


def test_launchers_without_injector_files_are_caught() -> None:
    """The same holds for one that knows rules only."""
    assert skipped_matches(without_injector_files, seed=1, count=10_000)


def test_the_combinations_mean_something() -> None:
    """Many of the combinations match, many don't, and of the latter enough are skipped."""
    outcomes = [(may_match(rules, config), may_skip(rules, config)) for rules, config in pairs(seed=2, count=5_000)]
    matching = sum(matches for matches, _ in outcomes) / len(outcomes)
    skipped = sum(skips for _, skips in outcomes) / len(outcomes)
    assert 0.2 < matching < 0.9
    assert skipped > 0.05


class TestProgram:
    """The program itself, against the model and the library."""

    @pytest.fixture
    def decided(self, builds: Builds, tmp_path: Path) -> Callable[[list[tuple[RuleCase, ConfigCase]]], list[bool]]:
        """Whether the program skips each combination."""
        data, bundle = tmp_path / "skip", tmp_path / "bundle"
        bundle.mkdir()
        seen = snapshot([str(bundle)])

        def case(rules: RuleCase, config: ConfigCase) -> Case:
            texts = () if rules.texts is None else tuple(text.decode() for text in rules.texts)
            files = {data: encode(seen, texts), bundle / "config.json": config.data}
            return Case(("create", "--bundle", str(bundle), "id"), files)

        def decide(cases: list[tuple[RuleCase, ConfigCase]]) -> list[bool]:
            (bundle / "config.json").touch()
            nonlocal seen
            seen = snapshot([str(bundle)])
            return [answer == "r" for answer in answers(builds.driver, [case(*pair) for pair in cases], data=data)]

        return decide

    @pytest.mark.parametrize(
        ("seed", "count"),
        [(3, 3_000), *(pytest.param(seed, 2_500, marks=pytest.mark.slow) for seed in range(4, 8))],
    )
    def test_it_agrees_with_the_model(
        self, decided: Callable[[list[tuple[RuleCase, ConfigCase]]], list[bool]], seed: int, count: int
    ) -> None:
        """The program skips exactly the combinations that the model skips, and none of them matches."""
        everything = list(pairs(seed, 20 * count))
        cases = random.Random(seed).sample(everything, count)
        found = decided(cases)
        wrong = [pair for pair, skips in zip(cases, found, strict=True) if skips != may_skip(*pair)]
        assert not wrong, shown(wrong)
        assert not any(skips and may_match(*pair) for pair, skips in zip(cases, found, strict=True))
        assert any(found)

    def test_it_reads_damaged_configurations_as_the_model_does(
        self, decided: Callable[[list[tuple[RuleCase, ConfigCase]]], list[bool]]
    ) -> None:
        """Configurations with bytes removed, doubled or exchanged are judged alike, too."""
        rng = random.Random(9)
        rules = rule_case(())
        configs = [make_config(rng, ["x", "\\", '"', "{"]).data for _ in range(300)]
        cases = [(rules, config_case(damaged(rng, rng.choice(configs)))) for _ in range(3_000)]
        found = decided(cases)
        wrong = [pair for pair, skips in zip(cases, found, strict=True) if skips != may_skip(*pair)]
        assert not wrong, shown(wrong)
        assert 0.1 < sum(found) / len(found) < 0.9


def damaged(rng: random.Random, data: bytes) -> bytes:
    """*data* with one to three places changed."""
    content = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(content))
        length = rng.choice((1, 1, 2, 10))
        piece = rng.choice(
            (b"", b"", b'"', b"\\", b"{", b"}", b"[", b"]", b":", b",", b'"args":["', bytes(content[:20]))
        )
        content[at : at + length] = piece
    return bytes(content)


ENGINE = {
    "ociVersion": "1.0.2",
    "process": {"terminal": False, "args": ["/usr/sbin/nginx", "-g", "daemon off;"], "env": ["PATH=/usr/bin:/bin"]},
    "hostname": "web",
    "mounts": [{"destination": "/data", "type": "bind", "source": "/srv/data", "options": ["rbind", "ro"]}],
    "annotations": {"io.kubernetes.cri.container-name": "nginx", "io.kubernetes.cri.image-name": "docker.io/nginx:1"},
    "linux": {"namespaces": [{"type": "pid"}, {"type": "mount"}], "seccomp": {"syscalls": [{"args": [{"index": 0}]}]}},
}

REALISTIC = [
    {"annotations": {r"^com\.example\.gpu$": "^true$"}},
    {"annotations": {r"^com\.example\.trace$": ".*"}, "hasBindMounts": True},
    {"annotations": {"^io.podman.annotations.privileged$": "^TRUE$"}, "always": True},
    {"commands": ["^/usr/bin/python3?$"]},
    {"commands": ["^/usr/lib/systemd/systemd$", "^/lib/systemd/systemd$"]},
    {"annotations": {"^org.systemd.property.(CPU|IO)Weight$": "[0-9]+"}},
    {"hasBindMounts": True},
    {"annotations": {"(?i)^gpu$": "1"}},
]


def test_realistic_containers_are_skipped() -> None:
    """Of usual rules that don't match a usual container, far more than a third let it be skipped."""
    container = config_case(json.dumps(ENGINE).encode())
    rng = random.Random(5)
    outcomes = []
    for _ in range(500):
        whens = rng.sample(REALISTIC, rng.choice((1, 1, 2, 3)))
        rules = [
            read_rule({"version": "1.0.0", "hook": {"path": "/bin/true"}, "when": when, "stages": ["prestart"]})
            for when in whens
        ]
        case = rule_case(tuple(rule for rule in rules if rule is not None))
        if not may_match(case, container):
            outcomes.append(may_skip(case, container))
    assert len(outcomes) > 200
    assert sum(outcomes) / len(outcomes) > 0.3


def test_rules_that_need_nothing_forbid_the_shortcut() -> None:
    """A rule that may match any container, or whose text JSON can write in two ways, leaves every create to Python."""
    for when in (
        {"always": True},
        {"hasBindMounts": True},
        {"commands": ["a|b"]},
        {"commands": ["é"]},
        {"commands": ['"']},
    ):
        rule = read_rule({"version": "1.0.0", "hook": {"path": "/bin/true"}, "when": when, "stages": ["prestart"]})
        assert rule is not None
        assert rule_case((rule,)).texts is None, when


@pytest.mark.parametrize(
    ("flag", "text"),
    [
        pytest.param("WITH_TOOLS", b"WITH_TOOLS=", id="name"),
        pytest.param("TOOLS=a=b", b"TOOLS=a=b", id="value"),
        pytest.param("TOOLS=", b"TOOLS=", id="empty-value"),
        pytest.param("T\u00d6OLS", None, id="another-alphabet"),
        pytest.param('TOOLS="a"', None, id="quotes"),
        pytest.param("TOOLS=a\\b", None, id="backslash"),
    ],
)
def test_injector_files(flag: str, text: bytes | None) -> None:
    """What asks for an injector file is looked for, where JSON can write it in one way only."""
    texts = rule_case((), (InjectorFile("/a.json", flag, ()),)).texts
    assert texts == (None if text is None else (b"OCIHOOKS_RULE=", text))


def test_the_oracle_sees_every_reading() -> None:
    """Repeated members and odd letter case give a container for each way to read them."""
    data = (
        b'{"process":{"args":["a"]},"Process":{"args":["b"]},"process":{"ARGS":["c"]},"annotations":{"k":"1","k":"2"}}'
    )
    found = {(container.args, container.annotations["k"]) for container in shortcut_cases.readings(data)}
    assert {(("a",), "1"), ((), "2"), (("c",), "2")} <= found
