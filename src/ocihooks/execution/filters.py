"""
Configuration filters: hooks that read a configuration on standard input and write a new one to standard output.

Spec: oci-hooks(5), extension stage ``precreate``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, Unpack

from ocihooks.document import Config, parse_config
from ocihooks.errors import DocumentError
from ocihooks.execution.config_types import misfits
from ocihooks.execution.difference import difference
from ocihooks.execution.errors import FilterOutputError, HookRunError
from ocihooks.execution.result import HookResult
from ocihooks.execution.runner import RunOptions, run_hook
from ocihooks.execution.words import last_words
from ocihooks.spec.hook import Hook

_MOST_MISFITS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterChange:
    """
    What one filter made of its configuration.

    Attributes:
        before: What it read.
        after: What it wrote, byte for byte.
        result: How it ran; its standard error is there to be logged.
    """

    hook: Hook
    before: bytes
    after: bytes
    result: HookResult

    def diff(self) -> tuple[str, ...]:
        """The change as lines of a unified diff of the pretty-printed documents; none where they say the same."""
        return difference(parse_config(self.before, "before").members, parse_config(self.after, "after").members)


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterReport:
    """
    What became of a configuration.

    Attributes:
        data: The last filter's output exactly as it was written; without filters, what was handed in.
        changes: One per filter, in order.
    """

    data: bytes
    changes: tuple[FilterChange, ...]

    @property
    def config(self) -> dict[str, Any]:
        """The configuration, parsed."""
        return _plain(self.data)


def filter_config(
    filters: Sequence[Hook], config: Mapping[str, Any] | bytes, **options: Unpack[RunOptions]
) -> dict[str, Any]:
    """
    Hand *config* through all filters and return what the last one made of it; *config* itself is never changed.

    The arguments and errors are those of `apply_filters`, which also reports what each filter did.
    """
    return apply_filters(filters, config, **options).config


def apply_filters(
    filters: Sequence[Hook], config: Mapping[str, Any] | bytes, **options: Unpack[RunOptions]
) -> FilterReport:
    """
    Hand *config* through all filters in order, each getting what the one before it wrote, byte for byte.

    Args:
        config: A config.json as text, which the first filter gets as it is; or as a plain dict.
        options: Those of `run_hook`, for each filter; a ``deadline`` holds for all together.

    Raises:
        DocumentError: *config* is not a configuration; no filter was started.
        FilterOutputError: A filter wrote something else than a configuration; the error names the filter
            (``filter #0``) and the line and column, or the member.
        HookRunError: A filter failed, as `run_hook` says; the error names it likewise.
    """
    data = _as_text(config)
    current = parse_config(data, "config.json")
    changes: list[FilterChange] = []
    for index, hook in enumerate(filters):
        try:
            result = run_hook(hook, data, **options)
            current = _checked(hook, result, current)
        except HookRunError as error:
            error.locate(f"filter #{index}")
            raise
        changes.append(FilterChange(hook=hook, before=data, after=result.stdout, result=result))
        data = result.stdout
    return FilterReport(data=data, changes=tuple(changes))


def _as_text(config: Mapping[str, Any] | bytes) -> bytes:
    if isinstance(config, bytes):
        return config
    try:
        return json.dumps(config, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise DocumentError(f"can't be written as JSON: {error}", code="json_type", file="config.json") from error


def _checked(hook: Hook, result: HookResult, given: Config) -> Config:
    """The configuration that *hook* wrote when it was given *given*."""
    output = result.stdout
    if result.stdout_truncated:
        raise _refused(hook, result, "syntax", f"longer than the {len(output)} bytes that are kept")
    try:
        config = parse_config(output, hook.path)
    except DocumentError as error:
        places = "; ".join(f"{problem.pointer or '/'}: {problem.message}" for problem in error.problems)
        faults = places if output.strip() else "nothing was written to standard output"
        raise _refused(hook, result, "type" if _is_json(output) else "syntax", faults) from error
    wrong = misfits(config.members)
    if wrong:
        more = f"; and {len(wrong) - _MOST_MISFITS} more" if len(wrong) > _MOST_MISFITS else ""
        raise _refused(hook, result, "type", "; ".join(wrong[:_MOST_MISFITS]) + more)
    if given.members and not config.members:
        raise _refused(hook, result, "type", "it has no members, so all that was there would be lost")
    return config


def _refused(hook: Hook, result: HookResult, kind: str, faults: str) -> FilterOutputError:
    return FilterOutputError(
        f"its output is no configuration: {faults}{last_words(result.stderr)}",
        hook=hook,
        result=result,
        code=f"output_json_{kind}",
        hint="a filter has to write the whole configuration to standard output, and nothing else",
    )


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data.decode(), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return False
    return True


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _plain(data: bytes) -> dict[str, Any]:
    """The configuration with numbers as Python has them."""
    try:
        config: dict[str, Any] = json.loads(data, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise DocumentError(f"can't be held as a dict: {error}", code="json_type", file="config.json") from error
    return config


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"the number {text[:40]} is too large")
    return number
