"""
Made-up rules and configurations for the proof that the launcher's shortcut skips no container that matches, with an
oracle of its own: what the library says of every way to read a configuration.

A configuration is written with whatever JSON allows: escapes, surrogate pairs, blanks, repeated members, odd letter
case. Readings differ where readers do: the first or the last of repeated members counts, or all of them together, and
member names count exactly or in any letter case.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from ocihooks.compiled.compile import compile_rules
from ocihooks.compiled.skip import texts_of
from ocihooks.errors import MatchError
from ocihooks.hooksd.directories import Rule
from ocihooks.hooksd.fields import Reading
from ocihooks.hooksd.matching import Container, match
from ocihooks.hooksd.readers import read_document
from ocihooks.injector.files import InjectorFile
from ocihooks.settings import Settings

WORDS = (
    *("com.example.gpu", "com.example/mode", "org.example.a+b", "io.example", "gpu", "true", "nvidia", "all devices"),
    *("/usr/bin/tool", "/bin/sh", "sh", "/pause", "a/b", "/", "x", "", "K", "k", "\u017f", "é.example", "\u2028"),
    *("😀", "\ufffd", 'a"b', "a\\b", "a\nb", "OCIHOOKS_RULE=", "{[", "}", "args", "process", "\x7f", "~!@#%&=:;<>,' `"),
)

STRUCTURE = ("process", "args", "annotations", "mounts", "type", "options")

PATTERNS = (
    *("{0}", "^{0}$", "^{0}", "{0}$", ".*{0}.*", "^{0}.*", "^{0}.*$", "({0}|{1})", "{0}|{1}", "^({0})$", "(?i){0}"),
    *("(?i:{0}){1}", "{0}?", "{0}*x?", "{0}+", "{0}{1}?", "{0}{{0,2}}", "[{2}]", "{0}[a-z]*", "{0}.{1}", "\\Q{3}\\E"),
    *("", "^", "$", ".*", ".", "^$", "{0}\\b", "\\.{0}", "(?:{0}){{0}}", "({0})?", "{0}(|{1})", "(?s){0}.*{1}"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleCase:
    """
    Some rules, and perhaps injector files.

    Attributes:
        rules: As the library has them.
        texts: What the launcher looks for; None: it skips nothing.
        injectors: The injector files.
        modifiers: The modifiers, who are asked about every container.
    """

    rules: tuple[Rule, ...]
    texts: tuple[bytes, ...] | None
    injectors: tuple[InjectorFile, ...] = ()
    modifiers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigCase:
    """
    A configuration.

    Attributes:
        data: Its bytes.
        containers: What rules can ask about the container, for each way to read the bytes; None where there is none.
        has_command: What the launcher has to see in the bytes besides texts.
        environments: The container's environment, for each way to read the bytes.
    """

    data: bytes
    containers: tuple[Container, ...]
    has_command: bool
    environments: tuple[tuple[str, ...], ...]


def may_skip(rules: RuleCase, config: ConfigCase) -> bool:
    """The launcher's decision, as a model: whether a create with this configuration is skipped."""
    return rules.texts is not None and config.has_command and not any(text in config.data for text in rules.texts)


def may_match(rules: RuleCase, config: ConfigCase) -> bool:
    """The oracle: whether by any reading a rule matches or can't be decided, or an injector file is asked for."""
    if rules.modifiers:
        return True
    if any(file.is_wanted(environment) for file in rules.injectors for environment in config.environments):
        return True
    try:
        return any(match(rules.rules, container).matched for container in config.containers)
    except MatchError:
        return True


# -- rules ------------------------------------------------------------------------------------------------------------


def make_rules(rng: random.Random, words: list[str]) -> RuleCase:
    """One to three rules about *words*, of both schemas."""
    found = [_rule(rng, words, number) for number in range(rng.choice((1, 1, 1, 2, 3)))]
    injectors = [_injector(rng, words) for _ in range(rng.choice((0, 0, 0, 0, 0, 0, 1)))]
    modifiers = rng.choice(((), (), (), (), (), (), (), ("audit:check",)))
    return rule_case(tuple(rule for rule in found if rule is not None), tuple(filter(None, injectors)), modifiers)


