"""
Every kind of finding: the table behind docs/reference/diagnostics.md.

Programs tell findings apart by their codes, which stay the same; sentences may change.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "error or warning"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """
    One kind of finding.

    Attributes:
        code: The word in ``code`` of JSON outputs and of `ocihooks.Diagnostic`.
        severity: Whether it forbids to use a document; both where that depends on the document or the policy.
        sentence: What it means.
        remedy: What mends it.
        example: A message of this kind, as it is printed.
    """

    code: str
    severity: Severity
    sentence: str
    remedy: str
    example: str


_E: Severity = "error"
_W: Severity = "warning"
_B: Severity = "error or warning"


def _kind(code: str, severity: Severity, sentence: str, remedy: str, example: str) -> Kind:
    return Kind(code=code, severity=severity, sentence=sentence, remedy=remedy, example=example)


KINDS: tuple[Kind, ...] = (
    _kind(
        "bad_pattern",
        _E,
        "A pattern is not valid RE2.",
        "Write it in RE2's syntax, which has no lookaround and no back-references.",
        'pattern "(" is not valid RE2: missing ): (',
    ),
    _kind(
        "base_handler",
        _E,
        "An engine has no such handler, or none that a wrapper can stand in front of.",
        "Name another one with --base; ocihooks engines --json lists them.",
        'there is no handler "nvidia"',
    ),
    _kind(
        "cancelled",
        _E,
        "A caller of the library ended a hook before it was over.",
        "None is needed; the caller asked for it.",
        '["sleep","9"] was cancelled by its caller and killed',
    ),
    _kind(
        "cgroups",
        _E,
        "The test kit can't prepare cgroups for crun.",
        "Use a machine with cgroup v2 only, or run the tests with CAP_SYS_ADMIN.",
        "can't mount hugetlb as cgroup v1: mount failed",
    ),
    _kind(
        "changed_meanwhile",
        _E,
        "A file was changed by somebody else between reading and replacing it; theirs is kept.",
        "Try again.",
        "was changed by somebody else meanwhile",
    ),
    _kind(
        "conflicting_properties",
        _E,
        "A rule of schema 0.1.0 has both spellings of one member.",
        "Keep one of them.",
        'found both "stage" and "stages", expected one of them',
    ),
    _kind(
        "doubt",
        _E,
        "The wrapper can't tell which bundle a command line means, since it has options that it doesn't know.",
        "Name the bundle with --bundle in front of the container's id.",
        "the command line has too many options that ocihooks doesn't know; container not created",
    ),
    _kind(
        "empty_annotations",
        _W,
        'A rule of schema 0.1.0 has "annotations": [], which matches every container that has any annotation.',
        "Leave the member out, or use schema 1.0.0.",
        "an empty list matches every container with an annotation",
    ),
    _kind(
        "empty_env",
        _W,
        "A createContainer hook has no environment, so runc gives it that of the container, which the image chooses.",
        'Give the hook an "env", with PATH at least.',
        "has no environment of its own, so runc gives it the container's, whatever the image put there",
    ),
    _kind(
        "engine_down",
        _E,
        "An engine does not work with the changed configuration; the former one is back.",
        "Look at the engine's own log.",
        'dockerd did not come up: "it does not work with the new configuration after 30 s"',
    ),
    _kind(
        "engine_layout",
        _E,
        "An engine's configuration has something unexpected in a place that matters.",
        "Mend what the message names, or change it by hand.",
        "expected an object, found an array",
    ),
    _kind(
        "engine_refuses",
        _E,
        "An engine's own check refuses the configuration as it would be.",
        "Mend what the engine names first.",
        "dockerd would not start with it: unknown option",
    ),
    _kind(
        "engine_syntax",
        _E,
        "An engine's configuration can't be parsed.",
        "Mend it at the line and column.",
        "not TOML: invalid value",
    ),
    _kind(
        "engine_version",
        _E,
        "An engine's configuration has a version that is not known, or not to this engine.",
        "Write a version that the engine knows.",
        "unknown version 5 of the configuration, expected 1, 2, 3 or 4",
    ),
    _kind(
        "exit_status",
        _E,
        "A hook or filter ended with a status other than 0.",
        "Look at its own message; run it by hand with the state or configuration on its standard input.",
        '["audit"] ended with status 3; stderr: "no such profile"',
    ),
    _kind(
        "faulty_files",
        _W,
        "The list has rules or static hook files that can't be used.",
        "Run ocihooks check for what is wrong with each.",
        "2 files can't be used",
    ),
    _kind(
        "filter_output",
        _E,
        "A filter printed JSON without an ociVersion, so it is a part of a configuration at best.",
        "Let it print the whole configuration, and nothing else.",
        "its output is no configuration: /ociVersion: expected a string, found none",
    ),
    _kind(
        "handler_name",
        _E,
        "A handler can't have this name, or has it already without being ours.",
        "Take another --name.",
        '--name "runc" is reserved by Docker',
    ),
    _kind(
        "import_failed",
        _E,
        "The wrapper's interpreter can't import what it needs, usually after an upgrade of the interpreter.",
        "Install ocihooks for the new interpreter and run ocihooks install again.",
        "/usr/bin/python3.11 can't import re2: No module named 're2'; container not created",
    ),
    _kind(
        "in_use",
        _E,
        "Running containers were started through a wrapper that is to be uninstalled.",
        "Stop them first, or leave a link to the runtime with --force.",
        "2 running containers were started through it: 4f1d2b (conmon 812), 9a77c0 (conmon 955)",
    ),
    _kind(
        "internal",
        _E,
        "A fault of ocihooks itself.",
        "Report it; set OCIHOOKS_TRACEBACK=1 to see where it comes from.",
        "internal error at plan.py:70: KeyError: 'x'",
    ),
    _kind(
        "joined_annotations",
        _W,
        "A rule of schema 0.1.0 has several annotation patterns, which are joined into one, with groups or classes.",
        "Use schema 1.0.0.",
        "the patterns are joined with |, so groups, classes and flags of one reach into the next",
    ),
    _kind(
        "json_syntax",
        _E,
        "A file is not JSON.",
        "Mend it at the line and column; comments, trailing commas and a byte order mark are not JSON.",
        "not JSON: expecting ',' delimiter; found \"}\"",
    ),
    _kind(
        "json_type",
        _E,
        "A value has another JSON type than expected.",
        "Write the expected type.",
        'expected an array of strings, found the string "prestart"',
    ),
    _kind(
        "last_good_kept",
        _W,
        "A rule file was broken while a monitor watched it, so the monitor keeps what it said before.",
        "Mend the file.",
        "can't be used, so its last good version stays in use until it is mended",
    ),
    _kind(
        "locked",
        _E,
        "Another process has been changing engines' configurations for too long.",
        "Look at what it does.",
        "process 4711 has been changing an engine's configuration for more than 10 s",
    ),
    _kind(
        "member_case",
        _B,
        "A member is spelt in another letter case: understood in rule files, refused in config.json, where runtimes "
        "disagree.",
        "Use the spelling of the specification.",
        'member is spelt "Stages"',
    ),
    _kind(
        "missing_directory",
        _W,
        "A hooks directory that somebody named does not exist; it counts as empty.",
        "Make it, or take it out of the settings.",
        "there is no such directory",
    ),
    _kind(
        "missing_file",
        _B,
        "A static hook file is missing, or a rule file is a link whose target is missing, which masks the rule.",
        "Make the file, remove the link, or link to /dev/null to mask on purpose.",
        "there is no such static hook file",
    ),
    _kind(
        "missing_program",
        _B,
        "The program of a hook does not exist on this machine.",
        "Install it, or mask the rule with an empty file of its name in a later directory.",
        'program "/opt/audit/hook": it does not exist',
    ),
    _kind(
        "missing_property",
        _E,
        "A required member is missing.",
        "Add it.",
        'missing required member "path", the program to run',
    ),
    _kind(
        "missing_version",
        _W,
        "A rule file without a version looks like schema 1.0.0, but is read as 0.1.0.",
        'Add "version": "1.0.0".',
        "this looks like schema 1.0.0 without a version",
    ),
    _kind(
        "mixed_widths",
        _W,
        "Numbers in front of rule names have different widths, so rules run in another order than they suggest.",
        "Write all of them with the same number of digits.",
        "runs behind 10-a.json, since names are compared as text, not as numbers",
    ),
    _kind(
        "monitor_ended",
        _E,
        "A monitor of the library ended, so changes of rules are no longer noticed.",
        "Look at the reason, and start it again.",
        "rules are no longer reloaded: OSError: [Errno 24] Too many open files",
    ),
    _kind(
        "near_miss_name",
        _W,
        "A file in a hooks directory looks like a rule, but is not read, since its name does not end in .json.",
        "Rename it, or move it elsewhere.",
        'is not read: the name "10-gpu.json~" does not end in ".json"',
    ),
    _kind(
        "never_met",
        _W,
        "hasBindMounts: false is never met, whatever the container has, so the rule never matches.",
        "Leave it out.",
        "hasBindMounts: false is never met, so the rule never matches",
    ),
    _kind(
        "no_condition",
        _W,
        "A rule has no condition, so it never matches.",
        'Add "always": true for a rule about all containers.',
        "no condition is given, so the rule never matches",
    ),
    _kind(
        "no_process_args",
        _E,
        "A rule asks for a command, and the container has a process without arguments.",
        "Give the container a command.",
        "process.args is empty, so no command can be compared; expected at least one entry",
    ),
    _kind(
        "no_stages",
        _W,
        "A rule names no stage, so it never runs anything.",
        "Name one; an empty file masks a rule more clearly.",
        "no stage is named, so the rule never runs anything",
    ),
    _kind(
        "not_durable",
        _E,
        "A file was replaced, but a power loss may bring the old one back.",
        "Look at the disk, then do it again.",
        "was replaced, but may be the old one again after a power loss: input/output error",
    ),
    _kind(
        "not_injected",
        _E,
        "Something could not be put into a container, which is then as it was.",
        "Do what the hint says; oci-injector-hook(8) tells what can be put where.",
        '"/opt/tool" can\'t be put into the container: it does not exist',
    ),
    _kind(
        "not_json_name",
        _B,
        "The name of a rule file does not end in .json.",
        "Rename it.",
        "is not read as a rule: the name does not end in .json",
    ),
    _kind(
        "not_replaced",
        _E,
        "A file can't be replaced; it is as it was.",
        "Look at the reason: a full or read-only file system, a mount on the file, no permission.",
        "can't be replaced: read-only file system",
    ),
    _kind(
        "not_utf8",
        _E,
        "A file is not UTF-8.",
        "Save it as UTF-8.",
        "not UTF-8: invalid start byte",
    ),
    _kind(
        "null_item",
        _W,
        'null in a list or map of strings counts as ""; as a pattern that matches everything.',
        "Write the text that is meant, or take the item out.",
        'null counts as ""',
    ),
    _kind(
        "odd_env",
        _W,
        "An entry of an environment is not NAME=value, which some runtimes refuse.",
        "Write it as NAME=value.",
        '"DEBUG" is not NAME=value',
    ),
    _kind(
        "odd_program",
        _B,
        "The program of a hook is there, but is no regular file or can't be executed.",
        "Make it executable with chmod +x, or name another one.",
        'program "/etc/passwd" is not executable',
    ),
    _kind(
        "odd_timeout",
        _B,
        "A timeout is outside of 1 to 3600 seconds, or in config.json not more than 0; runtimes disagree about it.",
        "Write a number of seconds in this range, or leave timeout out.",
        "timeout 0 is outside 1 to 3600 seconds; runtimes disagree about it",
    ),
    _kind(
        "other",
        _E,
        "Anything that programs need not tell apart.",
        "As the message says.",
        '--name "a/b": expected a file name',
    ),
    _kind(
        "output_json_syntax",
        _E,
        "A filter printed something that is not JSON, or more than is kept.",
        "Let it print the whole configuration, and nothing else.",
        "its output is no configuration: nothing was written to standard output",
    ),
    _kind(
        "output_json_type",
        _E,
        "A filter printed JSON that is no runtime configuration.",
        "Let it print the whole configuration, and nothing else.",
        "its output is no configuration: it has no members, so all that was there would be lost",
    ),
    _kind(
        "prestart",
        _W,
        "The stage prestart is deprecated; rules hand it on as createRuntime.",
        "Use createRuntime.",
        "prestart is deprecated; it is handed on as createRuntime",
    ),
    _kind(
        "read_failed",
        _E,
        "A file or directory can't be read.",
        "Look at the reason; run the command as root if access is not allowed.",
        "can't be read: access is not allowed",
    ),
    _kind(
        "relative_path",
        _B,
        "The path of a program is relative, so what it means depends on who runs it; the wrapper refuses it.",
        "Write the absolute path.",
        'the path "bin/hook" is relative, so it depends on who runs it',
    ),
    _kind(
        "repeated_key",
        _E,
        "A key of the settings is there twice, once with hyphens and once with underscores.",
        "Keep the one with hyphens.",
        "on-invalid is there twice",
    ),
    _kind(
        "repeated_member",
        _B,
        "A member is there more than once: merged in rule files, refused in config.json, where runtimes disagree.",
        "Keep one.",
        'member "stages" is there 2 times; later ones replace or merge into earlier ones',
    ),
    _kind(
        "repeated_stage",
        _W,
        "A rule names a stage twice, or prestart and createRuntime, so its hook would run twice.",
        "Name each stage once.",
        "poststop would run the hook more than once",
    ),
    _kind(
        "replaced_text",
        _W,
        "A rule file has bytes that are not UTF-8, or half a surrogate pair; they count as U+FFFD.",
        "Save the file as UTF-8.",
        "holds U+FFFD, which stands for bytes that are not UTF-8 or for half a surrogate pair",
    ),
    _kind(
        "runtime_unavailable",
        _E,
        "The real runtime of an installed wrapper can't be started.",
        "Install a runtime and name it: ocihooks install --runtime PATH.",
        "/usr/sbin/runc: it does not exist",
    ),
    _kind(
        "same_letters",
        _W,
        "The names of two rules differ in letter case only, so neither overrides the other.",
        "Give both the same name if one is to override, else names that nobody confuses.",
        "differs from /etc/containers/oci/hooks.d/A.json in letter case only, so neither overrides the other",
    ),
    _kind(
        "shell_template",
        _W,
        "A template stands in a script, where its value, which a container may choose, can run commands.",
        'Hand it to the script as an argument, and write "$1" in the script.',
        "${id} becomes part of a script, so its value can run commands",
    ),
    _kind(
        "signal",
        _E,
        "A hook or filter was ended by a signal.",
        "Look at its own message and at the kernel's log.",
        '["audit"] was ended by SIGSEGV',
    ),
    _kind(
        "start_failed",
        _E,
        "A hook or filter can't be started.",
        "Look at the reason: the program, its interpreter, its timeout or its working directory.",
        "not started: its timeout is 0, expected more than 0 and at most 86400 seconds",
    ),
    _kind(
        "still_named",
        _E,
        "An installed wrapper is still named by an engine's configuration.",
        "Run ocihooks unconfigure first.",
        "is named by docker (/etc/docker/daemon.json)",
    ),
    _kind(
        "switched_off",
        _W,
        "The kill switch is on: all containers start without hooks.",
        "Run ocihooks enable when whatever was wrong is mended.",
        "hooks are switched off since 2026-01-02T03:04:05Z, all containers start without them",
    ),
    _kind(
        "text_too_long",
        _E,
        "A container's annotation or command is too long to be searched.",
        "Make it shorter.",
        'annotation value pattern "x": 2000000 bytes, more than the 1048576 that are searched',
    ),
    _kind(
        "timeout",
        _E,
        "A hook or filter did not end in time and was killed.",
        "Raise its timeout, or find out what it waits for.",
        '["audit"] did not end within 5 s and was killed',
    ),
    _kind(
        "toml_syntax",
        _E,
        "The settings are not TOML.",
        "Mend them at the line and column.",
        "not TOML: expected '=' after a key in a key/value pair",
    ),
    _kind(
        "too_deep",
        _E,
        "A document is nested too deep.",
        "No configuration needs more than some ten levels; look at who wrote it.",
        "nested deeper than 1024 levels",
    ),
    _kind(
        "too_large",
        _E,
        "A file is larger than what is read.",
        "Make it smaller.",
        "larger than the 1048576 bytes that are read",
    ),
    _kind(
        "too_many_files",
        _E,
        "A hooks directory holds too many rule files.",
        "Remove those that nobody needs.",
        "holds 10001 rule files, more than 10000",
    ),
    _kind(
        "unanchored_command",
        _W,
        "A command pattern without ^ and $ is found in longer names, too.",
        "Anchor it: ^/usr/bin/name$.",
        '"sh" is found anywhere in the command, also as part of a longer name',
    ),
    _kind(
        "unknown_key",
        _E,
        "The settings have a table or key that does not exist.",
        "Write one of those that do; see ocihooks-settings(5).",
        'unknown key "hook-dirs"',
    ),
    _kind(
        "unknown_member",
        _W,
        "A rule file has a member that does not exist, so it has no effect.",
        "Write the member that is meant.",
        'unknown member "command" has no effect',
    ),
    _kind(
        "unknown_rule",
        _W,
        "The settings have a policy for a rule that does not exist.",
        "Write the file name of the rule, with .json.",
        'there is no rule "10-gpu" in the hooks directories',
    ),
    _kind(
        "unknown_stage",
        _B,
        "A stage does not exist: refused in rules and static hook files, without effect in config.json.",
        "Use a stage of the runtime-spec; the spelling is case-sensitive.",
        'unknown stage "createruntime"',
    ),
    _kind(
        "unknown_version",
        _E,
        "A rule file has a schema version that does not exist.",
        'Write "1.0.0".',
        'unknown schema version "2.0.0", expected "1.0.0" or "0.1.0"',
    ),
    _kind(
        "unreachable_program",
        _B,
        "The program of a hook can't be reached: something on the way is no directory, a loop, or not allowed.",
        "Mend the path.",
        'program "/etc/passwd/hook": not a directory',
    ),
    _kind(
        "unsupervised_stage",
        _W,
        "The settings say what happens when a hook fails, but it runs at a stage where hooks are not supervised.",
        "Choose a stage on the host such as createRuntime, or take on-failure away.",
        'on-failure = "warn" has no effect at createContainer, where hooks are not supervised',
    ),
    _kind(
        "unsupervised_template",
        _W,
        "A template in a rule whose hook is not supervised stays as it stands.",
        'Set supervise = "on" for the rule.',
        "${id} stays as it stands, since the rule's hook is not supervised",
    ),
    _kind(
        "untrusted",
        _E,
        "Somebody other than root owns, or could write, a file that decides what root runs, or a directory above it.",
        "Use chown and chmod as the hint says.",
        "not used, since everybody may write it",
    ),
    _kind(
        "wrong_type",
        _E,
        "The settings have a value where a table is expected.",
        "Write a table.",
        "expected a table, found a string",
    ),
    _kind(
        "wrong_value",
        _E,
        "A key of the settings has a value that it can't have.",
        "Write what is expected.",
        'expected "append" or "prepend", found "first"',
    ),
)
"""All kinds, by code."""
