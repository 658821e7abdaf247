"""The wrapper as an ordinary user: as that user, and as root of a user namespace like Podman's."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.integration.wrappers import (
    Installations,
    Notes,
    Simulated,
    Wrapper,
    assert_refused,
    entries_of,
    litter,
    live,
    make_notes,
    rules_of,
)

from ocihooks.spec.stage import STAGES
from ocihooks.testing.bundles import MadeBundle
from ocihooks.testing.runtimes import OrdinaryUser, PrivateRuntime

OVERFLOW_UID = 65534


@pytest.fixture(scope="session")
def users_python(ordinary_python: str, all_installations: Installations) -> str:
    """An interpreter with which an ordinary user can run the wrapper as it is installed here."""
    if os.geteuid() != 0:
        pytest.skip("needs root to become an ordinary user")
    probe = all_installations.wrapper("/bin/true")
    paths = next(line for line in probe.python_script.read_text().splitlines() if line.startswith("sys.path"))
    code = f"import sys; {paths}; import re2; import ocihooks.wrapper.create"
    tried = subprocess.run([ordinary_python, "-IS", "-c", code], user=1, group=1, check=False, capture_output=True)
    if tried.returncode != 0:
        pytest.skip(f"ordinary users can't import the package: {tried.stderr.decode().strip().splitlines()[-1:]}")
    return ordinary_python


@pytest.fixture
def users_wrapper(rootless_runtime: PrivateRuntime, installations: Installations, users_python: str) -> Wrapper:
    """The wrapper in front of the runtime, installed by root where users can call it."""
    return installations.wrapper(rootless_runtime.path, python=users_python)


@pytest.fixture
def users_notes(rootless_runtime: PrivateRuntime) -> Notes:
    """What hooks of rootless containers note."""
    assert rootless_runtime.user is not None
    return make_notes(rootless_runtime.directory / "notes", rootless_runtime.user.owner)


def run(runtime: PrivateRuntime, wrapper: Wrapper) -> MadeBundle:
    """Run a rootless container through the wrapper."""
    bundle = runtime.make_bundle()
    call = runtime.run_container(bundle, program=wrapper.script)
    assert call.status == 0, call
    return bundle


def own(path: Path, user: OrdinaryUser) -> None:
    """Give *path* and all below it to a user."""
    for each in (path, *path.rglob("*")):
        os.chown(each, *user.owner)


def write_own_settings(user: OrdinaryUser, wrapper: Wrapper, notes: Notes, place: str) -> Path:
    """Settings and a rule of the user, below the home directory; returns the settings' directory."""
    directory = user.home / place
    hooks = directory / "ocihooks/hooks.d"
    hooks.mkdir(parents=True)
    rule = wrapper.write_rule("mine.json", hook=notes.hook("mine"))
    shutil.move(rule, hooks / "mine.json")
    (directory / "ocihooks/config.toml").write_text(f'[ocihooks]\nhooks-dirs = ["{hooks}"]\n')
    own(directory, user)
    return directory


@pytest.mark.runtime
def test_rootless_stages(rootless_runtime: PrivateRuntime, users_wrapper: Wrapper, users_notes: Notes) -> None:
    """Rules of root: their hooks run as the user, in all six stages, and config.json stays the user's."""
    for stage in STAGES:
        hook = users_notes.hook(stage, in_container=stage == "startContainer")
        users_wrapper.write_rule(f"{stage}.json", hook=hook, stages=[stage])
    bundle = rootless_runtime.make_bundle(mounts=[users_notes.mount])
    live(rootless_runtime, bundle, users_wrapper.script)
    user = rootless_runtime.user
    assert user is not None
    status = bundle.config_path.stat()
    assert sorted(users_notes.order()) == sorted(STAGES)
    assert ((status.st_uid, status.st_gid), status.st_mode & 0o7777) == (user.owner, 0o644)
    assert litter(bundle) == []
    assert {(users_notes.directory / f"{stage}.state").stat().st_uid for stage in STAGES} == {user.uid}


