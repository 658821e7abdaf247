"""The rows: what is tried, how much of it, what has to come of it, and which tests do it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """
    One line of the table.

    Attributes:
        key: What it is called on the command line.
        title: What is tried.
        asked: How much of it.
        passes: What has to come of it.
        tests: The tests that do it, at full amounts where they are marked slow: a file, or a class or function in it.
        controls: Tests that do the same to something careless, which has to fail.
        attack: Whether somebody means harm, or a fault comes when it hurts most, so that the row needs a control.
        quick: Whether ``make test`` does it too, at small amounts.
        alone: Whether no other row may run beside it, since it compares times, or needs all processors itself.
        parts: Into how many runs of pytest it is split, so that two can work on it.
    """

    key: str
    title: str
    asked: str
    passes: str
    tests: tuple[str, ...]
    controls: tuple[str, ...] = ()
    attack: bool = False
    quick: bool = False
    alone: bool = False
    parts: int = 1


ROWS = (
    Row(
        key="kill-anywhere",
        title="killed at every system call: create, configure, unconfigure",
        asked="every call",
        passes="the old or the new file, whole; the next run repairs and cleans up",
        tests=(
            "tests/integration/test_wrapper_crashes.py::test_killed_anywhere",
            "tests/integration/test_wrapper_crashes.py::test_killed_while_skipping",
            "tests/integration/test_configure_crashes.py::test_killed_while_writing",
            "tests/unit/test_replace_attacks.py::TestKilled::test_at_every_call",
        ),
        controls=("tests/unit/test_replace_attacks.py::TestKilled::test_control",),
        attack=True,
        quick=True,
        parts=2,
    ),
    Row(
        key="errors-anywhere",
        title="refused with each of eight errors at every call on a file",
        asked="about 1,200 calls",
        passes="a failure leaves the old file, nothing beside it, and one sentence with path and cause",
        tests=(
            "tests/integration/test_wrapper_crashes.py::test_refused_anywhere",
            "tests/integration/test_wrapper_crashes.py::test_refused_anywhere_by_every_error",
            "tests/integration/test_wrapper_crashes.py::test_refused_while_skipping",
            "tests/integration/test_wrapper_crashes.py::test_refused_while_writing",
            "tests/integration/test_configure_crashes.py::test_refused_while_writing",
            "tests/integration/test_configure_crashes.py::test_refused_while_reading",
            "tests/unit/test_replace_attacks.py::TestFailing::test_at_every_call",
            "tests/unit/test_replace_attacks.py::TestFailing::test_all_errors",
            "tests/unit/test_replace_attacks.py::TestFailing::test_short_writes",
        ),
        controls=("tests/unit/test_replace_attacks.py::TestFailing::test_control",),
        attack=True,
        quick=True,
        parts=4,
    ),
    Row(
        key="random-kill",
        title="killed at any time while files are replaced",
        asked="1,000 kills",
        passes="no torn file; of those written in place more than 30 % are torn",
        tests=(
            "tests/unit/test_replace_attacks.py::TestKilledAtRandom::test_whole",
            "tests/integration/test_wrapper_crashes.py::test_killed_at_random",
        ),
        controls=("tests/unit/test_replace_attacks.py::TestKilledAtRandom::test_control",),
        attack=True,
    ),
    Row(
        key="power-loss",
        title="power loss while files are replaced, on a file system that writes data late",
        asked="60 losses",
        passes="never an empty or torn file; what was reported as done is there afterwards",
        tests=("tests/unit/test_replace_power_loss.py::test_whole",),
        controls=("tests/unit/test_replace_power_loss.py::test_control",),
        attack=True,
    ),
    Row(
        key="odd-files",
        title="configuration files that are no plain files in plain directories",
        asked="20 cases on each of 3 engines",
        passes="each ends as it should, with mode, owner and attributes as before",
        tests=("tests/unit/test_engines_hard_files.py",),
    ),
    Row(
        key="documents",
        title="documents that are made up, damaged, or at the limits",
        asked="20,000 made up, 1,000,000 damaged, 4 fuzzers for 120 s, 40 limits on each Python",
        passes="bytes outside of `hooks` stay; read, or refused in our words, within 50 ms, everywhere alike",
        tests=(
            "tests/unit/test_document_properties.py",
            "tests/unit/test_document_mutations.py",
            "tests/unit/test_document_limits.py",
            "tests/unit/test_document.py::TestLimits",
            "tests/unit/test_launcher_agreement.py",
            "tests/unit/test_fuzz_corpora.py",
            "tests/unit/test_fuzz_findings.py",
            "tests/unit/test_fuzz_runs.py::test_nothing_is_found",
        ),
        controls=(
            "tests/unit/test_document_mutations.py::test_careless",
            "tests/unit/test_fuzz_runs.py::test_careless_reader",
            "tests/unit/test_fuzz_runs.py::test_careless_launcher",
        ),
        attack=True,
        quick=True,
        parts=8,
    ),
    Row(
        key="differential",
        title="made-up rules and containers on both runtimes",
        asked="300 scenarios on 2 runtimes",
        passes="what we accept both accept, and they run exactly the expected hooks",
        tests=("tests/integration/test_differential.py::test_generated",),
        parts=3,
    ),
    Row(
        key="patterns",
        title="patterns that take other engines exponential time, and pairs with known verdicts",
        asked="20 patterns on texts up to 1 MiB, 500 pairs",
        passes="within 100 ms; the verdicts of RE2",
        tests=("tests/unit/test_hooksd_patterns.py",),
        controls=("tests/unit/test_hooksd_patterns.py::test_backtracking",),
        attack=True,
        quick=True,
        alone=True,
    ),
    Row(
        key="hooks",
        title="hooks that misbehave",
        asked="16 kinds, 20 times each, and through both runtimes",
        passes="over at timeout + 1 s (+ 1.5 s through a runtime), nobody survives, memory stays below 64 MiB",
        tests=(
            "tests/unit/test_execution_misbehaving.py::test_misbehaving_hooks_again_and_again",
            "tests/unit/test_execution_misbehaving.py::test_misbehaving_hook_of_a_caller_without_other_children",
            "tests/unit/test_execution_misbehaving.py::test_misbehaving_hook_is_over_in_time_and_leaves_nothing",
            "tests/integration/test_wrapper_supervised.py::test_misbehaving_hooks",
        ),
        controls=(
            "tests/unit/test_execution_misbehaving.py::test_the_naive_runner_is_noticed",
            "tests/integration/test_wrapper_supervised.py::test_the_runtime_alone_is_noticed",
        ),
        attack=True,
        quick=True,
    ),
    Row(
        key="trees",
        title="hostile trees in the container's root, with something watched beside it",
        asked="45 trees, 9 operations each",
        passes="what lies beside the root is neither read nor changed; each within 5 s",
        tests=("tests/unit/test_injector_hostile.py::test_hostile_trees",),
        controls=("tests/unit/test_injector_hostile.py::test_the_watch_notices_the_naive",),
        attack=True,
        quick=True,
    ),
    Row(
        key="races",
        title="directories and files exchanged for links while the injector works",
        asked="60 s and 200,000 exchanges for each of 9 kinds of work",
        passes="no escape; somebody careless escapes within 5 s",
        tests=(
            "tests/unit/test_injector_races.py::test_races",
            "tests/unit/test_injector_races.py::test_short_race",
        ),
        controls=(
            "tests/unit/test_injector_races.py::test_all_the_naive_escape",
            "tests/unit/test_injector_races.py::test_the_naive_escape",
        ),
        attack=True,
        quick=True,
        alone=True,
    ),
    Row(
        key="races-elsewhere",
        title="the same without openat2, with a kernel that is never sure, and by somebody careless under Landlock",
        asked="20 s each",
        passes="no escape",
        tests=(
            "tests/unit/test_injector_races.py::test_races_on_other_kernels",
            "tests/unit/test_injector_races.py::test_naive_under_landlock",
        ),
        controls=("tests/unit/test_injector_races.py::test_the_naive_escape",),
        attack=True,
    ),
    Row(
        key="injection",
        title="code of the image on the host, by variables and planted modules",
        asked="144 ways",
        passes="nothing of the image runs on the host",
        tests=(
            "tests/integration/test_wrapper_injection.py::test_injection",
            "tests/integration/test_wrapper_injection.py::test_injection_after_a_rewrite",
            "tests/integration/test_attacks.py::test_environment_of_the_image",
        ),
        controls=("tests/integration/test_wrapper_injection.py::test_control",),
        attack=True,
        quick=True,
    ),
    Row(
        key="ldconfig",
        title="the host's ldconfig on hostile images",
        asked="12 cases, 20,000 libraries, 3,000 damaged ones",
        passes="over within 16 s, contained, and the sandbox is seen from outside",
        tests=(
            "tests/unit/test_injector_ldconfig.py::test_hostile_images",
            "tests/unit/test_injector_ldconfig.py::test_many_libraries",
            "tests/unit/test_injector_ldconfig.py::test_mutated_libraries",
            "tests/unit/test_injector_ldconfig.py::test_failing_program",
            "tests/unit/test_injector_ldconfig.py::test_sandbox_from_outside",
            "tests/unit/test_injector_ldconfig.py::test_sandbox_from_inside",
        ),
        controls=("tests/unit/test_injector_ldconfig.py::test_the_naive_falls_for_hostile_images",),
        attack=True,
    ),
    Row(
        key="permissions",
        title="files, directories, parents, programs and interpreters of somebody else",
        asked="30 modes and owners",
        passes="refused with the remedy; good ones pass",
        tests=("tests/integration/test_wrapper_permissions.py", "tests/unit/test_trust.py"),
        controls=(
            "tests/integration/test_wrapper_permissions.py::test_whoever_does_not_look_takes_all",
            "tests/unit/test_trust.py::TestRaces::test_control",
        ),
        attack=True,
        quick=True,
    ),
    Row(
        key="parallel",
        title="many containers created at once while rules are edited",
        asked="500 at once, 1,000 edits",
        passes="none fails; each gets old or new rules, whole; within 2 x runc with the same hooks, at all times",
        tests=("tests/integration/test_wrapper_parallel.py",),
        quick=True,
        alone=True,
    ),
    Row(
        key="editors",
        title="many who configure one engine at once, and one that is killed or stopped meanwhile",
        asked="16 with 50 edits each",
        passes="nothing is lost; the next one goes on in less than 1 s; who is stopped is named after 10 s",
        tests=(
            "tests/integration/test_configure_parallel.py::test_editors",
            "tests/integration/test_configure_parallel.py::test_holder_killed",
            "tests/integration/test_configure_parallel.py::test_holder_stopped",
            "tests/integration/test_configure_parallel.py::test_foreign_editor",
        ),
        controls=("tests/integration/test_configure_parallel.py::test_careless_editors",),
        attack=True,
    ),
    Row(
        key="monitor",
        title="hooks directories that are written in parts, replaced, removed, mounted over, watched without inotify",
        asked="20,000 changes, 12 cases",
        passes="right within 1 s, and never an invalid rule",
        tests=("tests/unit/test_hooksd_monitor.py",),
        controls=("tests/unit/test_hooksd_monitor.py::test_whoever_takes_what_is_there",),
        attack=True,
    ),
    Row(
        key="soak",
        title="the same again and again",
        asked="10,000 hooks, 2,000 creates, 10,000 reloads",
        passes="as many descriptors, processes, files and mounts as before; memory grows by less than 5 MiB",
        tests=(
            "tests/unit/test_execution_misbehaving.py::test_ten_thousand_runs_leave_nothing",
            "tests/integration/test_soak.py::test_a_thousand_creates",
            "tests/integration/test_soak.py::test_many_reloads",
        ),
        parts=2,
    ),
    Row(
        key="transparency",
        title="what the runtime inherits, with the wrapper and without, and with all that is ours broken",
        asked="14 attributes on 2 runtimes",
        passes="equal",
        tests=(
            "tests/integration/test_wrapper_transparency.py",
            "tests/integration/test_wrapper_every_operation.py",
            "tests/integration/test_wrapper_failures.py::test_other_operations_go_on",
        ),
        controls=("tests/integration/test_wrapper_every_operation.py::test_a_careless_wrapper_would_be_noticed",),
        attack=True,
        quick=True,
        parts=2,
    ),
    Row(
        key="engines",
        title="engines configured, broken, rolled back, unconfigured, and killed in between",
        asked="3 engines",
        passes="each starts in every state, and its files are as before in the end",
        tests=(
            "tests/engines/test_configure_on_engines.py::test_every_state",
            "tests/engines/test_configure_on_engines.py::test_rolled_back",
            "tests/engines/test_operations_on_engines.py::test_engine_killed",
        ),
        parts=2,
    ),
    Row(
        key="logs",
        title="hostile text for logs, and logs that are full, FIFOs or links",
        asked="20 cases, with the next row",
        passes="one line each; the container does not notice",
        tests=(
            "tests/unit/test_wrapper_log.py",
            "tests/unit/test_records.py",
            "tests/integration/test_wrapper_log.py",
        ),
        controls=("tests/integration/test_wrapper_log.py::test_the_naive_log",),
        attack=True,
    ),
    Row(
        key="plugin",
        title="the plugin killed, stopped and connected anew",
        asked="20 cases, with the row above",
        passes="containers do not notice, and the engine's 2 s are kept",
        tests=(
            "tests/integration/test_nri_command.py",
            "tests/unit/test_nri_link.py",
            "tests/unit/test_nri_answer.py",
        ),
    ),
)
