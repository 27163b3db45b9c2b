"""Every error agentui raises on purpose.

::

    AgentuiError
    ├── UsageError            wrong flags or settings                     exit 2
    │   └── ConfigError       a settings file cannot be used
    ├── BackendError          the model server
    │   ├── BackendUnavailable    not there, refused, wrong address       exit 75
    │   ├── BackendRefused        answered with an error of its own
    │   │   ├── AuthenticationFailed  token missing or wrong            exit 75
    │   │   ├── ModelNotFound         no such model, or none loaded
    │   │   ├── ModelLoadFailed       engine or guardrail refused the load
    │   │   └── ContextOverflow       prompt does not fit the loaded context
    │   ├── StreamBroken          an answer ended without being finished
    │   └── BackendStalled        no bytes for too long
    ├── SandboxError          where commands run
    │   └── SandboxUnavailable    no engine, no image, self-test failed   exit 75
    │       └── EngineUnavailable     no container engine answers
    ├── WorkspaceError        copy, apply, undo
    │   ├── ApplyConflict         host files changed since the copy was made
    │   ├── ProjectBusy           another process works on the project      exit 75
    │   └── ProjectUnfit          no folder that can be copied              exit 2
    ├── HarnessError          what thinks
    │   └── HarnessUnavailable    it cannot be started, or its process is gone  exit 75
    ├── SessionError          journal or session files
    │   └── SessionBusy           another process writes the session        exit 75
    └── ModelFileError        a GGUF file or config.json cannot be read
"""

from __future__ import annotations


class AgentuiError(Exception):
    """Base of all errors agentui raises on purpose.

    Args:
        message: What was tried, on what, and what went wrong; shown to the user as it is.
        hint: What the user can do next; shown on a line of its own. Empty when there is nothing to say.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(AgentuiError):
    """Flags or arguments that cannot be used together or at all."""


class ConfigError(UsageError):
    """A settings file that cannot be read or holds what it may not hold."""


class BackendError(AgentuiError):
    """The model server failed. `retryable` says whether asking again unchanged can help.

    `retry_after_s` is how long the server itself wants to be left alone, ``None`` where it did not say.
    """

    retryable = False
    retry_after_s: float | None = None


class BackendUnavailable(BackendError):
    """No usable model server at the address."""

    retryable = True


class BackendRefused(BackendError):
    """The server answered with an error. `status` is the HTTP status, 200 for errors inside a good answer."""

    def __init__(self, message: str, *, hint: str = "", status: int = 0, retryable: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.retryable = retryable


class AuthenticationFailed(BackendRefused):
    """The server wants an API token, or another one."""


class ModelNotFound(BackendRefused):
    """The server has no such model, or none is loaded."""


class ModelLoadFailed(BackendRefused):
    """The engine could not load the model, or the server's memory guardrail refused it."""


class ContextOverflow(BackendRefused):
    """The prompt does not fit into the loaded context."""


class StreamBroken(BackendError):
    """The answer stopped before it was finished: cut, reset, or not parsable."""

    retryable = True


class BackendStalled(BackendError):
    """The server kept the connection open but sent nothing for too long."""

    retryable = True


class SandboxError(AgentuiError):
    """The place where commands run failed."""


class SandboxUnavailable(SandboxError):
    """No engine, no image, or the self-test failed: no commands."""


class EngineUnavailable(SandboxUnavailable):
    """No container engine answers; it may once it is started."""


class WorkspaceError(AgentuiError):
    """The private copy could not be made, compared, applied or undone."""


class ApplyConflict(WorkspaceError):
    """The host changed since the copy was made. `paths` are the conflicting ones; nothing was written."""

    def __init__(self, message: str, *, hint: str = "", paths: tuple[str, ...] = ()) -> None:
        super().__init__(message, hint=hint)
        self.paths = paths


class ProjectBusy(WorkspaceError):
    """Another process works on this project's copy."""


class ProjectUnfit(WorkspaceError):
    """The folder cannot be a project: it is none, holds too much, or holds our own state."""


class HarnessError(AgentuiError):
    """What thinks failed: it broke its protocol, or refused."""


class HarnessUnavailable(HarnessError):
    """What thinks cannot be started, or its process is gone."""


class SessionError(AgentuiError):
    """A session's files cannot be written or read."""


class SessionBusy(SessionError):
    """Another agentui writes the session: it can only be looked at."""


class ModelFileError(AgentuiError):
    """A model's metadata cannot be read or makes no sense."""
