"""
Makes a hook of a Python function: a program that reads the container's state and can print its own rule file.

Spec: runtime-spec 1.3.0, config.md "POSIX-platform Hooks", runtime.md "State"; oci-hooks(5), schema 1.0.0.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property, update_wrapper
from typing import Any, NoReturn

from ocihooks.errors import DocumentError, HookError, OCIHooksError, only_errors, printable
from ocihooks.injection import DEFAULT_PATH
from ocihooks.spec.state import State

STAGE_VARIABLE = "OCIHOOKS_STAGE"
"""What tells the hook of a rule at which stage it runs; see ocihooks-rules(5)."""

TRACEBACK = "OCIHOOKS_TRACEBACK"
"""Environment variable that shows where an error comes from."""

_SUCCEEDED, _FAILED, _USAGE = 0, 1, 2

Function = Callable[["HookCall"], object]


class HookCall:
    """
    What a hook is given when it is called.

    Attributes:
        state: The container as its runtime describes it.
        stage: The stage at which it is called, where the wrapper made the entry; None: nobody says.
    """

    def __init__(self, state: State, *, stage: str | None = None) -> None:
        self.state = state
        self.stage = stage

    @cached_property
    def config(self) -> dict[str, Any]:
        """
        The container's config.json, parsed when it is first asked for.

        Raises:
            DocumentError: It can't be read, as inside of the container, or runtimes would read it differently.
        """
        from ocihooks.document import read_config

        config: dict[str, Any] = json.loads(read_config(os.path.join(self.state.bundle, "config.json")).text)
        return config

    @property
    def rootfs(self) -> str:
        """
        Absolute path of the root file system on the host; it holds whatever the image's author wants.

        Dots in it stay, since behind a link they lead elsewhere than they seem to.

        Raises:
            DocumentError: config.json can't be read, or names none.
        """
        root = self.config.get("root")
        path = root.get("path") if isinstance(root, dict) else None
        if not isinstance(path, str):
            file = os.path.join(self.state.bundle, "config.json")
            raise DocumentError("expected a string", code="missing_property", file=file, pointer="/root/path")
        return os.path.join(self.state.bundle, path).rstrip("/") or "/"


class HookProgram:
    """
    A function that is a hook. Calling it calls the function.

    Attributes:
        function: It gets a `HookCall`, and fails by raising.
        stages: Where it runs.
        when: The conditions as in a rule file.
        timeout: Seconds, or None.
        env: ``NAME=value`` entries of its environment; empty: a fixed PATH. There is always one in the rule file, since
            engines that read it themselves may otherwise give the hook the environment of the container.
    """

    def __init__(
        self,
        function: Function,
        *,
        stages: Iterable[str],
        when: Mapping[str, Any],
        timeout: int | None = None,
        env: Iterable[str] = (),
    ) -> None:
        self.function = function
        self.stages = tuple(stages)
        self.when = dict(when)
        self.timeout = timeout
        self.env = tuple(env)
        update_wrapper(self, function)

    def __call__(self, call: HookCall) -> object:
        """Call the function."""
        return self.function(call)

    @property
    def name(self) -> str:
        """What messages call it: the function's name."""
        return str(getattr(self.function, "__name__", "hook"))

    @property
    def file(self) -> str:
        """Absolute path of the file that the function is in."""
        code = getattr(self.function, "__code__", None)
        return os.path.abspath(getattr(code, "co_filename", ""))

    def rule(self, *, python: str | None = None, program: str | None = None) -> dict[str, Any]:
        """
        The rule file that runs this hook, as the document of schema 1.0.0.

        Args:
            python: The interpreter that runs the function's file; None: the one that runs this. It is started with
                ``-I``, so that neither its environment nor the working directory decides what is imported.
            program: Absolute path of a program that calls `main`, such as a console script, in place of the file.

        Raises:
            HookError: A stage, a condition or the timeout is none; ``problems`` has all reasons.
        """
        interpreter = python or sys.executable
        args = [program] if program else [interpreter, "-I", self.file]
        hook: dict[str, Any] = {"path": args[0], "args": args, "env": list(self.env or (DEFAULT_PATH,))}
        if self.timeout is not None:
            hook["timeout"] = self.timeout
        rule = {"version": "1.0.0", "hook": hook, "when": self.when, "stages": list(map(str, self.stages))}
        _check(rule, self.file)
        return rule

    def main(self, words: Sequence[str] | None = None) -> NoReturn:
        """
        Be the program: without words a hook, with ``--rule`` print the rule file; then exit.

        As a hook it reads the state from standard input to its end and calls the function. Whatever the function raises
        becomes one sentence on standard error and exit status 1; what it prints is left alone.

        Args:
            words: The arguments; None: those of this process.
        """
        given = list(sys.argv[1:] if words is None else words)
        if given == ["--rule"]:
            sys.exit(self._print_rule())
        if given or sys.stdin is None or sys.stdin.isatty():
            _say(f"usage: {self.name} [--rule]; as a hook it reads a container's state from standard input")
            sys.exit(_USAGE)
        sys.exit(self._run(sys.stdin.buffer.read()))

    def _print_rule(self) -> int:
        main = getattr(sys.modules.get("__main__"), "__file__", None)
        is_file = main is not None and os.path.abspath(main) == self.file
        try:
            rule = self.rule(program=None if is_file else os.path.abspath(sys.argv[0]))
        except HookError as error:
            _say(error.render(self.name))
            return _FAILED
        sys.stdout.write(json.dumps(rule, indent=2) + "\n")
        return _SUCCEEDED

    def _run(self, data: bytes) -> int:
        try:
            state = State.from_json(json.loads(data))
        except (ValueError, RecursionError, DocumentError) as error:
            _say(f"{self.name}: standard input: not the state of a container: {printable(str(error))}")
            return _FAILED
        try:
            self.function(HookCall(state, stage=os.environ.get(STAGE_VARIABLE)))
        except OCIHooksError as error:
            _say(error.render(self.name))
            return _FAILED
        except Exception as error:
            if os.environ.get(TRACEBACK):
                raise
            _say(f"{self.name}: {_sentence(error)}")
            return _FAILED
        return _SUCCEEDED


