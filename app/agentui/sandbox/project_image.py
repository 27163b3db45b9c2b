"""The image of a project, made fit to hold our commands: named by its content, built once, kept.

What a project names (an image, a Dockerfile, a devcontainer) is the base. On it lie the dependencies from the
lock file, the only step that needs a network, and the few files that our containers run on. It must have bash.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from agentui.errors import SandboxUnavailable
from agentui.sandbox.docker_container import KEEPER, WORKSPACE
from agentui.sandbox.engine import Engine, explanation
from agentui.sandbox.image import (
    TOOLS_FOLDER,
    BuildFailed,
    Note,
    build_lines,
    has_image,
    in_build_thread,
    run_build,
)
from agentui.sandbox.project_recipe import DEPENDENCIES, ImageSource

if TYPE_CHECKING:
    from docker import APIClient

LABEL = "agentui.image"
_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_OURS = ("bin/check", "bin/edit", "lib/keeper", "lib/report")
_ENVIRONMENT = {
    "HOME": "/tmp/home",
    "BASH_ENV": "/usr/local/lib/agentui/report",
    "PAGER": "cat",
    "GIT_PAGER": "cat",
    "GIT_EDITOR": ":",
    "GIT_SEQUENCE_EDITOR": ":",
    "GIT_TERMINAL_PROMPT": "0",
    "PYTHONDONTWRITEBYTECODE": "1",
}
# For the step that installs: into the image's own Python, or into a folder that is on the path.
_INSTALL_ENVIRONMENT = {
    "PIP_BREAK_SYSTEM_PACKAGES": "1",
    "PIP_ROOT_USER_ACTION": "ignore",
    "PIP_NO_CACHE_DIR": "1",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "UV_PROJECT_ENVIRONMENT": f"{DEPENDENCIES}/env",
    "POETRY_VIRTUALENVS_CREATE": "false",
}


class ProjectImage:
    """One project's image on one engine.

    Args:
        engine: Where it is kept and built.
        source: What it is made from, as it was read from the host.
    """

    def __init__(self, engine: Engine, source: ImageSource) -> None:
        self.engine = engine
        self.source = source

    def digest(self) -> str:
        """Names everything it is made from, the base by its content where that is here. Blocks for the engine.

        Raises:
            SandboxUnavailable: If the engine does not answer.
        """
        source = self.source
        base = _image_id(self.engine, source.base) or source.base if source.base else ""
        digest = hashlib.sha256()
        parts = [base, source.dockerfile, source.dockerfile_path, source.target]
        parts += [f"{key}={value}" for key, value in sorted(source.build_args.items())]
        for part in parts:
            digest.update(f"{len(part)}:{part}\0".encode())
        digest.update(build_context("base", source, {}).getvalue())
        return digest.hexdigest()

    def tag(self) -> str:
        """The image's name. Asks the engine; blocks."""
        return f"agentui-project:{self.digest()[:12]}"

    def is_built(self) -> bool:
        """Whether it is there as the project's files want it now. Asks the engine; blocks.

        Raises:
            SandboxUnavailable: If the engine does not answer.
        """
        return has_image(self.engine, self.tag())

    def network_reason(self) -> str | None:
        """What building it may load from the network; ``None`` if nothing. Asks the engine; blocks."""
        source = self.source
        if source.dockerfile:
            return f"{source.origin} is built, which may download what it names"
        if not has_image(self.engine, source.base):
            return f"{source.base} is downloaded"
        if source.install:
            return f"`{source.install}` is run on {source.base}"
        if _config_of(self.engine, source.base).get("OnBuild"):
            return f"{source.base} brings steps of its own for builds"
        return None

    async def build(self, note: Callable[[str], None]) -> str:
        """Build it and return its name; `note` gets the builder's lines on the event loop.

        Raises:
            SandboxUnavailable: If a step fails, the base cannot be had, or it has no bash.
        """
        built: list[str] = []
        await in_build_thread(lambda tell, stop: built.extend(self._build(tell, stop)), note)
        return built[0]

    def _build(self, note: Note, stop: threading.Event) -> list[str]:
        import requests
        from docker.errors import DockerException

        lines: list[str] = []

        def tell(line: str) -> None:
            lines[:] = [*lines[-4:], line]
            note(line)

        client = self.engine.new_client()
        try:
            base = self._base(client, tell, stop)
            tag = self.tag()
            environment = _environment_of(self.engine, base)
            context = build_context(base, self.source, environment)
            if not stop.is_set():
                run_build(client, tell, stop, fileobj=context, tag=tag)
            self._require_bash(client, tag)
            return [tag]
        except BuildFailed as failure:
            raise SandboxUnavailable(
                f"The image of {self.source.origin} could not be built: {failure}. "
                f"Before that: {' | '.join(lines)}",
                hint="Build it by hand to see everything: agentui checks build",
            ) from failure
        except (DockerException, requests.RequestException, OSError) as error:
            raise SandboxUnavailable(
                f"The engine could not build the image of {self.source.origin}: {explanation(error)}",
                hint="See what it says with: docker info; docker system df",
            ) from error
        finally:
            client.close()

    def _base(self, client: APIClient, note: Note, stop: threading.Event) -> str:
        source = self.source
        if source.context is not None:
            tag = f"agentui-project-base:{self.digest()[:12]}"
            run_build(
                client,
                note,
                stop,
                path=str(source.context),
                dockerfile=source.dockerfile_path,
                buildargs=dict(source.build_args),
                target=source.target or None,
                tag=tag,
            )
            return tag
        if not has_image(self.engine, source.base):
            note(f"pulling {source.base}")
            for line in build_lines(client.pull(source.base, stream=True, decode=True)):
                if stop.is_set():
                    break
                note(line)
        return source.base

    def _require_bash(self, client: APIClient, tag: str) -> None:
        from docker.errors import NotFound

        container = client.create_container(tag, ["true"])
        try:
            stream, _ = client.get_archive(container["Id"], "/bin/bash")
            stream.close()
        except NotFound as error:
            client.remove_image(tag, force=True)
            raise SandboxUnavailable(
                f"The image of {self.source.origin} has no /bin/bash, which commands run in",
                hint="Install bash in it, or name one that has it (Debian's have, Alpine's have not).",
            ) from error
        finally:
            client.remove_container(container["Id"], force=True, v=True)


