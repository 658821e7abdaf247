"""
The main job, shown on real containers: rules in a directory, containers through the wrapper, and what came of it.

Everything happens in a temporary directory, which is removed at the end. Without root or runc the same is shown on a
simulated runtime: hooks run for real, containers do not.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path

from ocihooks.errors import OCIHooksError, UnavailableError
from ocihooks.testing.bundles import MadeBundle, make_bundle, make_rootfs
from ocihooks.testing.fake import write_fake_runtime
from ocihooks.testing.runtimes import find_runtime

OCIHOOKS = Path(sys.executable).with_name("ocihooks")

HOOK = """\
#!/bin/sh
# A hook of the demonstration: writes down when it ran, and what it was given.
state=$(cat)
pick() { printf '%s' "$state" | sed -n "s/.*\\"$1\\": *\\"\\{0,1\\}\\([^\\",}]*\\).*/\\1/p"; }
printf '%s\\t%s\\t%s\\t%s\\t%s\\t%s\\n' "$(date +%s.%N)" "$OCIHOOKS_STAGE" "${OCIHOOKS_RULE##*/}" \\
    "$(pick id)" "$(pick status)" "$(pick pid)" >> "$1"
"""

RULES = {
    "10-gpu.json": {
        "hook": "gpu",
        "when": {"annotations": {r"^com\.example\.gpu$": "^yes$"}},
        "stages": ["createRuntime", "poststop"],
    },
    "20-echo.json": {"hook": "echo", "when": {"commands": ["^echo$"]}, "stages": ["createContainer"]},
    "30-database.json": {
        "hook": "database",
        "when": {"annotations": {r"^com\.example\.database$": "."}},
        "stages": ["createRuntime"],
    },
}

BROKEN = '{"version": "1.0.0", "hook": {"path": "/bin/true"}, "when": {"always": true}, "stages": ["createruntime"]}\n'


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """
    Where the demonstration plays.

    Attributes:
        place: The temporary directory.
        runtime: The real runtime, or the simulated one.
        real: Whether containers are real.
    """

    place: Path
    runtime: Path
    real: bool

    @property
    def hooks(self) -> Path:
        """The hooks directory."""
        return self.place / "hooks.d"

    @property
    def wrapper(self) -> Path:
        """The installed wrapper."""
        return self.place / "prefix/bin/ocihooks-runtime"

    @property
    def seen(self) -> Path:
        """What the hooks write down."""
        return self.place / "seen"

    def short(self, text: str) -> str:
        """*text* without the name of the temporary directory."""
        return text.replace(str(self.place), "DEMO")


def main() -> int:
    """Play all acts; the exit status is 0 when each went as told."""
    with tempfile.TemporaryDirectory(prefix="ocihooks-demo-", dir="/tmp") as directory:
        place = Path(directory)
        place.chmod(0o755)
        stage = set_the_stage(place)
        show_rules(stage)
        install(stage)
        rootfs = make_rootfs(place / "rootfs")
        annotated(stage, rootfs)
        by_command(stage, rootfs)
        untouched(stage, rootfs)
        broken(stage, rootfs)
        cost(stage, rootfs)
        finish(stage)
    return 0


def say(text: str = "") -> None:
    """Print a paragraph."""
    print(textwrap.fill(text, width=100) if text else "")


def title(number: int, text: str) -> None:
    """Print the heading of an act."""
    print(f"\n{number}. {text}\n")


def run(stage: Stage, *argv: object, expected: int = 0, quiet: bool = False) -> subprocess.CompletedProcess[str]:
    """Run a command and show it with its output; another exit status than *expected* ends the demonstration."""
    words = [str(word) for word in argv]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=stage.place)
    if not quiet:
        shown = stage.short(" ".join([Path(words[0]).name, *words[1:]]))
        print(f"   $ {shown}")
        for line in (done.stdout + done.stderr).splitlines():
            print(f"     {stage.short(line)}")
    if done.returncode != expected:
        sys.exit(f"demo: {words}: expected exit status {expected}, found {done.returncode}\n{done.stderr}")
    return done


def set_the_stage(place: Path) -> Stage:
    """Choose a runtime, real if possible, and write the rules and their hook."""
    try:
        if os.geteuid() != 0:
            raise UnavailableError("this is not root, who alone can make containers with all namespaces")
        runtime, real = find_runtime("runc"), True
        path = runtime.path
        say(f"Real containers with runc {runtime.version}, in {place} (called DEMO below).")
    except OCIHooksError as error:
        path, real = write_fake_runtime(place / "simulated-runc").path, False
        say(f"A SIMULATED runtime, since {error.message}: hooks run for real, containers do not.")
    stage = Stage(place=place, runtime=path, real=real)
    stage.hooks.mkdir()
    hook = place / "hook"
    hook.write_text(HOOK)
    hook.chmod(0o755)
    for name, rule in RULES.items():
        program = {"path": str(hook), "args": [rule["hook"], str(stage.seen)]}
        document = {"version": "1.0.0", "hook": program, "when": rule["when"], "stages": rule["stages"]}
        (stage.hooks / name).write_text(json.dumps(document, indent=2) + "\n")
    return stage


def show_rules(stage: Stage) -> None:
    """Act 1."""
    title(1, "Three rules: files that say which program runs, when, and for which containers")
    run(stage, OCIHOOKS, "list", "--hooks-dir", stage.hooks)


def install(stage: Stage) -> None:
    """Act 2."""
    title(2, "The wrapper: a program that engines call in place of the runtime")
    run(
        stage,
        *(OCIHOOKS, "install", "--prefix", stage.place / "prefix", "--runtime", stage.runtime),
        *("--hooks-dir", stage.hooks, "--settings", stage.place / "config.toml", "--cache-dir", stage.place / "cache"),
        quiet=True,
    )
    say("   ocihooks install wrote DEMO/prefix/bin/ocihooks-runtime, which takes every command line of the runtime.")


def bundle(stage: Stage, rootfs: Path, name: str, *args: str, annotations: dict[str, str] | None = None) -> MadeBundle:
    """A bundle as an engine would make it."""
    return make_bundle(stage.place / name, rootfs=rootfs, args=args, annotations=annotations)


def annotated(stage: Stage, rootfs: Path) -> None:
    """Act 3: a rule matches by annotation."""
    title(3, 'A container with the annotation com.example.gpu = "yes"')
    made = bundle(
        stage, rootfs, "gpu", "sh", "-c", "echo hello from the container", annotations={"com.example.gpu": "yes"}
    )
    say("   Why which rule matches:")
    run(stage, OCIHOOKS, "explain", made.directory, "--hooks-dir", stage.hooks)
    before = made.config_path.read_bytes()
    run(stage, stage.wrapper, "run", "--bundle", made.directory, "demo-gpu")
    show_gain(stage, before, made.config_path.read_bytes())
    show_seen(stage)


def by_command(stage: Stage, rootfs: Path) -> None:
    """Act 4: a rule matches by command, and the engine's own life-cycle is used."""
    title(4, "A container whose command is echo, created, started and deleted one by one as engines do")
    made = bundle(stage, rootfs, "echo", "echo", "hello again")
    for operation in (["create", "--bundle", made.directory], ["start"]):
        run_detached(stage, *operation, "demo-echo")
    if not stage.real:  # nobody runs there who could end
        run_detached(stage, "kill", "demo-echo", "KILL")
    wait_until_stopped(stage, "demo-echo")
    run_detached(stage, "delete", "demo-echo")
    show_seen(stage)


def run_detached(stage: Stage, *words: object) -> None:
    """A runtime call whose container keeps our output; captured pipes would wait for the container."""
    argv = [str(stage.wrapper), *map(str, words)]
    print(f"   $ {stage.short(' '.join([stage.wrapper.name, *argv[1:]]))}")
    output = stage.place / "output"
    with output.open("wb") as stream:
        done = subprocess.run(argv, stdout=stream, stderr=stream, stdin=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        sys.exit(f"demo: {argv}: exit status {done.returncode}\n{output.read_text()}")


def wait_until_stopped(stage: Stage, container: str) -> None:
    """Wait for the end of a container, for ten seconds at most."""
    for _ in range(200):
        state = json.loads(run(stage, stage.wrapper, "state", container, quiet=True).stdout)
        if state["status"] == "stopped":
            return
        time.sleep(0.05)
    sys.exit(f"demo: container {container} does not end")


def untouched(stage: Stage, rootfs: Path) -> None:
    """Act 5: nothing matches."""
    title(5, "A container that no rule matches")
    made = bundle(stage, rootfs, "plain", "true")
    before = made.config_path.read_bytes()
    run(stage, stage.wrapper, "run", "--bundle", made.directory, "demo-plain")
    if made.config_path.read_bytes() != before or stage.seen.exists():
        sys.exit("demo: a container that no rule matches was changed")
    say("   No hook ran, and config.json is byte for byte as it was.")


def broken(stage: Stage, rootfs: Path) -> None:
    """Act 6: a broken rule."""
    title(6, "A broken rule: no container starts, and the message says what to do")
    made = bundle(stage, rootfs, "refused", "true")
    before = made.config_path.read_bytes()
    rule = stage.hooks / "40-broken.json"
    rule.write_text(BROKEN)
    run(stage, stage.wrapper, "run", "--bundle", made.directory, "demo-refused", expected=1)
    rule.unlink()
    if made.config_path.read_bytes() != before:
        sys.exit("demo: a refused container's config.json was changed")


def show_gain(stage: Stage, before: bytes, after: bytes) -> None:
    """What config.json gained."""
    hooks = json.loads(after)["hooks"]
    added = {name: [" ".join(hook["args"][:1]) for hook in items] for name, items in hooks.items()}
    outside = re.sub(rb',"hooks":.*\}(?=\})', b"", after) == before
    say()
    say(f"   config.json gained {len(after) - len(before)} bytes, all of them in hooks: {stage.short(str(added))}")
    if not outside:
        sys.exit("demo: bytes outside of hooks changed")


def show_seen(stage: Stage) -> None:
    """What the hooks saw, and when they ran."""
    lines = [line.split("\t") for line in stage.seen.read_text().splitlines()]
    started = float(lines[0][0])
    print("   What the hooks saw:")
    for moment, name, rule, container, status, pid in lines:
        after = (float(moment) - started) * 1000
        print(f"     +{after:4.0f} ms  {name:16} {rule:16} container {container}, {status or '?'}, pid {pid or 'none'}")
    stage.seen.unlink()


def cost(stage: Stage, rootfs: Path) -> None:
    """Act 7: what it costs."""
    title(7, "What it costs")
    made = bundle(stage, rootfs, "cost", "true")
    time.sleep(2.5)  # rules are kept compiled once nobody has touched them for two seconds
    programs = {"alone": stage.runtime, "wrapped": stage.wrapper}
    times: dict[str, list[float]] = {name: [] for name in programs}
    for number in range(7):
        for name, program in programs.items():
            started = time.perf_counter()
            run(stage, program, "run", "--bundle", made.directory, f"demo-{name}-{number}", quiet=True)
            times[name].append((time.perf_counter() - started) * 1000)
    alone, wrapped = (statistics.median(times[name]) for name in programs)
    say(
        f"   One whole container, median of {len(times['alone'])}: {alone:.0f} ms with the runtime alone, "
        f"{wrapped:.0f} ms through the wrapper with {len(RULES)} rules."
    )


def finish(stage: Stage) -> None:
    """Take everything away again."""
    run(stage, OCIHOOKS, "uninstall", "--prefix", stage.place / "prefix", quiet=True)
    kind = "real containers" if stage.real else "a simulated runtime"
    print()
    say(f"Shown on {kind}. The wrapper was uninstalled, and all files are removed.")


if __name__ == "__main__":
    sys.exit(main())
