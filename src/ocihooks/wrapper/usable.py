"""
Whether the hook of a rule that matches can go into a container. On the wrapper's warm path.
"""

import posix

import ocihooks
from ocihooks.trust import open_trusted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ocihooks.trust import Trust

POLICY_HINT = 'mend it, mask it with an empty file of the same name in a later directory, or set on-invalid = "warn"'

INTERPRETERS = ("python", "sh", "bash", "dash", "perl", "ruby", "node", "lua")
"""Programs, without the number of their version, that run the first file among their arguments."""

TIMEOUT_MAX = 3600
"""Longest timeout in seconds; the shortest is 1."""


def injectable_problems(
    rule: "Any", trust: "Trust", sound: "set[str] | None" = None
) -> "tuple[ocihooks.errors.Diagnostic, ...]":
    """
    What forbids to put the hook of *rule*, which matches, into a container; all of it are errors.

    The path has to be absolute, a timeout within its limits, and a program that runs on the host there and trusted;
    a program of startContainer lives in the container and is not looked at. What an interpreter runs has to be trusted
    as the interpreter itself.

    Args:
        rule: Has ``file``, ``hook`` and ``stages`` as `ocihooks.Rule`.
        sound: Programs that were found sound for other rules a moment ago; this one's is added.
    """
    hook, problems = rule.hook, []
    sound = set() if sound is None else sound
    if not hook.path.startswith("/"):
        message = f"expected an absolute path, found {ocihooks.errors.quoted(hook.path, 200)}"
        problems.append(ocihooks.errors.Diagnostic(message, code="relative_path", file=rule.file, pointer="/hook/path"))
    if hook.timeout is not None and not 1 <= hook.timeout <= TIMEOUT_MAX:
        message = f"expected 1 to {TIMEOUT_MAX} seconds, found {hook.timeout}"
        problems.append(
            ocihooks.errors.Diagnostic(message, code="odd_timeout", file=rule.file, pointer="/hook/timeout")
        )
    if not problems and hook.path not in sound and any(stage != "startContainer" for stage in rule.stages):
        problem = program_problem(hook.path, rule.file, trust)
        if problem:
            return (problem,)
        sound.add(hook.path)
    if not problems and hook.args and any(stage != "startContainer" for stage in rule.stages):
        script = _script(hook)
        if script and script not in sound:
            problem = _script_problem(script, rule.file, trust)
            if problem:
                return (problem,)
            sound.add(script)
    return tuple(problems)


def _script(hook: "Any") -> str:
    """The path of the file that the *hook* has an interpreter run; "" where there is none, or it is not clear."""
    interpreter = hook.path.rpartition("/")[2].rstrip(".0123456789")
    if interpreter not in INTERPRETERS:
        return ""
    no_file = ("c", "m") if interpreter == "python" else ("c",)  # a text or a module, perhaps as -Ic or -Im
    for word in hook.args[1:]:
        if word[:1] == "-" and word[1:2] != "-" and word[-1:] in no_file:
            break
        if word[:1] == "/":
            return str(word)
    return ""


def _script_problem(script: str, file: str, trust: "Trust") -> "ocihooks.errors.Diagnostic | None":
    """Who else could have written the *script*; None if nobody, also where it can't be told that it is one."""
    try:
        posix.close(open_trusted(script, trust))
    except ocihooks.errors.UntrustedError as error:
        message = f"script {ocihooks.errors.quoted(script, 200)}: {error.message}"
        return ocihooks.errors.Diagnostic(message, code=error.code, file=file, pointer="/hook/args", hint=error.hint)
    except (OSError, ValueError):  # text of another kind, or a matter of the interpreter's
        pass
    return None


def program_problem(program: str, file: str, trust: "Trust") -> "ocihooks.errors.Diagnostic | None":
    """Why the *program* that the rule *file* names can't be run on the host; None where it can."""
    try:
        descriptor = open_trusted(program, trust)
    except FileNotFoundError as error:
        hint = "install the program, or mask the rule with an empty file of its name in a later directory"
        return _about(file, "missing_program", program, f": {ocihooks.errors.os_reason(error)}", hint)
    except ocihooks.errors.UntrustedError as error:
        return _about(file, error.code, program, f": {error.message}", error.hint)
    except (OSError, ValueError) as error:
        reason = ocihooks.errors.os_reason(error) if isinstance(error, OSError) else "the path holds a NUL character"
        return _about(file, "unreachable_program", program, f": {reason}")
    try:
        mode = posix.fstat(descriptor).st_mode
    finally:
        posix.close(descriptor)
    if mode & 0o170000 != 0o100000:
        return _about(file, "odd_program", program, " is no regular file")
    if not posix.access(program, posix.X_OK):
        return _about(file, "odd_program", program, " is not executable", f"chmod +x {program}")
    return None


def _about(file: str, code: str, program: str, trouble: str, hint: str | None = None) -> "ocihooks.errors.Diagnostic":
    message = f"program {ocihooks.errors.quoted(program, 200)}{trouble}"
    return ocihooks.errors.Diagnostic(message, code=code, file=file, pointer="/hook/path", hint=hint)
