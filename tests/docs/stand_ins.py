"""Programs that stand in for what pages need and the tests' machine lacks: a service manager, CRI-O, k3s, a cluster."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

SYSTEMCTL = """\
#!/bin/sh
# "systemctl restart UNIT" where no systemd is: the daemon of this pid namespace ends, starts again, and answers.
set -e
[ "$1" = restart ]
case $2 in
  docker) daemon=dockerd answer='docker version' ;;
  containerd) daemon=containerd answer='ctr version' ;;
  crio) exec crio --config /etc/crio/crio.conf --config-dir /etc/crio/crio.conf.d config ;;
  k3s) exec k3s-restart ;;
  *) exit 5 ;;
esac
pid=$(pidof -s "$daemon")
kill "$pid"
while [ -e "/proc/$pid" ]; do sleep 0.05; done
setsid "$daemon" >> "/run/$daemon.log" 2>&1 < /dev/null &
until $answer > /dev/null 2>&1; do [ -e "/proc/$!" ]; sleep 0.05; done
"""

K3S_RESTART = """\
#!/bin/sh
# What k3s does with a template when it starts, if there is one: containerd gets what it becomes, and has to take it.
set -e
template=/var/lib/rancher/k3s/agent/etc/containerd/config.toml.tmpl
[ -e "$template" ] || exit 0
sed 's/^{{ template "base" . }}$/version = 2/' "$template" > /run/k3s-config.toml
if grep -q '{{' /run/k3s-config.toml; then exit 1; fi
containerd --config /run/k3s-config.toml config dump | grep -q 'runtimes.ocihooks]'
"""

CRIO = f"""\
#!{sys.executable} -I
# CRI-O as far as its files go: it reads them all, and refuses what it could not start with.
import pathlib
import sys
import tomllib

if sys.argv[1:] == ["--version"]:
    print("crio version 1.28.4")
    raise SystemExit
_, _, main, _, directory, command = sys.argv
assert command == "config", command
files = [pathlib.Path(main), *sorted(pathlib.Path(directory).glob("*"))]
for file in (file for file in files if file.exists()):
    for runtime in tomllib.loads(file.read_text())["crio"]["runtime"].get("runtimes", {{}}).values():
        assert pathlib.Path(runtime["runtime_path"]).is_file(), runtime
"""


NRI_SYSTEMCTL = """\
#!/bin/sh
# What systemd does about the unit of the plugin, and containerd 2 about its directory of plugins when it starts.
set -e
case $1 in
  enable)
    unit=/etc/systemd/system/$3.service
    mkdir -p "/run/$(sed -n 's/^RuntimeDirectory=//p' "$unit")"
    setsid $(sed -n 's/^ExecStart=//p' "$unit") > "/run/$3.journal" 2>&1 < /dev/null &
    echo $! > "/run/$3.pid"
    until grep -q 'accepted by' "/run/$3.journal"; do [ -e "/proc/$!" ]; sleep 0.05; done ;;
  disable)
    pid=$(cat "/run/$3.pid")
    kill "$pid"
    while [ -e "/proc/$pid" ]; do sleep 0.05; done ;;
  restart)
    for plugin in /opt/nri/plugins/*; do
      case ${plugin##*/} in [0-9][0-9]-?*) [ -x "$plugin" ] ;; *) exit 1 ;; esac
    done ;;
esac
"""

NRI_KUBECTL = """\
#!/bin/sh
# A pod is made by the engine of the test, which waits for the first of these files and writes the second one.
[ "$1" = run ] || { echo 'pod "hooked" deleted'; exit; }
echo "$@" > /run/pod-wanted
until [ -e /run/pod-made ]; do sleep 0.05; done
echo "pod/$2 created"
"""

ENGINE_PROGRAMS = {"systemctl": SYSTEMCTL, "k3s-restart": K3S_RESTART}
NRI_PROGRAMS = {"systemctl": NRI_SYSTEMCTL, "kubectl": NRI_KUBECTL, "journalctl": '#!/bin/sh\ncat "/run/$2.journal"\n'}


def put_programs(directory: Path, programs: Mapping[str, str]) -> None:
    """Write *programs* to *directory*, which is on PATH."""
    for name, text in programs.items():
        program = directory / name
        program.write_text(text)
        program.chmod(0o755)
