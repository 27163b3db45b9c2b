"""Read from a project's folder what its image is made from: an image's name, a Dockerfile or a devcontainer."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from agentui.config.checks import ImageRecipe
from agentui.errors import ConfigError

MAX_FILE_BYTES = 32 * 1024 * 1024
DEPENDENCIES = "/opt/agentui"
"""Where lock files lie in the image, and what is installed from them that needs a folder of its own."""

# A lock file's name: what else its tool reads, and the command. Node looks for modules in the folders above the
# workspace too, so that they are installed at the root.
_INSTALLERS: tuple[tuple[str, tuple[str, ...], str, str], ...] = (
    (r"requirements[\w.-]*\.txt", (), DEPENDENCIES, "python3 -m pip install -r {lock}"),
    (r"uv\.lock", ("pyproject.toml",), DEPENDENCIES, "uv sync --frozen --no-install-project"),
    (r"poetry\.lock", ("pyproject.toml",), DEPENDENCIES, "poetry install --no-root --no-interaction"),
    (r"package-lock\.json|npm-shrinkwrap\.json", ("package.json",), "/", "npm ci"),
    (r"pnpm-lock\.yaml", ("package.json",), "/", "pnpm install --frozen-lockfile"),
    (r"yarn\.lock", ("package.json",), "/", "yarn install --frozen-lockfile"),
    (r"go\.sum", ("go.mod",), DEPENDENCIES, "go mod download"),
)


@dataclass(frozen=True, slots=True)
class ImageSource:
    """Everything an image of a project is made from.

    Either `base` names an image, or `dockerfile` is the text of one and `context` the folder it is built in
    (`dockerfile_path` lies below it). `files` are lock files and what their tool reads, by name; `install` runs
    in `workdir`. `notes` say what of the recipe is not done.
    """

    origin: str
    base: str = ""
    dockerfile: str = ""
    dockerfile_path: str = ""
    context: Path | None = None
    build_args: Mapping[str, str] = field(default_factory=dict)
    target: str = ""
    files: Mapping[str, bytes] = field(default_factory=dict)
    install: str = ""
    workdir: str = DEPENDENCIES
    notes: tuple[str, ...] = ()


def read_source(recipe: ImageRecipe, project: Path) -> ImageSource:
    """Read the files that a recipe names. Blocks for a few files.

    Raises:
        ConfigError: If one of them is not there or cannot be used.
    """
    files, install, workdir = _dependencies(recipe, project)
    match recipe.kind:
        case "image":
            source = ImageSource(f"image {recipe.source}", base=recipe.source)
        case "dockerfile":
            source = _dockerfile(project, recipe.source, project, {}, "")
        case "devcontainer":
            source = _devcontainer(project, recipe.source)
    return replace(source, files=files, install=install, workdir=workdir)


def found_recipe(project: Path) -> ImageRecipe | None:
    """The recipe of a project that names none: its devcontainer, else its Dockerfile."""
    for name in (".devcontainer/devcontainer.json", ".devcontainer.json"):
        if (project / name).is_file():
            return ImageRecipe("devcontainer", name)
    return ImageRecipe("dockerfile", "Dockerfile") if (project / "Dockerfile").is_file() else None


def _dependencies(recipe: ImageRecipe, project: Path) -> tuple[dict[str, bytes], str, str]:
    files: dict[str, bytes] = {}
    commands: list[str] = []
    workdir = DEPENDENCIES
    for lock in recipe.lock:
        name = lock.rpartition("/")[2]
        folder = lock[: len(lock) - len(name)]
        files[name] = _read(project, lock)
        if recipe.install is not None:
            continue
        for pattern, beside, where, command in _INSTALLERS:
            if re.fullmatch(pattern, name):
                files.update({other: _read(project, folder + other) for other in beside})
                commands.append(command.format(lock=name))
                workdir = where
                break
        else:
            raise ConfigError(
                f"how to install from {lock} is not known",
                hint='add the command to the checks table, as in  install = "make deps"',
            )
    return files, recipe.install or " && ".join(dict.fromkeys(commands)), workdir


def _dockerfile(
    root: Path, path: str, context: Path, build_args: Mapping[str, str], target: str
) -> ImageSource:
    text = _read(root, path).decode("utf-8", "replace")
    real, inside = (root / path).resolve(), context.resolve()
    if not real.is_relative_to(inside) or not inside.is_relative_to(root.resolve()):
        raise ConfigError(f"{path} is built in a folder that it or the project does not hold: {context}")
    return ImageSource(
        f"Dockerfile {path}",
        dockerfile=text,
        dockerfile_path=real.relative_to(inside).as_posix(),
        context=inside,
        build_args=build_args,
        target=target,
    )


def _devcontainer(project: Path, path: str) -> ImageSource:
    try:
        config: Any = json.loads(without_comments(_read(project, path).decode("utf-8")))
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{project / path} is no devcontainer file: {error}") from error
    if not isinstance(config, dict):
        raise ConfigError(f"{project / path} is no devcontainer file: not an object")
    ignored = [key for key in _NOT_DONE if config.get(key)]
    notes = (f"{path}: {', '.join(ignored)} not used",) if ignored else ()
    found = config.get("build")
    build: dict[str, Any] = found if isinstance(found, dict) else {}
    dockerfile = build.get("dockerfile") or config.get("dockerFile")
    if isinstance(dockerfile, str):
        folder = path.rpartition("/")[0]
        context = build.get("context", config.get("context", "."))
        arguments = {str(k): str(v) for k, v in (build.get("args") or {}).items()}
        beside = f"{folder}/{dockerfile}" if folder else dockerfile
        source = _dockerfile(
            project, beside, project / folder / str(context), arguments, str(build.get("target") or "")
        )
        return replace(source, origin=f"devcontainer {path}", notes=notes)
    image = config.get("image")
    if not isinstance(image, str) or not image.strip():
        hint = 'name an image in it, as in  "image": "python:3.12", or a build.dockerfile'
        raise ConfigError(f"{project / path} names neither image nor build.dockerfile", hint=hint)
    return ImageSource(f"devcontainer {path}, image {image}", base=image.strip(), notes=notes)


_NOT_DONE = (
    *("features", "onCreateCommand", "updateContentCommand", "postCreateCommand", "postStartCommand"),
    *("dockerComposeFile", "mounts", "runArgs", "containerEnv", "remoteEnv"),
)


def without_comments(text: str) -> str:
    """JSON with comments and trailing commas, as editors write it, as plain JSON."""
    kept: list[str] = []
    for match in re.finditer(r'"(?:[^"\\]|\\.)*"|//[^\n]*|/\*.*?\*/|[^"/]+|.', text, re.DOTALL):
        piece = match[0]
        if piece.startswith(("//", "/*")):
            kept.append(" ")
        else:
            kept.append(piece)
    strings: list[str] = []

    def hide(match: re.Match[str]) -> str:
        strings.append(match[0])
        return f'"{len(strings) - 1}"'

    hidden = re.sub(r'"(?:[^"\\]|\\.)*"', hide, "".join(kept))
    closed = re.sub(r",(\s*[}\]])", r"\1", hidden)
    return re.sub(r'"(\d+)"', lambda match: strings[int(match[1])], closed)


def _read(project: Path, path: str) -> bytes:
    file = project / path
    try:
        if not file.resolve().is_relative_to(project.resolve()):
            raise ConfigError(f"{file} leads out of the project")
        with file.open("rb") as content:
            data = content.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(
            f"{file}, which an image of the project is made from, cannot be read: {error.strerror}",
            hint="make it, or change the checks table",
        ) from error
    if len(data) > MAX_FILE_BYTES:
        raise ConfigError(f"{file} is over {MAX_FILE_BYTES // 2**20} MiB: that is no file to install from")
    return data