def _injector(rng: random.Random, words: list[str]) -> InjectorFile | None:
    """An injector file that a variable of *words* asks for."""
    flag = rng.choice((rng.choice(words), f"{rng.choice(words)}={rng.choice(words)}"))
    return InjectorFile("/injectors/1.json", flag, ()) if flag.partition("=")[0] else None


def rule_case(
    rules: tuple[Rule, ...], injectors: tuple[InjectorFile, ...] = (), modifiers: tuple[str, ...] = ()
) -> RuleCase:
    """*rules*, *injectors* and *modifiers* with the texts that the launcher gets for them."""
    found = texts_of(compile_rules(rules, Settings(modifiers=modifiers), (), injectors))
    texts = None if found is None else tuple(text.encode() for text in found)
    return RuleCase(rules=rules, texts=texts, injectors=injectors, modifiers=modifiers)


def read_rule(document: object, name: str = "10.json") -> Rule | None:
    """The rule of a JSON document; None where it is not valid."""
    config = read_document(json.dumps(document).encode(), Reading(f"/rules/{name}"))
    return Rule(name=name, file=f"/rules/{name}", config=config, status="active") if config is not None else None


def _rule(rng: random.Random, words: list[str], number: int) -> Rule | None:
    new = rng.random() < 0.7
    document = _new_rule(rng, words) if new else _old_rule(rng, words)
    return read_rule(document, f"{number}.json")


def _new_rule(rng: random.Random, words: list[str]) -> dict[str, Any]:
    when: dict[str, Any] = {}
    if rng.random() < 0.12:
        when["always"] = rng.random() < 0.5
    if rng.random() < 0.15:
        when["hasBindMounts"] = rng.random() < 0.7
    if rng.random() < 0.6:
        pairs = range(rng.choice((1, 1, 1, 2)))
        when["annotations"] = {_pattern(rng, words): _pattern(rng, words) for _ in pairs}
    if rng.random() < 0.4 or not when:
        when["commands"] = [_pattern(rng, words) for _ in range(rng.choice((1, 1, 2, 3)))]
    return {"version": "1.0.0", "hook": {"path": "/bin/true"}, "when": when, "stages": ["prestart"]}


def _old_rule(rng: random.Random, words: list[str]) -> dict[str, Any]:
    rule: dict[str, Any] = {"hook": "/bin/true", "stages": ["prestart"]}
    if rng.random() < 0.5:
        rule["annotations"] = [_pattern(rng, words) for _ in range(rng.choice((0, 1, 1, 2)))]
    if rng.random() < 0.5:
        rule["cmds"] = [_pattern(rng, words) for _ in range(rng.choice((0, 1, 1, 2)))]
    if rng.random() < 0.1:
        rule["hasbindmounts"] = rng.random() < 0.5
    return rule


def _pattern(rng: random.Random, words: list[str]) -> str:
    """A pattern that is found in one of *words*, more or less."""
    one, other = rng.choice(words), rng.choice(words)
    if rng.random() < 0.2:
        one = one[rng.randrange(len(one) + 1) :]
    if rng.random() < 0.3:
        return re.escape(one)
    shape = rng.choice(PATTERNS[:4]) if rng.random() < 0.5 else rng.choice(PATTERNS)
    return shape.format(re.escape(one), re.escape(other), _in_class(one), one.replace("\\", ""))


def _in_class(text: str) -> str:
    return "".join(f"\\x{{{ord(letter):x}}}" for letter in text) or "z"


# -- configurations ---------------------------------------------------------------------------------------------------


class Members(list[tuple[str, Any]]):
    """The members of a JSON object in their order, repeated ones too."""


def make_config(rng: random.Random, words: list[str]) -> ConfigCase:
    """A configuration with some of *words* in the places that rules ask about."""
    members = [("ociVersion", "1.0.2"), *_maybe_repeated(rng, "process", lambda: _process(rng, words))]
    if rng.random() < 0.8:
        members += _maybe_repeated(rng, "annotations", lambda: _annotations(rng, words))
    if rng.random() < 0.3:
        members += _maybe_repeated(rng, "mounts", lambda: _mounts(rng))
    if rng.random() < 0.2:
        hook = Members([("path", "/x"), ("args", ["x", rng.choice(words)]), ("env", ["a"])])
        members.append(("hooks", Members([("prestart", [hook])])))
    rng.shuffle(members)
    style = Style(rng)
    return config_case(style.write(Members(members)).encode("utf-8", "surrogatepass"))