@pytest.mark.runtime
@pytest.mark.parametrize("place", ["settings", ".config"], ids=["xdg-config-home", "home"])
def test_settings_of_the_user(
    rootless_runtime: PrivateRuntime, installations: Installations, users_python: str, users_notes: Notes, place: str
) -> None:
    """A user's own settings count, and rules of the user's own are trusted."""
    wrapper = installations.wrapper(
        rootless_runtime.path, python=users_python, hooks_dirs_fixed=False, settings_fixed=False
    )
    user = rootless_runtime.user
    assert user is not None
    directory = write_own_settings(user, wrapper, users_notes, place)
    environment = user.environment | ({} if place == ".config" else {"XDG_CONFIG_HOME": str(directory)})
    bundle = rootless_runtime.make_bundle()
    call = rootless_runtime.run_container(bundle, program=wrapper.script, env=environment)
    assert call.status == 0, call
    assert users_notes.order() == ["mine"]


@pytest.mark.runtime
def test_rules_of_others(rootless_runtime: PrivateRuntime, users_wrapper: Wrapper) -> None:
    """A rule that belongs neither to root nor to the user stops the user's containers."""
    rule = users_wrapper.write_rule("a.json", hook={"path": "/bin/cat"})
    os.chown(rule, 2, 2)
    bundle = rootless_runtime.make_bundle()
    before = bundle.config_path.read_bytes()
    assert_refused(rootless_runtime.run_container(bundle, program=users_wrapper.script), "a.json", "user 2")
    assert bundle.config_path.read_bytes() == before


@pytest.mark.runtime
def test_unreadable_rules(rootless_runtime: PrivateRuntime, users_wrapper: Wrapper) -> None:
    """A rule that only root can read stops the user's containers, with a message that says so."""
    users_wrapper.write_rule("a.json", hook={"path": "/bin/cat"}).chmod(0o600)
    bundle = rootless_runtime.make_bundle()
    call = rootless_runtime.run_container(bundle, program=users_wrapper.script)
    assert_refused(call, "a.json: can't be read: access is not allowed")


@pytest.mark.runtime
def test_other_operations(rootless_runtime: PrivateRuntime, users_wrapper: Wrapper) -> None:
    """A user who can read none of our files can still stop and delete containers."""
    container_id = rootless_runtime.new_id()
    bundle = rootless_runtime.make_bundle(args=["sleep", "100"])
    assert rootless_runtime.create(bundle, container_id, program=users_wrapper.script).status == 0
    users_wrapper.settings.parent.chmod(0o700)
    for directory in users_wrapper.hooks_dirs:
        directory.chmod(0o700)
    assert rootless_runtime.start(container_id, program=users_wrapper.script).status == 0
    assert rootless_runtime.kill(container_id, program=users_wrapper.script).status == 0
    rootless_runtime.wait_for_status(container_id, "stopped")
    assert rootless_runtime.delete(container_id, program=users_wrapper.script).status == 0


def in_user_namespace(user: OrdinaryUser, argv: Sequence[str]) -> list[str]:
    """*argv* as root of a new user namespace of *user*, where files of the host's root are nobody's."""
    become = ["setpriv", f"--reuid={user.uid}", f"--regid={user.gid}", "--clear-groups"]
    return [*become, "unshare", "--user", "--map-root-user", *argv]


def namespaced_bundle(runtime: PrivateRuntime, user: OrdinaryUser) -> MadeBundle:
    """A bundle as rootless Podman makes it: for a runtime that is in the user namespace already."""
    bundle = runtime.make_bundle(rootless=True, owner=user.owner)
    config = bundle.config()
    linux = config["linux"]
    linux["namespaces"] = [each for each in linux["namespaces"] if each["type"] != "user"]
    del linux["uidMappings"], linux["gidMappings"]
    bundle.write_config(config)
    return bundle


