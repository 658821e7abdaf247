"""
The settings of `ocihooks-runtime` and the `ocihooks` commands: one table drives reading, messages and the man page.

Format: TOML; see ocihooks-settings(5).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ocihooks.errors import Diagnostic, SettingsError, quoted
from ocihooks.hooksd.directories import DEFAULT_DIR, OVERRIDE_DIR
from ocihooks.places import RECORDS_FILE, SETTINGS_FILE, settings_file
from ocihooks.spec.members import json_type
from ocihooks.trust import Trust, explained, read_trusted, trust_here
from ocihooks.unfinished import Patience

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, Literal

    Policy = Literal["fail", "warn", "ignore"]

DEFAULT_FILE = SETTINGS_FILE
TABLE = "ocihooks"


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSettings:
    """What the administrator decided for one rule; None: as for all rules. `RULE_KEYS` documents the attributes."""

    on_invalid: Policy | None = None
    supervise: Literal["on", "off"] | None = None
    on_failure: Policy | None = None
    leftovers: Literal["keep", "kill"] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Supervision:
    """
    How the hook of a rule is supervised.

    Attributes:
        on_failure: What happens to the container when the hook fails.
        kill_leftovers: Whether what the hook leaves behind is killed.
    """

    on_failure: Policy
    kill_leftovers: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """
    What the administrator decided; each attribute is documented beside its key in `KEYS`.

    Attributes:
        file: Where the settings were read from; None where there is no file and all is as by default.
        rules: What differs for single rules, by file name of the rule.
    """

    file: str | None = None
    hooks_dirs: tuple[str, ...] = (DEFAULT_DIR, OVERRIDE_DIR)
    static_hooks: tuple[str, ...] = ()
    position: Literal["append", "prepend"] = "append"
    on_invalid: Policy = "fail"
    sandbox: bool = False
    default_timeout: int | None = None
    log: str | None = None
    trusted_groups: tuple[int, ...] = ()
    shortcut: bool = True
    supervise: Literal["on", "off"] = "off"
    on_failure: Policy = "fail"
    leftovers: Literal["keep", "kill"] = "keep"
    records: str | None = None
    injector_dir: str | None = None
    modifiers: tuple[str, ...] = ()
    rules: Mapping[str, RuleSettings] = field(default_factory=dict)

    def policy(self, rule: str) -> Policy:
        """What to do about an invalid rule of this file name."""
        return self.rules.get(rule, _NOTHING_SPECIAL).on_invalid or self.on_invalid

    def supervision(self, rule: str) -> Supervision | None:
        """How the hook of the rule of this file name is supervised; None: not at all."""
        special = self.rules.get(rule, _NOTHING_SPECIAL)
        on_failure = special.on_failure or self.on_failure
        if (special.supervise or self.supervise) == "off" and on_failure == "fail":
            return None
        return Supervision(on_failure=on_failure, kill_leftovers=(special.leftovers or self.leftovers) == "kill")

    def trust(self) -> Trust:
        """Whom to trust with files that decide what runs."""
        return trust_here(self.trusted_groups)


_NOTHING_SPECIAL = RuleSettings()


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """
    One key of the settings file.

    Attributes:
        expected: What a value has to be, for messages and the man page.
        default: The default, as it would be written.
        meaning: One or two sentences for the man page.
        read: Turns a TOML value into the attribute; raises ValueError if it is something else.
    """

    expected: str
    default: str
    meaning: str
    read: Callable[[Any], Any]


def _absolute_path(value: Any) -> str:
    if not isinstance(value, str) or not value.startswith("/") or "\0" in value:
        raise ValueError
    return value


def _array(read: Callable[[Any], Any]) -> Callable[[Any], tuple[Any, ...]]:
    def read_array(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise ValueError
        return tuple(read(item) for item in value)

    return read_array


def _one_of(*words: str) -> Callable[[Any], str]:
    def read_word(value: Any) -> str:
        if value not in words:
            raise ValueError
        return str(value)

    return read_word


_MODIFIER = r"(?:[^\W\d]\w*(?:\.[^\W\d]\w*)*|/[^\0]*\.py):[^\W\d]\w*"


def _modifier(value: Any) -> str:
    import re

    if not isinstance(value, str) or not re.fullmatch(_MODIFIER, value):
        raise ValueError
    return value


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


def _between(low: int, high: int) -> Callable[[Any], int]:
    def read_integer(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise ValueError
        return value

    return read_integer


_POLICIES = '"fail", "warn" or "ignore"'
_read_policy = _one_of("fail", "warn", "ignore")

KEYS: dict[str, Key] = {
    "hooks-dirs": Key(
        expected="an array of absolute paths",
        default=f'["{DEFAULT_DIR}", "{OVERRIDE_DIR}"]',
        meaning="Hooks directories. A rule in a later one overrides a rule of the same file name in an earlier one.",
        read=_array(_absolute_path),
    ),
    "static-hooks": Key(
        expected="an array of absolute paths",
        default="[]",
        meaning="Static hook files: JSON files with a hooks object, bare or under a hooks member. "
        "Every container gets their hooks.",
        read=_array(_absolute_path),
    ),
    "position": Key(
        expected='"append" or "prepend"',
        default='"append"',
        meaning="Whether added hooks run behind those that the engine put into config.json, or in front of them.",
        read=_one_of("append", "prepend"),
    ),
    "on-invalid": Key(
        expected=_POLICIES,
        default='"fail"',
        meaning="What happens to containers while a rule can't be read, or when one matches whose program is missing: "
        "fail refuses them, warn goes on without that rule and says so in the log, ignore goes on silently.",
        read=_read_policy,
    ),
    "sandbox": Key(
        expected="true or false",
        default="false",
        meaning="Whether the sandbox (pause) containers of Kubernetes pods get the hooks of rules.",
        read=_boolean,
    ),
    "default-timeout": Key(
        expected="a whole number of seconds from 1 to 3600",
        default="none",
        meaning="The timeout of rules' hooks that set none.",
        read=_between(1, 3600),
    ),
    "log": Key(
        expected="an absolute path",
        default="none",
        meaning="A file that gets one JSON line per container: which rules went into it, or why it was refused.",
        read=_absolute_path,
    ),
    "shortcut": Key(
        expected="true or false",
        default="true",
        meaning="Whether the launcher may start the runtime at once for containers that surely match no rule.",
        read=_boolean,
    ),
    "supervise": Key(
        expected='"on" or "off"',
        default='"off"',
        meaning="Whether hooks of rules run under our supervisor, with the same surroundings under every runtime, "
        "a timeout that holds, and a record.",
        read=_one_of("on", "off"),
    ),
    "on-failure": Key(
        expected=_POLICIES,
        default='"fail"',
        meaning="What happens when the hook of a rule fails: fail hands its status on to the runtime, warn and ignore "
        "report success instead; all but fail imply supervision.",
        read=_read_policy,
    ),
    "leftovers": Key(
        expected='"keep" or "kill"',
        default='"keep"',
        meaning="What happens to the processes that a supervised hook leaves behind when it succeeds.",
        read=_one_of("keep", "kill"),
    ),
    "records": Key(
        expected="an absolute path",
        default=f"{RECORDS_FILE} while a rule is supervised, none otherwise",
        meaning="A file that gets one line for each container that got hooks, and for each run of a supervised hook.",
        read=_absolute_path,
    ),
    "injector-dir": Key(
        expected="an absolute path",
        default="none",
        meaning="The directory of injector files. "
        "Containers that ask for one get what it says by bind mounts, devices and variables in their configuration.",
        read=_absolute_path,
    ),
    "modifiers": Key(
        expected='an array of "MODULE:FUNCTION" or "/PATH.py:FUNCTION"',
        default="[]",
        meaning="Python functions that are asked about each container before it is created, in this order. "
        "They may give it hooks of its own, or refuse it.",
        read=_array(_modifier),
    ),
    "trusted-groups": Key(
        expected="an array of group ids",
        default="[]",
        meaning="Groups besides 0 that may have write permission on rule files, their directories and hook programs.",
        read=_array(_between(0, (1 << 32) - 2)),
    ),
}
"""The keys of the table ``[ocihooks]``; underscores count as hyphens."""

RULE_KEYS: dict[str, Key] = {
    name: replace(KEYS[name], default=f"that of [{TABLE}]", meaning=f"As {name} of [{TABLE}], for this rule only.")
    for name in ("on-invalid", "supervise", "on-failure", "leftovers")
}
"""The keys of a table ``[ocihooks.rules."FILE.json"]``."""


def default_file(environ: Mapping[str, str]) -> str:
    """Where the settings are when nobody says: rootless users have a file of their own, if they made one."""
    return settings_file(environ)


def read_settings(file: str) -> Settings:
    """
    Read the settings in *file*; where there is none, all is as by default.

    Raises:
        SettingsError: It is broken; has all problems.
        UntrustedError: Somebody else could have written it; or it may be just being written.
    """
    trust = trust_here()
    try:
        data = Patience().read(file, lambda path: read_trusted(path, trust))
    except FileNotFoundError:
        return Settings()
    except OSError as error:
        raise explained(file, error) from None
    return parse_settings(data, file)


def parse_settings(data: bytes, file: str) -> Settings:
    """
    Read settings from the bytes of a file.

    Raises:
        SettingsError: They are broken; has all problems.
    """
    import tomllib

    try:
        document = tomllib.loads(data.decode())
    except UnicodeDecodeError as error:
        line = f"line {data.count(bytes([10]), 0, error.start) + 1}"
        hint = "write it in UTF-8"
        raise SettingsError(f"not UTF-8: {error.reason}", code="not_utf8", file=file, pointer=line, hint=hint) from None
    except tomllib.TOMLDecodeError as error:
        reason, _, place = str(error).partition(" (at ")
        raise _not_toml(f"{reason[0].lower()}{reason[1:]}", file, place.rstrip(")").replace(",", "") or None) from None
    except RecursionError:
        raise _not_toml("nested too deep", file) from None
    except ValueError:  # tomllib leaves numbers to int(), which refuses those of thousands of digits
        raise _not_toml("a number is too long", file) from None
    reading = _Reading(file)
    values = reading.file_tables(document)
    if reading.problems:
        raise SettingsError(problems=reading.problems)
    return Settings(file=file, **values)


def _not_toml(reason: str, file: str, place: str | None = None) -> SettingsError:
    hint = "ocihooks-settings(5) describes the format and all keys"
    return SettingsError(f"not TOML: {reason}", code="toml_syntax", file=file, pointer=place, hint=hint)


class _Reading:
    """Takes a settings document apart and collects all problems."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Diagnostic] = []

    def file_tables(self, document: dict[str, Any]) -> dict[str, Any]:
        for name in document:
            if name != TABLE:
                self.problem(
                    "unknown_key", name, f"unknown table or key {quoted(name, 80)}", f"settings stand in [{TABLE}]"
                )
        table = self.table(document.get(TABLE, {}), TABLE)
        rules = self.table(table.pop("rules", {}), f"{TABLE}.rules")
        values = self.keys(table, KEYS, TABLE)
        values["rules"] = {name: self.rule(name, keys) for name, keys in rules.items()}
        return values

    def rule(self, name: str, table: Any) -> RuleSettings:
        place = f"{TABLE}.rules.{quoted(name, 80)}"
        return RuleSettings(**self.keys(self.table(table, place), RULE_KEYS, place))

    def table(self, value: Any, place: str) -> dict[str, Any]:
        if isinstance(value, dict):
            return dict(value)
        self.problem("wrong_type", place, f"expected a table, found {json_type(value)}", f"write [{place}]")
        return {}

    def keys(self, table: dict[str, Any], known: Mapping[str, Key], place: str) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for written, value in table.items():
            name = written.replace("_", "-")
            if name not in known:
                self.problem(
                    "unknown_key", f"{place}.{written}", f"unknown key {quoted(written, 80)}", _guess(name, known)
                )
                continue
            attribute = name.replace("-", "_")
            if attribute in values:
                self.problem("repeated_key", f"{place}.{written}", f"{name} is there twice", f"keep {quoted(name)}")
            try:
                values[attribute] = known[name].read(value)
            except ValueError:
                message = f"expected {known[name].expected}, found {quoted(value, 80)}"
                self.problem("wrong_value", f"{place}.{written}", message, f"the default is {known[name].default}")
        return values

    def problem(self, code: str, place: str, message: str, hint: str | None = None) -> None:
        self.problems.append(Diagnostic(message, code=code, file=self.file, pointer=place, hint=hint))


def _guess(name: str, known: Mapping[str, Key]) -> str:
    import difflib

    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {quoted(close[0])}?" if close else f"known keys: {', '.join(known)}"
