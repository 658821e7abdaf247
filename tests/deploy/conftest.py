"""The image of the cluster, built once by Buildah, and Podman on a private host to run it."""

from __future__ import annotations

import fcntl
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest
from tests.deploy.image_parts import BASE, ROOT, make_base, make_wheels
from tests.deploy.kustomize import Object

from ocihooks.errors import OCIHooksError, UnavailableError
from ocihooks.testing.cgroups import CgroupView
from ocihooks.testing.engines.buildah import buildah_version
from ocihooks.testing.engines.host import Finished, PrivateHost, find_program
from ocihooks.testing.engines.podman import podman_version, write_configuration

IMAGE = "localhost/ocihooks:test"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """
    A private host on which containers of DaemonSets run as a node would run them, but for what only a kubelet does.

    Attributes:
        host: The private host, with the image in its Podman.
    """

    host: PrivateHost

    def words(self, container: Object, volumes: dict[str, Path], *options: str) -> list[str]:
        """The command line of Podman for *container*, whose volumes are directories here."""
        context = container["securityContext"]
        words = [find_program("podman", "podman"), "run", "--network=none", "--runtime=runc", "--user=0:0", *options]
        words += [f"--cap-drop={name.lower()}" for name in context["capabilities"]["drop"]]
        words += [f"--cap-add={name.lower()}" for name in context["capabilities"].get("add", ())]
        words += ["--read-only", "--read-only-tmpfs=false"] if context["readOnlyRootFilesystem"] else []
        words += [] if context["allowPrivilegeEscalation"] else ["--security-opt=no-new-privileges"]
        for mount in container["volumeMounts"]:
            mode = "ro" if mount.get("readOnly") else "rw"
            words.append(f"--volume={volumes[mount['name']]}:{mount['mountPath']}:rbind,{mode}")
        command = container.get("command", ())
        words += [f"--entrypoint={command[0]}"] if command else []
        return [*words, IMAGE, *command[1:], *container["args"]]

    def run(self, container: Object, volumes: dict[str, Path], *more: str, options: Sequence[str] = ()) -> Finished:
        """Run *container* to its end, with more arguments."""
        return self.host.run(*self.words(container, volumes, "--rm", *options), *more)

    def start(self, name: str, container: Object, volumes: dict[str, Path]) -> None:
        """Start *container*, which runs until the host is closed or it is stopped."""
        self.host.check(*self.words(container, volumes, "--detach", f"--name={name}"))

    def podman(self, *words: str, **options: Any) -> Finished:
        """A command of Podman."""
        return self.host.run(find_program("podman", "podman"), *words, **options)


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of all processes that run tests."""
    own = tmp_path_factory.getbasetemp()
    directory = (own.parent if own.name.startswith("popen-") else own) / "ocihooks-deploy"
    directory.mkdir(exist_ok=True)
    return directory


@contextmanager
def made_once(directory: Path) -> Iterator[bool]:
    """Whether the caller is the first of all processes, and has to make *directory*; the others wait for it."""
    done = directory.with_suffix(".made")
    with directory.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield not done.exists()
        done.touch()


@pytest.fixture(scope="session")
def wheels(shared: Path) -> Path:
    """A directory with the wheel of this checkout and all that it needs."""
    with made_once(shared / "wheels") as is_first:
        if is_first:
            make_wheels(shared / "wheels")
    return shared / "wheels"


@pytest.fixture(scope="session")
def image_store(shared: Path, wheels: Path, unavailable: Callable[[OCIHooksError], NoReturn]) -> Path:
    """A storage with the image, which the first of all processes that run tests builds."""
    try:
        buildah_version()
    except UnavailableError as error:
        unavailable(error)
    with made_once(shared / "image") as is_first:
        if is_first:
            build_image(shared / "image", wheels)
    return shared / "image/storage"


def build_image(directory: Path, wheels: Path) -> None:
    """Build the image from deploy/Containerfile, as its first lines say, into ``storage`` below *directory*."""
    context = directory / "context"
    shutil.copytree(wheels, context / "wheels")
    shutil.copytree(ROOT / "deploy/image", context / "deploy/image", ignore=shutil.ignore_patterns("__pycache__"))
    make_base(directory / "base")
    (directory / "Containerfile").write_text(BASE)
    # In mounts of its own, since the storage is mounted on itself.
    buildah = ["unshare", "--mount", "--propagation=private", find_program("buildah", "buildah")]
    buildah += [f"--storage-driver={storage_driver(directory)}"]
    buildah += [f"--root={directory}/storage", f"--runroot={directory}/run"]
    build = ["bud", "--isolation=chroot", "--layers=false"]
    own = ["--build-arg=BASE=localhost/base", f"--file={ROOT}/deploy/Containerfile"]
    for words in (
        [*build, f"--file={directory}/Containerfile", "--tag=localhost/base", str(directory)],
        [*build, *own, f"--tag={IMAGE}", str(context)],
        ["rmi", "--force", "localhost/base"],
    ):
        done = subprocess.run([*buildah, *words], capture_output=True, text=True, check=False, timeout=600)
        assert done.returncode == 0, done.stdout + done.stderr
    for name in ("base", "context"):
        shutil.rmtree(directory / name)


def storage_driver(directory: Path) -> str:
    """The quickest way of storing images that works in *directory*."""
    places = {name: directory / "try" / name for name in ("lowerdir", "upperdir", "workdir", "merged")}
    for place in places.values():
        place.mkdir(parents=True, exist_ok=True)
    options = ",".join(f"{name}={place}" for name, place in places.items() if name != "merged")
    words = ["unshare", "--mount", "mount", "-t", "overlay", "-o", options, "overlay", str(places["merged"])]
    return "vfs" if subprocess.run(words, capture_output=True, check=False).returncode else "overlay"


@pytest.fixture(scope="session")
def cluster(
    image_store: Path, public_directory: Path, unavailable: Callable[[OCIHooksError], NoReturn]
) -> Iterator[Cluster]:
    """Podman on a private host, with the image."""
    try:
        podman_version()
        with CgroupView() as view, PrivateHost(public_directory / "hq", view) as host:
            write_configuration(host)
            storage = host.etc / "containers/storage.conf"
            driver = json.dumps(storage_driver(image_store.parent))
            text = storage.read_text().replace('"vfs"', driver)
            storage.write_text(f'{text}[storage.options]\nadditionalimagestores = ["{image_store}"]\n')
            yield Cluster(host=host)
    except UnavailableError as error:
        unavailable(error)


def config_map_volume(directory: Path, data: dict[str, str]) -> Path:
    """Lay out a ConfigMap as the kubelet does: writable by everybody, its files behind a link that changes at once."""
    directory.mkdir(exist_ok=True)
    directory.chmod(0o777)
    version = directory / f"..{len(list(directory.iterdir()))}"
    version.mkdir()
    for name, text in data.items():
        (version / name).write_text(text)
        if not (directory / name).is_symlink():
            (directory / name).symlink_to(f"..data/{name}")
    for file in directory.iterdir():
        if not file.name.startswith("..") and file.name not in data:
            file.unlink()
    temporary = directory / "..data_tmp"
    temporary.symlink_to(version.name)
    temporary.rename(directory / "..data")
    return directory
