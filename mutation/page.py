"""
Prints docs/mutation.md from the results in mutation/results.

    python mutation/page.py > docs/mutation.md
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[1]


def main() -> None:
    """Print the page."""
    results = [json.loads(file.read_text()) for file in sorted((PROJECT / "mutation/results").glob("*.json"))]
    results.sort(key=lambda result: str(result["source"]))
    text = (PROJECT / "mutation/page.md").read_text()
    text = text.replace("TABLE\n", "".join(table(results))).replace("SURVIVORS\n", "\n".join(survivors(results)))
    sys.stdout.write(text)


def survivors(results: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """A section for each module of which something lived."""
    for result in results:
        if result["survivors"]:
            yield f"### {short(result)}\n\n" + "".join(map(line, result["survivors"]))


def table(results: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What came out for each module."""
    yield "| module | changes | tried | noticed | lived |\n| --- | ---: | ---: | ---: | ---: |\n"
    for result in results:
        tried, lived = result["tried"], len(result["survivors"])
        part = "" if result["every"] == 1 else f" (1/{result['every']})"
        yield f"| `{short(result)}` | {result['mutants']} | {tried}{part} | {tried - lived} | {lived} |\n"


def line(survivor: Mapping[str, Any]) -> str:
    """One change with its reason."""
    return f"- Line {survivor['line']}, `{survivor['was']}` as `{survivor['is']}`: {survivor['why']}\n"


def short(result: Mapping[str, Any]) -> str:
    """The module's path in the package."""
    return str(result["source"]).removeprefix("src/ocihooks/")


if __name__ == "__main__":
    main()
