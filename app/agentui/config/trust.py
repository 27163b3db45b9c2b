"""What the user has agreed to: settings files of projects by their hash, and model servers by their host."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from agentui.errors import ConfigError
from agentui.frozen import frozen


def digest_of(content: bytes) -> str:
    """The hash under which a settings file is trusted; one changed byte asks again."""
    import hashlib  # 4 ms that only a project with settings of its own should pay

    return hashlib.sha256(content).hexdigest()


@frozen
class TrustStore:
    """A small JSON file of the user's. A file that cannot be read trusts nobody."""

    file: Path

    def trusts_project(self, project: Path, digest: str) -> bool:
        """Whether exactly this settings file of `project` was agreed to."""
        return bool(self._read("projects").get(_real(project)) == digest)

    def trust_project(self, project: Path, digest: str) -> None:
        """Agree to this settings file of `project`, in place of an older one.

        Raises:
            ConfigError: If the answer cannot be kept.
        """
        self._write("projects", _real(project), digest)

    def trusts_host(self, host: str) -> bool:
        """Whether the user agreed to send their work to `host`."""
        return self._read("hosts").get(host.lower()) is True

    def trust_host(self, host: str) -> None:
        """Agree to send work to `host`, from now on.

        Raises:
            ConfigError: If the answer cannot be kept.
        """
        self._write("hosts", host.lower(), True)

    def applies_always(self, project: Path) -> bool:
        """Whether the user wants changes to `project` applied without asking."""
        return self._read("applies").get(_real(project)) is True

    def apply_always(self, project: Path) -> None:
        """Apply changes to `project` without asking, from now on.

        Raises:
            ConfigError: If the answer cannot be kept.
        """
        self._write("applies", _real(project), True)

    def trusts_image(self, project: Path, digest: str) -> bool:
        """Whether the user lets the agent's shell for `project` be exactly this image."""
        return bool(self._read("images").get(_real(project)) == digest)

    def trust_image(self, project: Path, digest: str) -> None:
        """Agree to this image as the agent's shell for `project`, in place of another.

        Raises:
            ConfigError: If the answer cannot be kept.
        """
        self._write("images", _real(project), digest)

    def builds_images(self, project: Path) -> bool:
        """Whether the user agreed that images for `project` are built with a network."""
        return self._read("builds").get(_real(project)) is True

    def build_images(self, project: Path) -> None:
        """Agree that images for `project` are built with a network, from now on.

        Raises:
            ConfigError: If the answer cannot be kept.
        """
        self._write("builds", _real(project), True)

    def trusts_command(self, command: str) -> bool:
        """Whether the user lets exactly this command of theirs run for a key."""
        return self._read("commands").get(command) is True

    def trust_command(self, command: str) -> None:
        """Let this command run for a key, from now on; one changed character asks again.

        Raises:
            ConfigError: If the answer cannot be kept.
        """
        self._write("commands", command, True)

    def _all(self) -> dict[str, Any]:
        try:
            held = json.loads(self.file.read_bytes())
        except (OSError, ValueError):
            return {}
        return held if isinstance(held, dict) else {}

    def _read(self, part: str) -> dict[str, Any]:
        held = self._all().get(part)
        return held if isinstance(held, dict) else {}

    def _write(self, part: str, name: str, value: object) -> None:
        held = {**self._all(), part: {**self._read(part), name: value}}
        fresh = self.file.with_name(self.file.name + f".{os.getpid()}")
        try:
            self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
                json.dump(held, out, indent=1)
            os.replace(fresh, self.file)
        except OSError as error:
            raise ConfigError(
                f"your answer could not be kept in {self.file}: {error.strerror}",
                hint="make the folder writable, or set AGENTUI_HOME",
            ) from error


def _real(project: Path) -> str:
    return os.path.realpath(project)
