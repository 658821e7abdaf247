"""The command ``cache``."""

from __future__ import annotations

import os
from typing import Any

import click

from ocihooks.cli.command import Command, Example
from ocihooks.cli.options import json_option
from ocihooks.cli.output import columns, write, write_json
from ocihooks.cli.run import environment
from ocihooks.compiled.load import rule_at
from ocihooks.compiled.ruleset import RuleSet, count_of
from ocihooks.compiled.skip import allows_skipping
from ocihooks.errors import DamagedError
from ocihooks.install.install import DEFAULT_NAME, DEFAULT_PREFIX, installation
from ocihooks.install.record import Record
from ocihooks.wrapper.cache import Cache, load_cached
from ocihooks.wrapper.installation import Installation

EXAMPLES = (
    Example(line="ocihooks cache show", meaning="Are the rules of a plain install compiled, and still fresh?"),
    Example(line="ocihooks cache clear", meaning="Have the next container read all rules from their files."),
)

JSON_MEMBERS = {
    "file": 'Path of the compiled rules; "" where there is no safe place for them.',
    "size_bytes": "Size of that file, null where there is none.",
    "fresh": "Whether the wrapper would use it now.",
    "reason": "Why, or why not.",
    "rules": "Number of rules in it, null where it is not fresh.",
    "shortcut": "Whether the launcher may skip containers that surely match no rule.",
    "cleared": "Whether anything was removed.",
}


@click.command(
    "cache",
    cls=Command,
    examples=EXAMPLES,
    json_members=JSON_MEMBERS,
    statuses={
        0: "fresh, or cleared",
        1: "there are no compiled rules, or they are not fresh",
        3: "no such installation",
    },
)
@click.argument("action", type=click.Choice(["show", "clear"]))
@click.option("--prefix", metavar="DIR", default=DEFAULT_PREFIX, show_default=True, help="As for install.")
@click.option("--name", metavar="NAME", default=DEFAULT_NAME, show_default=True, help="As for install.")
@json_option
def command(action: str, prefix: str, name: str, as_json: bool) -> None:
    """
    Explain or remove the compiled rules of an installed wrapper.

    The wrapper reads settings and rules once and keeps them compiled. It uses them while nothing that they were made
    from has changed: settings, hooks directories, rule files and what they link to, and ocihooks itself. They are kept
    only once nobody has touched their sources for two seconds. Removing them costs the next container some time, and
    nothing else.
    """
    with environment():
        cache = cache_of(installation(prefix, name))
        cleared = _clear(cache) if action == "clear" else False
        document, fresh = as_document(cache, cleared=cleared)
    write_json(document) if as_json else write(as_text(document))
    if action == "show" and not fresh:
        click.get_current_context().exit(1)


def cache_of(record: Record) -> Cache:
    """The compiled rules of an installed wrapper."""
    facts = Installation(
        name=record.name,
        script=record.script,
        runtime=record.runtime,
        settings=record.settings,
        hooks_dirs=record.hooks_dirs,
        cache_dir=record.cache_dir,
    )
    return Cache(facts, os.environ)


def _clear(cache: Cache) -> bool:
    found = [file for file in (cache.skip_file, cache.file) if file and os.path.lexists(file)]
    for file in found:
        os.unlink(file)
    return bool(found)


def _checked(rules: RuleSet | None, reason: str) -> tuple[RuleSet | None, str]:
    """What was loaded, if each of the rules is whole; the wrapper looks only at those that it needs."""
    if rules is None or rules.packed is None:
        return rules, reason
    try:
        for number in range(count_of(rules)):
            rule_at(number, *rules.packed[:2])
    except DamagedError:
        return None, "damaged"
    return rules, reason


def as_document(cache: Cache, *, cleared: bool) -> tuple[dict[str, Any], bool]:
    """The result, and whether the compiled rules are fresh."""
    rules, reason = _checked(*load_cached(cache))
    there = bool(cache.file) and os.path.exists(cache.file)
    document = {
        "file": cache.file,
        "size_bytes": os.path.getsize(cache.file) if there else None,
        "fresh": rules is not None,
        "reason": reason if there or not cache.file else "no container has been created since the rules changed",
        "rules": count_of(rules) if rules else None,
        "shortcut": rules is not None and _skips(cache.skip_file),
        "cleared": cleared,
    }
    return document, rules is not None


def _skips(file: str) -> bool:
    """Whether the launcher's data in *file* lets it skip creates."""
    try:
        with open(file, "rb") as stream:
            return allows_skipping(stream.read())
    except OSError:
        return False


def as_text(document: dict[str, Any]) -> str:
    """The output for people."""
    rows = [("file", document["file"] or "none"), ("state", document["reason"])]
    if document["fresh"]:
        rows.append(("rules", str(document["rules"])))
        rows.append(("size", f"{document['size_bytes']} bytes"))
        rows.append(("shortcut", "yes" if document["shortcut"] else "no, some rule may match any container"))
    if document["cleared"]:
        rows.append(("cleared", "yes; the next container reads the rules from their files"))
    return columns(rows)
