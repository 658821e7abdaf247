"""Whether the plugin is connected to the engine, as its metrics say: the readiness of the pod."""

from __future__ import annotations

import http.client
import socket
import sys

CONNECTED = b"\nocihooks_nri_connected 1\n"


def main(path: str) -> str | int:
    """0 if it is, else a sentence; *path* is the Unix socket of the metrics."""
    connection = http.client.HTTPConnection("localhost", timeout=2)
    connection.sock = socket.socket(socket.AF_UNIX)
    try:
        connection.sock.settimeout(2)
        connection.sock.connect(path)
        connection.request("GET", "/metrics")
        metrics = connection.getresponse().read()
    except (OSError, http.client.HTTPException) as error:
        return f"{path}: {error}"
    finally:
        connection.close()
    return 0 if CONNECTED in metrics else "no engine asks us at the moment"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