def config_case(data: bytes) -> ConfigCase:
    """*data* with all its readings."""
    return ConfigCase(
        data=data,
        containers=tuple(readings(data)),
        has_command=has_command(data),
        environments=tuple(set(environments(data))),
    )


def _maybe_repeated(rng: random.Random, name: str, make: Callable[[], Any]) -> list[tuple[str, Any]]:
    """The member, mostly once and under its name."""
    if rng.random() < 0.9:
        return [(name, make())]
    names = [name, name, name.upper(), name.capitalize(), name.replace("s", "\u017f")]
    return [(rng.choice(names), make()) for _ in range(rng.choice((0, 1, 2, 2, 3)))]


def _process(rng: random.Random, words: list[str]) -> Any:
    if rng.random() < 0.03:
        return None
    members = [("cwd", "/"), ("user", Members([("uid", 0)]))]
    members += _maybe_repeated(rng, "args", lambda: _args(rng, words))
    if rng.random() < 0.3:
        members.append(("env", ["PATH=/bin", f"{rng.choice(words)}={rng.choice(words)}"]))
    rng.shuffle(members)
    return Members(members)


def _args(rng: random.Random, words: list[str]) -> Any:
    if rng.random() < 0.06:
        return rng.choice((None, []))
    return [rng.choice(words) for _ in range(rng.choice((1, 1, 2)))]


def _annotations(rng: random.Random, words: list[str]) -> Any:
    if rng.random() < 0.03:
        return None
    pairs = [(rng.choice(words), rng.choice(words)) for _ in range(rng.choice((0, 1, 1, 2, 3)))]
    return Members([(key, None if rng.random() < 0.02 else value) for key, value in pairs])


def _mounts(rng: random.Random) -> list[Any]:
    kinds = [("type", "bind"), ("type", "tmpfs"), ("options", ["rbind"]), ("options", ["ro"])]
    return [Members([("destination", "/x"), ("source", "/y"), rng.choice(kinds)]) for _ in range(rng.choice((0, 1, 2)))]


class Style:
    """How one document is written: which letters are escaped, where blanks stand."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.unicode = rng.choice((0, 0, 0, 0, 0, 0.02, 0.3))
        self.names = rng.random() < 0.2
        self.slashes = rng.choice((0, 0, 0, 0, 0.5, 1))
        self.blanks = rng.choice((("",), ("",), ("", " "), ("\n\t", " ", "")))

    def write(self, value: Any) -> str:
        """*value* as JSON."""
        blank = self.rng.choice(self.blanks)
        if isinstance(value, Members):
            pairs = (f"{self.name(name)}{blank}:{blank}{self.write(item)}" for name, item in value)
            return "{" + blank + f",{blank}".join(pairs) + blank + "}"
        if isinstance(value, list):
            return "[" + blank + f",{blank}".join(map(self.write, value)) + blank + "]"
        return self.text(value) if isinstance(value, str) else json.dumps(value)

    def name(self, name: str) -> str:
        """The name of a member; those that give the document its structure are mostly written plainly."""
        return json.dumps(name) if name in STRUCTURE and not self.names else self.text(name)

    def text(self, text: str) -> str:
        """A string, with its quotes."""
        return '"' + "".join(map(self.letter, text)) + '"'

    def letter(self, letter: str) -> str:
        """One letter of a string."""
        if self.unicode and self.rng.random() < self.unicode:
            return self.escape(letter)
        if letter == "/" and self.slashes and self.rng.random() < self.slashes:
            return "\\/"
        return json.dumps(letter, ensure_ascii=False)[1:-1]

    def escape(self, letter: str) -> str:
        """One letter by its number, as a pair of surrogates where it has to be."""
        units = letter.encode("utf-16-be", "surrogatepass")
        shape = self.rng.choice(("\\u{:04x}", "\\u{:04X}"))
        return "".join(shape.format(int.from_bytes(units[at : at + 2], "big")) for at in range(0, len(units), 2))


# -- the oracle's reader ----------------------------------------------------------------------------------------------

_FOLDED = str.maketrans({"\u017f": "s", "\u212a": "k"})

Choose = Callable[[list[Any]], Any]


def readings(data: bytes) -> Iterator[Container]:
    """All containers that a reader may see in *data*, whatever it thinks of bytes behind the document's end."""
    text = data.decode("utf-8", "replace")
    try:
        document, _ = json.JSONDecoder(object_pairs_hook=Members, strict=False).raw_decode(text)
    except (ValueError, RecursionError):
        return
    seen = set()
    for choose in (_first, _last, _together):
        for fold in (str, _folded):
            found = _container(document, choose, fold)
            if found is not None and found not in seen:
                seen.add(found)
                args, annotations, bind_mounts = found
                yield Container(args=args, annotations=dict(annotations), has_bind_mounts=bind_mounts)


