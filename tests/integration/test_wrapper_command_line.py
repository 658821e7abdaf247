"""The wrapper's reading of a command line against the real runtimes: the bundle that we name is the one that runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ocihooks.testing.bundles import MadeBundle
from ocihooks.testing.runtimes import PrivateRuntime
from ocihooks.wrapper.arguments import Call, changes_container, config_file, parse

pytestmark = pytest.mark.runtime

# A command line and, for runc and crun, which container runs: "one", "two", "here" (the bundle in the working
# directory), "other" (a second configuration in the directory of "one"), or None.
LINES: list[tuple[str, str | None, str | None]] = [
    ("run --bundle ONE ID", "one", "one"),
    ("run --bundle=ONE ID", "one", "one"),
    ("run -b ONE ID", "one", "one"),
    ("run -b=ONE ID", "one", None),
    ("run -bONE ID", None, "one"),
    ("run -bundle ONE ID", "one", None),
    ("run -bundle=ONE ID", "one", None),
    ("run --b ONE ID", "one", "one"),
    ("run --bund ONE ID", None, "one"),
    ("run --bund=ONE ID", None, "one"),
    ("run ID", "here", "here"),
    ("run --bundle= ID", "here", None),
    ("run --bundle . ID", "here", "here"),
    ("run ID --bundle ONE", "one", None),
    ("run ID -b ONE --no-pivot", "one", None),
    ("run --no-pivot ID --bundle ONE", None, None),
    ("run --bundle ONE -- ID", "one", "one"),
    ("run --bundle ONE ID --", "one", None),
    ("run -- ID --bundle ONE", None, None),
    ("-- run --bundle ONE ID", "one", "one"),
    ("run --bundle ONE --bundle TWO ID", "two", "two"),
    ("run -b ONE --bundle=TWO ID", None, "two"),
    ("run -b ONE -b=TWO ID", "two", None),
    ("run --bundle ONE ID --bundle TWO", "two", None),
    ("run --bundle ONE ID TWO", None, None),
    ("run --bundle ONE", None, None),
    ("run --bundle", None, None),
    ("run --no-pivot --no-new-keyring --bundle ONE ID", "one", "one"),
    ("run --no-pivot=false --bundle ONE ID", "one", None),
    ("run --no-subreaper --pid-file PID --preserve-fds 0 -b ONE ID", "one", "one"),
    ("run --pid-file --bundle ONE ID", None, None),
    ("run --pid-file -- --bundle ONE ID", "one", "one"),
    ("run --pre 0 --pi PID --bun ONE ID", None, "one"),
    ("run --conf OTHER --bun ONE ID", None, "other"),
    ("run --config OTHER --bundle TWO ID", None, "other"),
    ("run --config=OTHER --bundle ONE ID", None, "other"),
    ("run -f OTHER -b ONE ID", None, "other"),
    ("run -fOTHER -bTWO ID", None, "other"),
    ("run -f config.json -b ONE ID", None, "one"),
    ("run -f ./config.json -b ONE ID", None, "here"),
    ("run -f nosuch.json -b ONE ID", None, None),
    ("--debug run --bundle ONE ID", "one", "one"),
    ("--debug=false run --bundle ONE ID", "one", None),
    ("-debug run --bundle ONE ID", "one", None),
    ("--log LOG --log-format json run --bundle ONE ID", "one", "one"),
    ("--log=LOG --log-format=text run --bundle ONE ID", "one", "one"),
    ("-log LOG run --bundle ONE ID", "one", None),
    ("--rootless false run --bundle ONE ID", "one", "one"),
    ("--criu /sbin/criu run --bundle ONE ID", "one", None),
    ("--cgroup-manager cgroupfs run --bundle ONE ID", None, "one"),
    ("--cgroup-m=cgroupfs run --bundle ONE ID", None, "one"),
    ("run --cgroup-manager cgroupfs --bundle ONE ID", None, None),
    ("run --debug --bundle ONE ID", None, None),
    ("run --nosuch --bundle ONE ID", None, None),
    ("run --nosuch=1 --bundle ONE ID", None, None),
    ("--nosuch run --bundle ONE ID", None, None),
    ("run --help --bundle ONE ID", None, None),
    ("run --help=false --bundle ONE ID", "one", None),
    ("--help run --bundle ONE ID", None, None),
    ("--version run --bundle ONE ID", None, None),
    ("spec --help", None, None),
    ("nosuch --bundle ONE ID", None, None),
]


@pytest.fixture
def bundles(runtime: PrivateRuntime) -> dict[str, MadeBundle]:
    """Bundles whose containers print their name."""
    made = {name: runtime.make_bundle(args=("echo", f"printed-{name}")) for name in ("one", "two", "here")}
    other = runtime.make_bundle(args=("echo", "printed-other"))
    (made["one"].directory / "other.json").write_bytes(other.config_path.read_bytes())
    return made


def _named(call: Call, here: Path, bundles: dict[str, MadeBundle]) -> str | None:
    """The container whose configuration *call* names; None: none of them."""
    path = (here / config_file(call)).resolve()
    if path == bundles["one"].directory / "other.json":
        return "other"
    return next((name for name, bundle in bundles.items() if path == bundle.config_path), None)


@pytest.mark.parametrize(("line", "by_runc", "by_crun"), LINES, ids=[line for line, *_ in LINES])
def test_the_named_bundle_is_the_one_that_runs(
    runtime: PrivateRuntime, bundles: dict[str, MadeBundle], line: str, by_runc: str | None, by_crun: str | None
) -> None:
    """A spelling that the runtime accepts runs the bundle that we name, without a doubt; all others run nothing."""
    container_id = runtime.new_id()
    here = bundles["here"].directory
    places = {
        "ONE": f"../{bundles['one'].directory.name}",
        "TWO": str(bundles["two"].directory),
        "OTHER": f"../{bundles['one'].directory.name}/other.json",
        "PID": str(runtime.directory / "pid"),
        "LOG": str(runtime.directory / "log"),
        "ID": container_id,
    }
    words = re.sub("|".join(places), lambda match: places[match[0]], line).split(" ")
    ran = runtime.call(*words, cwd=here)
    printed = next((name for name in ("one", "two", "here", "other") if f"printed-{name}" in ran.stdout), None)
    assert printed == (by_runc if runtime.name == "runc" else by_crun), str(ran)
    call = parse(["--root", str(runtime.root), *words], runtime.name)
    assert call.root == str(runtime.root)
    if printed is None:
        assert ran.status != 0 or not changes_container(call)
        return
    assert _named(call, here, bundles) == printed
    assert call.container_id == container_id
    assert changes_container(call)
    assert (call.refused, call.doubt) == (False, None)


def test_the_named_bundle_is_the_one_that_is_created(runtime: PrivateRuntime, bundles: dict[str, MadeBundle]) -> None:
    """create reads its options as run does: the state that the runtime keeps names our bundle."""
    container_id = runtime.new_id()
    words = ("create", "-b", bundles["two"].directory.name, "--pid-file", "pid", container_id)
    created = runtime.call(*words)
    assert created.status == 0, str(created)
    state = runtime.state(container_id)
    assert state is not None
    assert state["bundle"] == str(runtime.directory / parse(words, runtime.name).bundle)


# No line can run a container or write anything: nothing exists below these paths, nor can it be made there.
NOWHERE = "/proc/nowhere"
GLOBAL = st.sampled_from(
    [
        *("--", "--debug", "--debug=false", "-debug", "--systemd-cgroup", "--rootless", "true", "--log-format", "text"),
        *(
            "--log-format=json",
            "--log-f",
            "--ro",
            "--cgroup-manager",
            "cgroupfs",
            "--criu",
            "--help",
            "-v",
            "--new",
            "-",
        ),
        *(f"--root={NOWHERE}", "-root", NOWHERE),
    ]
)
OPTION = st.sampled_from(
    [
        *("--bundle", "-b", "-bundle", "--b", "--bund", "-db", "--bundle=", f"--bundle={NOWHERE}/a", f"-b={NOWHERE}/b"),
        *(f"-b{NOWHERE}/c", f"-db{NOWHERE}/d", f"{NOWHERE}/e", "--detach", "-d", "--d", "-dx", "-d?", "--no-pivot"),
        *(
            "--no-pivot=false",
            "--no",
            "--keep",
            "--no-subreaper",
            "--preserve-fds",
            "--preserve-fds=0",
            "0",
            "--pid-file",
        ),
        *(
            f"--pid-file={NOWHERE}/p",
            "--p",
            "--console-socket",
            "--co",
            "--config",
            "-f",
            f"--config={NOWHERE}/f",
            "--con",
        ),
        *(
            "--root",
            f"--root={NOWHERE}",
            "--debug",
            "--help",
            "--help=false",
            "-h",
            "--usage",
            "--new",
            "--new=1",
            "-x",
        ),
        *("--", "--", "-", "-1", "---bundle", "--=x", "-=", "", " --bundle", "i", "j"),
    ]
)


def _tried(name: str, output: str) -> str | None:
    """The directory or file that the runtime said it can't use; "": the working directory; None: it looked for none."""
    if name == "runc":
        missing = "JSON specification file" in output
        found = re.search(r"failed: chdir (.*): no such file", output)
    else:
        missing = "error loading" in output
        found = re.search(r"(?:chdir|realpath) `(.*)` failed", output)
    if found:
        return found[1]
    return "" if missing else None


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    before=st.lists(GLOBAL, max_size=2),
    operation=st.sampled_from(["create", "run"]),
    options=st.lists(OPTION, max_size=5),
    last=st.sampled_from([[], ["container"]]),
)
def test_any_line_means_the_same_to_the_runtime(
    runtime: PrivateRuntime, before: list[str], operation: str, options: list[str], last: list[str]
) -> None:
    """For any line, a runtime that looks for a bundle looks for the one that we name, or we had a doubt."""
    words = ["--root", str(runtime.root), *before, operation, *options, *last]
    ran = runtime.execute([str(runtime.path), *words], cwd="/proc/sys/fs")
    tried = _tried(runtime.name, ran.stdout + ran.stderr)
    if tried is None:
        return
    for call in (parse(words, runtime.name), parse(words, "")):
        assert changes_container(call)
        assert not call.refused
        assert call.doubt or tried in ((call.bundle, call.config) if tried else (call.bundle,)), str(ran)
