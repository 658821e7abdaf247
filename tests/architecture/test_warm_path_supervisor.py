"""What the installed supervisor imports and reads for a hook that succeeds."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ocihooks.install.install import Request, install
from ocihooks.install.supervisor import AWAKE, SCRIPT
from ocihooks.testing.fake import write_fake_runtime

BY_THE_INTERPRETER = {"gc", "select", "_ctypes", "_json", "errno", "time", "marshal", "posix"}
"""What the standard library adds to a bare start; some of it is built in, depending on the interpreter."""


@pytest.fixture(scope="module")
def supervisor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installed supervisor."""
    place = tmp_path_factory.mktemp("supervisor")
    runtime = write_fake_runtime(place / "runc").path
    record = install(Request(prefix=str(place / "prefix"), runtime=str(runtime), cache_dir=str(place / "cache")))
    (script,) = (Path(file) for file in record.files if file.endswith(SCRIPT))
    return script


def run(*command: str) -> subprocess.CompletedProcess[str]:
    environ = {"OCIHOOKS_RULE": "/r.json", "OCIHOOKS_STAGE": "poststop", "OCIHOOKS_HOOK_ENV_0": "ID=${id}"}
    state = json.dumps({"ociVersion": "1", "id": "c1", "status": "stopped", "bundle": "/b"})
    return subprocess.run(command, env=environ, input=state, capture_output=True, text=True, check=False)


def test_modules(supervisor: Path, tmp_path: Path) -> None:
    """It imports the modules of its image, and nothing of the standard library that costs time."""
    text = supervisor.read_text()
    lister = tmp_path / "lister"
    head, _, rest = text.partition("\n")
    listing = "\nimport sys\nbefore = set(sys.modules)\nimport posix\nexit = posix._exit\n"
    listing += "def listed(status):\n    posix.write(2, ' '.join(sorted(set(sys.modules) - before)).encode())\n"
    listing += "    exit(status)\nposix._exit = listed\n"
    lister.write_text(head + listing + rest)
    lister.chmod(0o755)
    done = run(str(lister), f"--records={tmp_path}/r", "--timeout=5", "--", "/bin/sh", "sh", "-c", "echo $ID ${id}")
    assert (done.returncode, done.stdout) == (0, "c1 c1\n")
    modules = set(done.stderr.split())
    cold = {
        "ocihooks.supervisor.failure",
        "ocihooks.errors",
        "ocihooks.quoting",
        "ocihooks.execution.words",
    }  # it has output to pass on
    assert {name for name in modules if name.startswith("ocihooks")} - cold == {*AWAKE}
    assert {name for name in modules if not name.startswith("ocihooks")} <= BY_THE_INTERPRETER


def test_files(supervisor: Path, tmp_path: Path) -> None:
    """Of our own files it opens the script and the image, and of others those that every process opens."""
    if not shutil.which("strace"):
        pytest.skip("needs strace")
    log = tmp_path / "log"
    run("strace", "-o", str(log), "-e", "trace=open,openat", str(supervisor), "--", "/bin/true", "true")
    place = os.path.realpath(supervisor.parents[2])
    opened = re.findall(rf'"({re.escape(place)}[^"]*)"', log.read_text())
    assert {os.path.basename(path) for path in opened} == {supervisor.name, "ocihooks-runtime.supervisor"}
    package = os.path.dirname(os.path.abspath(sys.modules["ocihooks"].__file__ or ""))
    assert package not in log.read_text()


def test_failure_needs_no_package(supervisor: Path, tmp_path: Path) -> None:
    """A hook that fails or is slow is told about by the image alone, whatever the package has become meanwhile."""
    if not shutil.which("strace"):
        pytest.skip("needs strace")
    log = tmp_path / "log"
    words = ["--timeout=9", "--", "/bin/sh", "sh", "-c", "sleep 0.1; exit 5"]
    done = run("strace", "-f", "-o", str(log), "-e", "trace=open,openat", str(supervisor), *words)
    assert done.returncode == 5
    assert "ended with status 5" in done.stderr
    package = os.path.dirname(os.path.abspath(sys.modules["ocihooks"].__file__ or ""))
    assert package not in log.read_text()


def test_image_of_another_interpreter(supervisor: Path, tmp_path: Path) -> None:
    """An image that does not fit is left alone, and the package itself is imported."""
    image = supervisor.with_suffix(".supervisor")
    copy, odd = tmp_path / "supervise", tmp_path / "image"
    odd.write_bytes(b"\0\0\0\0" + image.read_bytes()[4:])
    copy.write_text(supervisor.read_text().replace(str(image), str(odd)))
    copy.chmod(0o755)
    done = run(str(copy), "--", "/bin/sh", "sh", "-c", "exit 5")
    assert done.returncode == 5
    assert "ocihooks: /r.json: poststop hook" in done.stderr


def test_nothing_can_be_imported(supervisor: Path, tmp_path: Path) -> None:
    """Without image and package one sentence says what to do, and the hook counts as failed."""
    image = supervisor.with_suffix(".supervisor")
    copy = tmp_path / "supervise"
    text = supervisor.read_text().replace(str(image), "/no/such")
    copy.write_text(re.sub(r"sys\.path \+= .*", "", text))
    copy.chmod(0o755)
    done = run(str(copy), "--", "/bin/true", "true")
    assert done.returncode == 1
    assert done.stderr.startswith("ocihooks: hook not run: the supervisor can't be imported by ")
    assert done.stderr.endswith("hint: run ocihooks install again\n")
