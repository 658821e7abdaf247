"""Engines that ``ocihooks configure`` made use the wrapper by default: containers get hooks, and no byte is lost."""

from __future__ import annotations

from pathlib import Path

from tests.cli.place import PROGRAM
from tests.engines.conftest import Scene
from tests.engines.cri import CRI
from tests.engines.features import BUILDAH, BY_NAME, DOCKER, shows

from ocihooks.testing.engines.docker import Docker
from ocihooks.testing.engines.host import PrivateHost

NAMES = {DOCKER: "docker", CRI.name: "containerd", BY_NAME: "podman", BUILDAH: "buildah"}
FILES_OF = ("docker", "containerd", "containers")


def files(host: PrivateHost) -> dict[str, tuple[bytes, int]]:
    """The engines' files in /etc with their modes, but for locks, which they make themselves."""
    found = (path for name in FILES_OF for path in sorted((host.etc / name).rglob("*")))
    kept = (path for path in found if path.is_file() and path.suffix != ".lock")
    return {str(path.relative_to(host.etc)): (path.read_bytes(), path.stat().st_mode) for path in kept}


def restart(scene: Scene) -> None:
    """Have the engine read its files again."""
    if isinstance(scene.engine, Docker):
        scene.engine.stop()
        scene.engine.start()
    elif isinstance(scene.engine, CRI):
        scene.engine.restart_daemon()


@shows("configured by ocihooks, and undone")
def test_configure(scene: Scene, private_directory: Path) -> None:
    """After configure containers get hooks, a second time changes nothing, and unconfigure gives back every byte."""
    host, name = scene.engine.host, NAMES[scene.engine.name]  # type: ignore[attr-defined]  # those engines have one
    words = (name, "--prefix", str(private_directory / "prefix"))
    scene.engine.use(scene.wrapper.runtime, default=True)
    scene.write_hook("note")
    settings = host.etc / "ocihooks/config.toml"
    settings.parent.mkdir(exist_ok=True)
    settings.write_text(f'[ocihooks]\nhooks-dirs = ["{scene.wrapper.hooks_dirs[0]}"]\n')
    before = files(host)
    try:
        host.check(str(PROGRAM), "configure", *words, "--default")
        configured = files(host)
        assert configured != before
        restart(scene)
        ran = scene.engine.run("echo", "hello")
        assert (ran.status, ran.stdout) == (0, "hello\n"), ran
        assert scene.notes.order() == ["note"]
        host.check(str(PROGRAM), "configure", *words, "--default")
        assert files(host) == configured

        if isinstance(scene.engine, CRI):
            assert "a running container" in host.run(str(PROGRAM), "unconfigure", *words).stderr
            assert files(host) == configured
            scene.engine.end_pod()
        host.check(str(PROGRAM), "unconfigure", *words)
    finally:
        host.run(str(PROGRAM), "unconfigure", *words, "--force")
        settings.unlink()
    assert files(host) == before
    restart(scene)
    assert scene.engine.run("true").status == 0
    assert scene.notes.order() == ["note"]