def build_context(base: str, source: ImageSource, environment: Mapping[str, str]) -> io.BytesIO:
    """The last step's context as a tar archive: its Dockerfile, our files, and what is installed from."""
    path = environment.get("PATH") or _DEFAULT_PATH
    ours = {**_ENVIRONMENT, "PATH": f"{DEPENDENCIES}/env/bin:/node_modules/.bin:{path}"}
    steps = [f"FROM {base}", "USER 0:0", f"LABEL {LABEL}=project"]
    if source.install:
        variables = " ".join(f'{key}="{value}"' for key, value in _INSTALL_ENVIRONMENT.items())
        steps += [f"COPY dependencies/ {source.workdir.rstrip('/')}/", f"WORKDIR {source.workdir}"]
        steps.append(f"RUN export {variables} && {source.install}")
    steps += ["COPY bin/ /usr/local/bin/", "COPY lib/ /usr/local/lib/agentui/"]
    steps.append("ENV " + " ".join(f'{key}="{value}"' for key, value in ours.items()))
    steps += [f"WORKDIR {WORKSPACE}", "HEALTHCHECK NONE", "ENTRYPOINT []"]
    steps.append("CMD [" + ", ".join(f'"{word}"' for word in KEEPER) + "]")
    files = {"Dockerfile": "\n".join(steps).encode() + b"\n"}
    files |= {name: (TOOLS_FOLDER / name).read_bytes() for name in _OURS}
    files |= {f"dependencies/{name}": content for name, content in source.files.items()}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in sorted(files.items()):
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o755 if name.startswith("bin/") else 0o644
            archive.addfile(info, io.BytesIO(content))
    buffer.seek(0)
    return buffer


def _image(engine: Engine, name: str) -> dict[str, Any]:
    import requests
    from docker.errors import DockerException, ImageNotFound

    try:
        record: dict[str, Any] = engine.api.inspect_image(name)  # type: ignore[no-untyped-call]
    except ImageNotFound:
        return {}
    except (DockerException, requests.RequestException, OSError) as error:
        raise SandboxUnavailable(f"The engine does not answer: {explanation(error)}") from error
    return record


def _image_id(engine: Engine, name: str) -> str:
    return str(_image(engine, name).get("Id", ""))


def _config_of(engine: Engine, name: str) -> dict[str, Any]:
    return _image(engine, name).get("Config") or {}


def _environment_of(engine: Engine, name: str) -> dict[str, str]:
    pairs = (_config_of(engine, name).get("Env")) or []
    return {key: value for key, _, value in (pair.partition("=") for pair in pairs)}