def hook(
    *, stages: Iterable[str], when: Mapping[str, Any], timeout: int | None = None, env: Iterable[str] = ()
) -> Callable[[Function], HookProgram]:
    """
    Make a hook of a function, which gets a `HookCall`.

    The function succeeds by returning, whatever it returns, and fails by raising; the text of what it raises is what
    users see. The module becomes a program by calling `HookProgram.main` where it is run, and ``--rule`` then prints
    the rule file for it.

    Args:
        stages: Names of stages of the runtime-spec, or `ocihooks.Stage`. A program of startContainer is looked up in
            the container, with the interpreter and this package.
        when: The conditions with the members of a rule file: ``always``, ``annotations``, ``commands``,
            ``hasBindMounts``. Empty: it never matches. All of this is checked when the rule is asked for.
        timeout: Whole seconds after which the hook is ended; None: the settings', or no limit.
        env: ``NAME=value`` entries of its environment; empty: a fixed PATH.

    Spec: oci-hooks(5), schema 1.0.0.
    """

    def made(function: Function) -> HookProgram:
        return HookProgram(function, stages=stages, when=when, timeout=timeout, env=env)

    return made


def _check(rule: Mapping[str, Any], file: str) -> None:
    from ocihooks.hooksd.fields import Reading
    from ocihooks.hooksd.readers import read_document

    reading = Reading(file)
    if read_document(json.dumps(rule).encode(), reading) is None:
        raise HookError(problems=only_errors(reading.problems))


def _sentence(error: Exception) -> str:
    """What *error* says on one line; its kind where it says nothing, or where the words alone would be a riddle."""
    text = printable(" ".join(str(error).split()))
    plain = type(error) in (Exception, RuntimeError, ValueError, OSError) and text
    return text if plain else f"{type(error).__name__}: {text}" if text else type(error).__name__


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
