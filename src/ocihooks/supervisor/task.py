"""
What the supervisor is to do, read from its own words and environment, which `ocihooks.injection` wrote.

On the supervisor's warm path.
"""

from ocihooks.injection import HOOK_VARIABLE, RULE_MARK, STAGE_MARK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

OPTIONS = ("--timeout", "--on-failure", "--leftovers", "--records")


class Task:
    """
    One hook to run under supervision.

    Attributes:
        path: The program.
        args: Its whole argv.
        env: Its environment as the rule has it; empty: none was given.
        timeout_s: None: no limit.
        on_failure: "fail", "warn" or "ignore".
        kill_leftovers: Whether to kill after success what the hook left behind.
        records: The file for the record; "": none.
        rule: The rule's file.
        stage: The stage.
    """

    __slots__ = ("args", "env", "kill_leftovers", "on_failure", "path", "records", "rule", "stage", "timeout_s")

    def __init__(
        self,
        *,
        path: str,
        args: "Sequence[str]",
        env: "Sequence[str]" = (),
        timeout_s: int | None = None,
        on_failure: str = "fail",
        kill_leftovers: bool = False,
        records: str = "",
        rule: str = "",
        stage: str = "",
    ) -> None:
        self.path = path
        self.args = tuple(args)
        self.env = tuple(env)
        self.timeout_s = timeout_s
        self.on_failure = on_failure
        self.kill_leftovers = kill_leftovers
        self.records = records
        self.rule = rule
        self.stage = stage


def read_task(words: "Sequence[str]", environ: "Mapping[str, str]") -> Task:
    """
    The task in the supervisor's own words and environment.

    Raises:
        ValueError: These are not words of ours; says which one.
    """
    options: dict[str, str] = {}
    rest = list(words)
    while rest and rest[0] != "--":
        name, equals, value = rest.pop(0).partition("=")
        if name not in OPTIONS or not equals:
            raise ValueError(name)
        options[name] = value
    if len(rest) < 3:
        raise ValueError("no program to run")
    numbers = sorted(
        int(name[len(HOOK_VARIABLE) :])
        for name in environ
        if name.startswith(HOOK_VARIABLE) and name[len(HOOK_VARIABLE) :].isdigit()
    )
    timeout = options.get("--timeout")
    return Task(
        path=rest[1],
        args=rest[2:],
        env=[environ[f"{HOOK_VARIABLE}{number}"] for number in numbers],
        timeout_s=None if timeout is None else int(timeout),
        on_failure=options.get("--on-failure", "fail"),
        kill_leftovers=options.get("--leftovers") == "kill",
        records=options.get("--records", ""),
        rule=environ.get(RULE_MARK[:-1], ""),
        stage=environ.get(STAGE_MARK[:-1], ""),
    )
