"""
Command lines in doubt: with options that are in no table, or for a runtime whose rules nobody told.
"""

from ocihooks.errors import quoted
from ocihooks.wrapper.arguments import FLAG, OTHER, VALUE, Call, Reader, changes_container, config_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_UNKNOWN_OPTIONS = 8  # 256 readings, 3 ms


def read_every_way(argv: "Sequence[str]", flavours: "Sequence[str]") -> Call:
    """The call that all ways to read *argv* by the rules of *flavours* agree on, else one with a doubt."""
    readings = (call for flavour in flavours for call in _readings(argv, flavour))
    first = next(readings)
    if first.operation in OTHER:
        return first  # Must never fail, and no runtime has an option whose value is the name of a command.
    return _settle([first, *readings])


def _settle(readings: list[Call]) -> Call:
    """The one call that all *readings* agree on; where they don't, one with a doubt."""
    accepted = [call for call in readings if changes_container(call) and not call.refused]
    if not accepted:
        return readings[0]
    call = accepted[0]
    call.doubt = next((other.doubt for other in accepted if other.doubt), None)
    for other in accepted:
        if config_file(other) != config_file(call) or other.bundle != call.bundle:
            call.doubt = f"the runtime may take {_named(call)} or {_named(other)}"
    return call


def _named(call: Call) -> str:
    """The bundle of one reading, for people."""
    place = f"the bundle {quoted(call.bundle)}" if call.bundle else "the working directory as bundle"
    return place if call.config == "config.json" else f"{place} with the configuration {quoted(call.config)}"


def _readings(argv: "Sequence[str]", flavour: str) -> "Iterator[Call]":
    """Every way to read *argv*: each option that we don't know may have no value (first) or take the next word."""
    open_ends: list[dict[str, str]] = [{}]
    while open_ends:
        assumed = open_ends.pop()
        reader = Reader(flavour, argv, assumed)
        call = reader.read_all()
        if reader.unfamiliar is None:
            yield call
        elif len(assumed) < _UNKNOWN_OPTIONS:
            open_ends += ({**assumed, reader.unfamiliar: kind} for kind in (VALUE, FLAG))
        else:
            call.doubt, call.refused = "the command line has too many options that ocihooks doesn't know", False
            yield call
            if changes_container(call):
                return  # no other reading takes this doubt away, and there may be hundreds of long ones
