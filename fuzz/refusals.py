"""What a refusal has to be, whichever reader it comes from."""

from __future__ import annotations

from collections.abc import Iterable

from ocihooks.errors import Diagnostic, OCIHooksError


def refused(error: OCIHooksError, file: str) -> str:
    """The code of *error*, whose message has to name *file*; one that ends in a slash stands for all files there."""
    return findings(error.problems, file)


def findings(problems: Iterable[Diagnostic], file: str) -> str:
    """The code of the first of *problems*; each has to be one printable line that begins with *file*."""
    start = file if file.endswith("/") else f"{file}: "
    found = tuple(problems)
    for problem in found:
        line = str(problem)
        assert line.startswith(start), line
        assert line.isprintable(), ascii(line)
        assert problem.message, problem.code
        assert problem.hint is None or problem.hint.strip(), problem.code
        assert problem.code != "other", line
    return found[0].code