@pytest.mark.runtime
def test_user_namespace(
    runtime: PrivateRuntime, installations: Installations, ordinary_user: OrdinaryUser, users_python: str
) -> None:
    """In a user namespace, where root's files belong to nobody, rules of root and of the user are trusted."""
    wrapper = installations.wrapper(runtime.path, python=users_python)
    notes = make_notes(ordinary_user.home / "notes", ordinary_user.owner)
    wrapper.write_rule("root.json", hook=notes.hook("root"))
    os.chown(wrapper.write_rule("user.json", hook=notes.hook("user"), directory=1), *ordinary_user.owner)
    bundle = namespaced_bundle(runtime, ordinary_user)
    words = ("run", "--bundle", str(bundle.directory), runtime.new_id())
    argv = [str(wrapper.script), "--root", str(ordinary_user.runtime_directory / "state"), *words]
    call = runtime.execute(in_user_namespace(ordinary_user, argv), env=ordinary_user.environment)
    assert call.status == 0, call
    assert notes.order() == ["root", "user"]
    assert rules_of(bundle) == ["root.json", "user.json"]
    assert bundle.config_path.stat().st_uid == ordinary_user.uid


@pytest.mark.runtime
def test_rules_of_others_in_a_user_namespace(
    runtime: PrivateRuntime, installations: Installations, ordinary_user: OrdinaryUser, users_python: str
) -> None:
    """Files that others may write are refused in a user namespace, too."""
    wrapper = installations.wrapper(runtime.path, python=users_python)
    wrapper.write_rule("a.json", hook={"path": "/bin/cat"}).chmod(0o666)
    bundle = namespaced_bundle(runtime, ordinary_user)
    words = ("run", "--bundle", str(bundle.directory), runtime.new_id())
    argv = [str(wrapper.script), "--root", str(ordinary_user.runtime_directory / "state"), *words]
    call = runtime.execute(in_user_namespace(ordinary_user, argv), env=ordinary_user.environment)
    assert_refused(call, "a.json", "everybody may write it")


def test_settings_that_root_does_not_read(
    installations: Installations, simulated: Simulated, private_directory: Path
) -> None:
    """Real root takes no settings from where the environment points to."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    wrapper = installations.wrapper(simulated.fake.path, settings_fixed=False)
    wrapper.write_rule("a.json", hook={"path": "/bin/cat"})
    for place in ("xdg/ocihooks", "home/.config/ocihooks"):
        (private_directory / place).mkdir(parents=True)
        (private_directory / place / "config.toml").write_text("broken [")
        (private_directory / place / "disabled").write_text("")
    environment = {"XDG_CONFIG_HOME": f"{private_directory}/xdg", "HOME": f"{private_directory}/home"}
    call = simulated.create(script=wrapper.script, env=environment)
    assert call.returncode == 0, call
    assert len(entries_of(simulated.bundle, "createRuntime")) == 1


@pytest.mark.runtime
def test_rootless_injector_files(
    rootless_runtime: PrivateRuntime, users_wrapper: Wrapper, private_directory: Path
) -> None:
    """A container of an ordinary user gets a file and a device that the host lets everybody use."""
    things, directory = private_directory / "things", users_wrapper.directory / "etc/injector.d"
    for path in (things, directory):
        path.mkdir(mode=0o755)
    (things / "file").write_text("from the host\n")
    os.mknod(things / "nil", stat.S_IFCHR, os.makedev(1, 3))
    (things / "nil").chmod(0o666)
    given = {"devices": f"{things}/nil:/dev/nil", "miscellaneous": f"{things}/file:/tmp/file"}
    (directory / "a.json").write_text(json.dumps({"activation_flag": "WITH", **given}))
    users_wrapper.write_settings(injector_dir=str(directory))
    script = "cat /tmp/file; echo x > /dev/nil && echo used"
    bundle = rootless_runtime.make_bundle(args=["sh", "-c", script], env=["PATH=/bin", "WITH=1"])
    done = rootless_runtime.run_container(bundle, program=users_wrapper.script)
    assert (done.status, done.stdout) == (0, "from the host\nused\n"), done
