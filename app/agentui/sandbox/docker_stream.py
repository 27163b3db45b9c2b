"""Hijacked connections to an engine: output and input of one process, as exact bytes. Everything blocks.

docker-py hands out the raw socket, but bytes that arrived together with the answer's head already sit in the
buffer of its HTTP reader; reading past that buffer loses the first output of a fast command. So the buffer is
read.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from agentui.sandbox.engine import Engine

if TYPE_CHECKING:
    from docker import APIClient

StreamName = Literal["stdout", "stderr"]
EXIT_CODE_TIMEOUT_S = 2.0
START_TIMEOUT_S = 5.0
_HEADER_BYTES = 8
_STREAMS: Mapping[int, StreamName] = {1: "stdout", 2: "stderr"}


class EngineStream:
    """One process's streams on a connection of their own.

    Silence for `silence_s` seconds counts as the end; ``None`` waits for ever. `close` may be called from
    another thread and ends a blocked `frames`.
    """

    def __init__(self, client: APIClient, hijacked: Any, silence_s: float | None = None) -> None:
        self._client = client
        self._hijacked = hijacked
        self._socket: socket.socket = getattr(hijacked, "_sock", hijacked)
        # The client's timeout is meant for answers, not for a command that is silent for an hour.
        self._socket.settimeout(silence_s)
        self._reader: BinaryIO = _buffered_reader(hijacked) or self._socket.makefile("rb")

    def frames(self) -> Iterator[tuple[StreamName, bytes]]:
        """Output as it comes, at most 32 KiB at a time; ends with the connection, whatever the reason."""
        while True:
            try:
                header = self._reader.read(_HEADER_BYTES)
                if len(header) < _HEADER_BYTES:
                    return
                data = self._reader.read(int.from_bytes(header[4:8], "big"))
            except (OSError, ValueError):
                # Closed under our hands, by `close` or by the engine: the same as an end.
                return
            name = _STREAMS.get(header[0])
            if data and name is not None:
                yield name, data

    def write(self, data: bytes | memoryview) -> None:
        """Send to the process's standard input; blocks while it does not read.

        Raises:
            OSError: If the connection is gone.
        """
        self._socket.sendall(data)

    def close_writing(self) -> None:
        """End the process's standard input, where the connection can close one direction alone."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """End the connection. Does not end the process."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError):
            self._hijacked.close()
        self._client.close()


def open_attach(engine: Engine, container_id: str) -> EngineStream:
    """Attach to a created container's main process, input and output, before it starts.

    Raises:
        docker.errors.APIError: If the engine refuses.
        requests.RequestException: If it does not answer.
    """
    client = engine.new_client()
    parameters = {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
    return EngineStream(client, client.attach_socket(container_id, params=parameters))


def open_exec(
    engine: Engine,
    container_id: str,
    argv: Sequence[str],
    *,
    user: str,
    workdir: str = "/workspace",
    environment: Mapping[str, str] | None = None,
    stdin: bool = False,
    silence_s: float | None = None,
) -> tuple[str, EngineStream]:
    """Start a process in a running container; returns its exec id and its streams.

    Raises:
        docker.errors.APIError: If the engine refuses: the container is gone, stopped or paused (409).
        requests.RequestException: If it does not answer.
    """
    client = engine.new_client()
    try:
        created = client.exec_create(
            container_id,
            list(argv),
            stdin=stdin,
            user=user,
            workdir=workdir,
            environment=dict(environment or {}),
        )
        exec_id = str(created["Id"])
        return exec_id, EngineStream(client, client.exec_start(exec_id, socket=True), silence_s)
    except BaseException:
        client.close()
        raise


def exit_code_of(engine: Engine, exec_id: str) -> int | None:
    """The exit code of a process whose stream has ended; ``None`` if the engine does not know it, or is gone.

    The engine's record may lag behind the end of the stream for a moment, so this asks more than once.
    """
    import requests
    from docker.errors import DockerException

    deadline = time.monotonic() + EXIT_CODE_TIMEOUT_S
    pause_s = 0.002
    while True:
        try:
            record: dict[str, Any] = engine.api.exec_inspect(exec_id)
        except (DockerException, requests.RequestException, OSError):
            return None
        code = record.get("ExitCode")
        if not record.get("Running") and code is not None:
            return int(code)
        if time.monotonic() > deadline:
            return None
        time.sleep(pause_s)
        pause_s = min(pause_s * 2, 0.1)


def wait_until_started(engine: Engine, exec_id: str) -> bool:
    """Wait until a process really runs; False if it ended, or did not begin in time.

    The engine hands out the stream before it starts the process. A container that is paused in between can
    never be thawed again: the engine's own half-started process is frozen with it and holds the lock (seen with
    20.10).
    """
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        record: dict[str, Any] = engine.api.exec_inspect(exec_id)
        if record.get("ExitCode") is not None and not record.get("Running"):
            return False
        if record.get("Pid"):
            return True
        time.sleep(0.005)
    return False


def _buffered_reader(hijacked: Any) -> BinaryIO | None:
    response = getattr(hijacked, "_response", None)
    body = getattr(getattr(response, "raw", None), "_fp", None)
    reader: BinaryIO | None = getattr(body, "fp", None)
    return reader
