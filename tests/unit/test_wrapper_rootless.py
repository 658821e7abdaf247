"""What is kept between containers of users without privileges, as that user and as root of a user namespace."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.unit import launcher_programs
from tests.unit.launcher_programs import Builds, Installed, make_config

from ocihooks.testing.runtimes import OrdinaryUser
from ocihooks.wrapper.cache import Cache
from ocihooks.wrapper.installation import Installation

builds = launcher_programs.builds

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become an ordinary user")

KEEP = """
import json, sys
sys.path[:0] = [sys.argv[1]]
from ocihooks.compiled import store
from ocihooks.wrapper.cache import Cache, environment, load_cached
from ocihooks.wrapper.installation import Installation
from ocihooks.wrapper.refresh import refresh

store.QUIET_NS = 0
cache = Cache(Installation(name="w", script="/w", runtime="/r", **json.loads(sys.argv[2])), environment())
if sys.argv[3] == "refresh":
    refresh(cache)
rules, why = load_cached(cache)
print(json.dumps([cache.file, rules is not None, why]))
"""


@dataclass(frozen=True, kw_only=True)
class Account:
    """
    Somebody without privileges, with a hooks directory of root's.

    Attributes:
        become: Words in front of a command that is to be run as them.
        python: Words that begin the command of `KEEP`.
    """

    user: OrdinaryUser
    become: tuple[str, ...]
    python: tuple[str, ...]
    hooks: Path

    def keep(self, action: str = "refresh", **installation: str) -> tuple[Path, bool, str]:
        """Refresh what is kept, or only load it: its file, whether it can be used, and why."""
        words = [json.dumps({"hooks_dirs": [str(self.hooks)], **installation}), action]
        environment = self.user.environment
        command = [*self.become, *self.python, *words]
        run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)
        file, usable, why = json.loads(run.stdout)
        return Path(file), usable, why


NAMESPACE = ("unshare", "--user", "--map-root-user")

both = pytest.mark.parametrize("account", [(), NAMESPACE], ids=["user", "user-namespace"], indirect=True)


@pytest.fixture
def account(
    request: pytest.FixtureRequest,
    ordinary_user: OrdinaryUser,
    ordinary_python: str,
    public_package: Path,
    private_directory: Path,
) -> Account:
    """Root of a user namespace of a user, or that user."""
    hooks = private_directory / "hooks.d"
    hooks.mkdir(mode=0o755)
    when = {"annotations": {"^wanted$": "."}}
    rule = {"version": "1.0.0", "hook": {"path": "/bin/true"}, "when": when, "stages": ["prestart"]}
    (hooks / "a.json").write_text(json.dumps(rule))
    (hooks / "a.json").chmod(0o644)
    become = ("setpriv", f"--reuid={ordinary_user.uid}", f"--regid={ordinary_user.gid}", "--clear-groups")
    python = (ordinary_python, "-I", "-S", "-B", "-c", KEEP, str(public_package))
    namespace = getattr(request, "param", NAMESPACE)
    return Account(user=ordinary_user, become=(*become, *namespace), python=python, hooks=hooks)


def to_somebody(file: Path) -> None:
    file.chmod(0o644)
    os.chown(file, 0, 0)


def fifo(file: Path) -> None:
    status = file.stat()
    file.unlink()
    os.mkfifo(file, 0o600)
    os.chown(file, status.st_uid, status.st_gid)


class TestLoading:
    """Rules that a user's containers kept."""

    @both
    def test_kept_rules_serve(self, account: Account) -> None:
        """What one container kept is what the next one takes, also where root's directories seem to be nobody's."""
        assert account.keep()[1:] == (True, "fresh")
        assert account.keep("load")[1:] == (True, "fresh")

    @pytest.mark.parametrize(
        ("spoil", "reason"),
        [
            (to_somebody, "expected a regular file of user 0"),
            (lambda file: file.chmod(0o666), "not used, since everybody may write it"),
            (fifo, "expected a regular file of user 0"),
        ],
        ids=["of-somebody", "written-by-all", "fifo"],
    )
    def test_file_of_others(self, spoil: Callable[[Path], None], reason: str, account: Account) -> None:
        """In a user namespace a file of another user, even of the host's root, is not used, nor a FIFO waited for."""
        file, _, _ = account.keep()
        spoil(file)
        assert account.keep("load")[1:] == (False, f"not usable: {file}: {reason}")


@both
class TestSkipping:
    """The launcher, in front of a user's containers whose rules are in a directory that was given at installation."""

    @pytest.fixture
    def create(self, account: Account, builds: Builds, private_directory: Path) -> Callable[[str], list[str | None]]:
        """Make containers before and after the user makes settings, and say what the launcher became."""
        bundle = private_directory / "bundle"
        bundle.mkdir(mode=0o755)
        (bundle / "config.json").write_bytes(make_config(annotations={"other": "x"}))
        installed = Installed(builds.launcher, builds.surroundings, private_directory / "installed")
        installed.directory.chmod(0o777)
        environment = {"PATH": os.environ["PATH"], "HOME": str(account.user.home)}

        def became() -> str | None:
            words = ("create", "--bundle", str(bundle), "c1")
            return installed.call(*words, before=account.become, env=environment).program

        def creating(settings: str) -> list[str | None]:
            cache_dir, hooks_dirs = str(account.user.home / "cache"), (str(account.hooks),)
            named = Installation(
                name="w", script="/w", runtime="/r", settings=settings, hooks_dirs=hooks_dirs, cache_dir=cache_dir
            )
            data = Path(Cache(named, {}).skip_file)
            installed.install(builds.launcher, data=str(data))
            account.keep(settings=settings, cache_dir=cache_dir)
            assert data.exists()
            before, own = became(), account.user.home / ".config/ocihooks"
            own.mkdir(parents=True)
            (own / "config.toml").write_text('[ocihooks]\nhooks-dirs = ["/nowhere"]\n')
            return [before, became()]

        return creating

    def test_settings_of_the_user(self, create: Callable[[str], list[str | None]]) -> None:
        """Whoever may make settings of their own gets every container looked at."""
        assert create("") == ["python", "python"]

    def test_settings_of_the_installation(
        self, create: Callable[[str], list[str | None]], private_directory: Path
    ) -> None:
        """Where the installation names the settings, containers that match no rule are skipped."""
        assert create(str(private_directory / "config.toml")) == ["runtime", "runtime"]
