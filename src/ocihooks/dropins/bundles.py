"""
Which bundle a call means: as the runtime will read it, and where that can't be told, as these programs always did.

They take the last ``--bundle`` or ``-b`` anywhere on the line, whatever the number of dashes. On the warm path.
"""

import posix

import ocihooks
from ocihooks.wrapper.arguments import config_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ocihooks.wrapper.arguments import Call

_HINT = "name the bundle with --bundle DIR before the id"


def settle_bundle(call: "Call", words: "Sequence[str]", *, may_be_empty: bool) -> bool:
    """
    Decide which bundle *call* means, in the call itself.

    Args:
        may_be_empty: Whether ``--bundle ""`` means the working directory; else it is refused.

    Returns:
        Whether there is a config.json for which anybody asked: without the option, the working directory need not be a
        bundle, and it's left to the runtime to say so.

    Raises:
        UnavailableError: An option has no directory, or it isn't certain which one is meant.
    """
    named = _named_bundles(words)
    if None in named or ("" in named and not may_be_empty):
        found = "an empty word" if "" in named else "the end of the command line"
        raise ocihooks.errors.UnavailableError(
            f"--bundle: expected a directory, found {found}", code="doubt", hint=_HINT
        )
    if named and call.bundle in ("", named[-1]):
        call.bundle, call.doubt = named[-1] or "", None
    if call.doubt:
        raise ocihooks.errors.UnavailableError(call.doubt, code="doubt", hint=_HINT)
    return bool(named or call.bundle) or _is_there(config_file(call))


def _named_bundles(words: "Sequence[str]") -> list[str | None]:
    """The values of all options for the bundle; None for one that is missing."""
    named: list[str | None] = []
    following = iter(words)
    for word in following:
        name, equals, value = word.lstrip("-").partition("=")
        if word[:1] == "-" and name in ("bundle", "b"):
            named.append(value if equals else next(following, None))
    return named


def _is_there(path: str) -> bool:
    try:
        posix.lstat(path)
    except OSError:
        return False
    return True
