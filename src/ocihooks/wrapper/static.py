"""
Static hook files: a hooks object that every container gets, copied as it stands.

The file holds the object itself or an object with a ``hooks`` member.
"""

import ocihooks
from ocihooks.document import check_hooks, parse_document
from ocihooks.injection import STAGES
from ocihooks.trust import Trust, explained, read_trusted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def read_static_hooks(file: str, trust: Trust) -> "dict[str, Any]":
    """
    The hooks object in *file*.

    Raises:
        DocumentError: It is missing, broken, or names a stage that the runtime-spec does not know.
        UntrustedError: Somebody else could have written it.
    """
    try:
        data = read_trusted(file, trust)
    except FileNotFoundError:
        hint = "make the file, or take it out of static-hooks in the settings"
        raise ocihooks.errors.DocumentError(
            "there is no such static hook file", code="missing_file", file=file, hint=hint
        ) from None
    except OSError as error:
        raise explained(file, error) from None
    return parse_static_hooks(data, file)


def parse_static_hooks(data: bytes, file: str) -> "dict[str, Any]":
    """
    The hooks object in the bytes of a static hook file.

    Raises:
        DocumentError: It is something else.
    """
    members = parse_document(data, file).members
    pointer = ""
    if "hooks" in members and not any(stage in members for stage in STAGES):
        members, pointer = members["hooks"], "/hooks"
        if not isinstance(members, dict):
            from ocihooks.faults import type_name

            message = f"expected an object, found {type_name(members)}"
            hint = "write an object with a list of hooks for each stage"
            raise ocihooks.errors.DocumentError(message, code="json_type", file=file, pointer=pointer, hint=hint)
    check_stages(members, file, pointer)
    return dict(members)


def check_stages(members: "dict[str, Any]", file: str, pointer: str) -> None:
    """
    Check that a hooks object has known stages only, each an array of hooks.

    Raises:
        DocumentError: It is something else; has all unknown stages.
    """
    unknown = [name for name in members if name not in STAGES]
    if unknown:
        raise ocihooks.errors.DocumentError(problems=[_unknown_stage(name, file, pointer) for name in unknown])
    check_hooks(members, file, pointer, STAGES)


def _unknown_stage(name: str, file: str, pointer: str) -> "ocihooks.errors.Diagnostic":
    from ocihooks.spec.stage import stage_hint

    place = f"{pointer}/{ocihooks.errors.reference_token(name)}"
    message = f"unknown stage {ocihooks.errors.quoted(name, 80)}"
    return ocihooks.errors.Diagnostic(message, code="unknown_stage", file=file, pointer=place, hint=stage_hint(name))