def environments(data: bytes) -> Iterator[tuple[str, ...]]:
    """All environments that a reader may see in *data*."""
    try:
        document, _ = json.JSONDecoder(object_pairs_hook=Members, strict=False).raw_decode(
            data.decode("utf-8", "replace")
        )
    except (ValueError, RecursionError):
        return
    for choose in (_first, _last, _together):
        for fold in (str, _folded):
            env = _get(_get(document, "process", choose, fold), "env", choose, fold)
            if isinstance(env, list):
                yield tuple(item for item in env if isinstance(item, str))


def _first(values: list[Any]) -> Any:
    return values[0]


def _last(values: list[Any]) -> Any:
    return values[-1]


def _together(values: list[Any]) -> Any:
    """All of them, as a reader does that fills one structure; a later list takes the place of what was there."""
    objects = [value for value in values if isinstance(value, Members)]
    return values[-1] if not objects else Members([pair for value in objects for pair in value])


def _folded(name: str) -> str:
    return name.translate(_FOLDED).lower()


def _get(value: Any, name: str, choose: Choose, fold: Callable[[str], str]) -> Any:
    found = [item for key, item in value if fold(key) == name] if isinstance(value, Members) else []
    return choose(found) if found else None


def _container(document: Any, choose: Choose, fold: Callable[[str], str]) -> tuple[Any, ...] | None:
    """What rules can ask about, hashable; None where a member has a type that every runtime refuses."""
    process = _get(document, "process", choose, fold)
    args = _get(process, "args", choose, fold) or []
    annotations = _get(document, "annotations", choose, fold) or Members()
    mounts = _get(document, "mounts", choose, fold) or []
    if not isinstance(args, list) or not all(isinstance(arg, str) for arg in args):
        return None
    if not isinstance(annotations, Members) or not isinstance(mounts, list):
        return None
    pairs = tuple((key, value or "") for key, value in _chosen(annotations, choose))
    bind = any(
        _get(m, "type", choose, fold) == "bind" or "rbind" in (_get(m, "options", choose, fold) or ()) for m in mounts
    )
    return None if process is None else tuple(args), pairs, bind


def _chosen(annotations: Members, choose: Choose) -> Iterable[tuple[str, Any]]:
    if choose is _first:
        return dict(reversed(annotations)).items()
    return dict(annotations).items()


# -- the model of the launcher's reader -------------------------------------------------------------------------------

_TOKENS = re.compile(rb'"((?:[^"\\]|\\.|\\$)*)("|$)|[{}\[\]]', re.DOTALL)
_FIRST_ARGUMENT = re.compile(rb'[ \t\r\n]*:[ \t\r\n]*\[[ \t\r\n]*"')


def has_command(data: bytes) -> bool:
    """What the launcher has to see besides texts: no escape that hides a letter, one process, and its command."""
    if len(data) < 4 or b"\\u" in data or b"\\/" in data or b"\xc5\xbf" in data:
        return False
    depth, processes, commands, in_process = 0, 0, 0, False
    for token in _TOKENS.finditer(data):
        name = token.group(1)
        if name is None:
            depth += 1 if token.group() in b"{[" else -1
            continue
        if depth == 1:
            in_process = name.lower() == b"process"
            processes += in_process
        wanted = (b"", b"process", b"args")[depth] if depth in (1, 2) else b""
        if name.lower() != wanted or not in_process:
            continue
        if name != wanted:
            return False
        if depth == 2:
            if not token.group(2) or not _FIRST_ARGUMENT.match(data, token.end()):
                return False
            commands += 1
    return processes == commands == 1
