"""The vocabulary of everything that happens: one union of frozen values, `Event`.

Producers emit payloads; the recorder alone wraps them in `Recorded`, writes them and fans them out. Journal,
replay, headless output, screen and tests all read the same events. Facts are in the past tense; every
`*Started` has exactly one `*Ended`. Text fields hold exact, uncleaned text: whoever draws it cleans it.
Numbers that may be unknown are ``None``, never 0. This file is a vocabulary and nothing else, so it may be
longer than other files; how an event becomes JSON is in `agentui.event_json`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any, Literal, NewType, TypeAlias

from agentui.frozen import frozen

RunId = NewType("RunId", str)
CallId = NewType("CallId", str)
MessageId = NewType("MessageId", str)
RequestId = NewType("RequestId", str)
SteerId = NewType("SteerId", str)
AskId = NewType("AskId", str)

Json: TypeAlias = Mapping[str, Any]
"""A JSON object as sent to or taken from a model server; key order is kept, for a byte-identical prefix."""

Source = Literal["measured", "reported", "estimated"]
EndReason = Literal["done", "failed", "limit", "guard", "unavailable", "interrupted"]
Phase = Literal[
    "idle",
    "starting",
    "loading_model",
    "seeding",
    "reading_prompt",
    "generating",
    "running_command",
    "checking",
    "working",
    "waiting_for_user",
    "compacting",
    "retrying",
    "done",
    "interrupted",
    "failed",
]
Hold = Literal["none", "pausing", "paused", "frozen"]
ToolOutcome = Literal[
    "ok", "error", "denied", "skipped", "cancelled", "timeout", "killed", "oom", "lost", "refused"
]
AskKind = Literal["select", "confirm", "input", "editor"]
ToolLabel = Literal["command", "check", "user"]
RequestOutcome = Literal["done", "cut", "frozen", "failed"]
SteerMode = Literal["steer", "follow_up"]
GuardLevel = Literal["ok", "watch", "act"]
ChangeKind = Literal["added", "modified", "deleted", "mode", "link", "type"]
ChangeRule = Literal["free", "ask", "never", "conflict"]


# --- values used inside events -------------------------------------------------------------------


@frozen
class Usage:
    """Token counts of one answer or of a whole run.

    `completion_tokens` contains `reasoning_tokens`; `cached_tokens` is the part of the prompt that the server
    did not read again. ``None`` where the server said nothing.
    """

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    reasoning_tokens: int | None = None
    cached_tokens: int | None = None


@frozen
class ModelFacts:
    """What is known of the model in use; shown in the header. `size_bytes` is that of the files."""

    model: str
    display_name: str = ""
    architecture: str | None = None
    quantization: str | None = None
    engine: str | None = None
    size_bytes: int | None = None
    loaded_context_tokens: int | None = None
    requested_context_tokens: int | None = None
    trained_context_tokens: int | None = None
    parallel: int | None = None
    is_remote: bool = False
    is_simulated: bool = False


@frozen
class SandboxFacts:
    """Where commands run, in words for the header and figures for the gauges."""

    kind: str
    label: str
    is_isolated: bool
    network: str = "none"
    image: str | None = None
    memory_limit_bytes: int | None = None
    cpus: float | None = None
    pids_limit: int | None = None
    notes: tuple[str, ...] = ()
    has_interpreters: bool = False


@frozen
class Change:
    """One difference between the private copy and the base it was made from.

    `path` is relative, with ``/``, undecodable bytes as surrogate escapes. `rule` says whether apply takes it
    freely, asks, refuses it, or cannot because the host changed too; `why` is the reason in words.
    """

    path: str
    kind: ChangeKind
    rule: ChangeRule = "free"
    why: str = ""
    added_lines: int | None = None
    removed_lines: int | None = None
    size_bytes: int | None = None


@frozen
class SpeedAtDepth:
    """Speeds of the requests whose prompt had up to `depth_tokens`; weighted by tokens."""

    depth_tokens: int
    requests: int
    prefill_tok_per_s: float | None = None
    decode_tok_per_s: float | None = None


@frozen
class CheckResult:
    """How a check ended the last time it ran."""

    name: str
    outcome: ToolOutcome
    exit_code: int | None
    wall_s: float

    @property
    def is_passed(self) -> bool:
        """Whether it ran to its end and found nothing wrong."""
        return self.outcome == "ok" and self.exit_code in (0, None)


@frozen
class TimeByKind:
    """Where the time of a run went, in seconds; the kinds add up to the run's."""

    prefill_s: float = 0.0
    decode_s: float = 0.0
    commands_s: float = 0.0
    checks_s: float = 0.0
    waiting_s: float = 0.0
    slept_s: float = 0.0
    other_s: float = 0.0


@frozen
class RunCard:
    """What a run was made of, what it took and how it ended; ``None`` for what nobody measured or said.

    Tokens are sums over the requests of the run, speeds are weighted by tokens. `reused_tokens` is what the
    server did not read again, `reread_tokens` what it read. Peaks are the highest samples of the run,
    `swap_growth_bytes` counts from the first one. `kv_type` is as the engine calls it, K and V apart where they
    differ. The hashes are the first 12 hexadecimal digits of a SHA-256. `reason` is ``None`` while the run
    goes on, and after a crash. A run that was saved and `resumed` (so often) has one card for all its parts;
    the time between them counts in nothing.
    """

    run_id: RunId
    task: str
    started_utc: str
    model: ModelFacts
    backend: str
    harness: str
    sandbox: str
    profile: str
    sampling: Json
    sampling_hash: str
    system_hash: str | None = None
    kv_type: str | None = None
    reason: EndReason | None = None
    error: str | None = None
    is_saved: bool = False
    wall_s: float | None = None
    turns: int = 0
    commands: int = 0
    requests: int = 0
    compactions: int = 0
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    reused_tokens: int | None = None
    reread_tokens: int | None = None
    ttft_s: float | None = None
    prefill_tok_per_s: float | None = None
    decode_tok_per_s: float | None = None
    speeds: tuple[SpeedAtDepth, ...] = ()
    time: TimeByKind | None = None
    peak_memory_bytes: int | None = None
    peak_model_bytes: int | None = None
    peak_kv_bytes: int | None = None
    kv_source: Source | None = None
    swap_growth_bytes: int | None = None
    checks: tuple[CheckResult, ...] = ()
    pending_changes: int = 0
    resumed: int = 0


# --- session and run -----------------------------------------------------------------------------


@frozen
class SessionStarted:
    """First event of a journal. `resumed_from` names the journal that this one goes on with."""

    session_id: str
    project: str
    version: str
    argv: tuple[str, ...] = ()
    branch: str | None = None
    resumed_from: str | None = None


@frozen
class SessionResumed:
    """The journal goes on after an end or a crash; `after_seq` is the last record that was read back."""

    after_seq: int
    version: str


@frozen
class SessionEnded:
    """Last event of a journal that was closed; without it the session ended by a crash."""

    why: str


@frozen
class HarnessStarted:
    """What thinks is ready. `session_ref` is where it keeps its own record, for going on with it later.

    `place` is where it runs, if not in our own process: ``host`` or ``container``. `commands` are names behind
    a slash that it understands itself, such as the user's own prompts.
    """

    kind: str
    version: str
    session_ref: str | None = None
    place: str = ""
    commands: tuple[str, ...] = ()


@frozen
class RunStarted:
    """A task was given; the run ends with `RunEnded`. With `goes_on` the task was said in an earlier run.

    `tools` and `sampling` are sent with every request, in front of the history: they belong to the prefix.
    """

    task: str
    model: ModelFacts
    backend: str
    workdir: str
    harness: str
    sandbox: SandboxFacts | None
    profile: str = "default"
    tools: tuple[Json, ...] = ()
    sampling: Json = field(default_factory=dict)
    goes_on: bool = False


@frozen
class RunEnded:
    """The agent has settled. `pending_changes` wait in the workspace; `hint` says how to apply them.

    `is_saved`: it was stopped because the session ended, and goes on where it was when that is resumed.
    """

    reason: EndReason
    error: str | None = None
    hint: str = ""
    usage: Usage = field(default_factory=Usage)
    turns: int = 0
    commands: int = 0
    wall_s: float = 0.0
    pending_changes: int = 0
    is_saved: bool = False


@frozen
class RunCarded:
    """The card of the run that ended just before: a fold of its events, for whoever has only this one."""

    card: RunCard


@frozen
class StateChanged:
    """The state machine moved. `hold` pausing means asked for but not reached.

    `detail` is in words; while paused or frozen it says where the run stands still.
    """

    phase: Phase
    hold: Hold
    detail: str = ""
    retry_in_s: float | None = None


@frozen
class TurnStarted:
    """One model request and the commands it will ask for; turns count from 1 in a run."""

    turn: int


@frozen
class TurnEnded:
    """A turn is over. Times in seconds; ``None`` where nothing was measured.

    Times and speeds of the answer are those of the last request that was answered.
    """

    turn: int
    usage: Usage
    ttft_s: float | None = None
    decode_s: float | None = None
    commands_s: float = 0.0
    waiting_s: float = 0.0
    decode_tok_per_s: float | None = None
    prefill_tok_per_s: float | None = None


@frozen
class TurnTimed:
    """Where the time of a turn went, in seconds; the kinds add up to `wall_s`.

    It runs from the end of the turn before (or the run's start) to the turn's end; `turn` 0 is what came after
    the last turn of a run, told just before its end.
    """

    turn: int
    wall_s: float
    prefill_s: float = 0.0
    decode_s: float = 0.0
    commands_s: float = 0.0
    checks_s: float = 0.0
    waiting_s: float = 0.0
    slept_s: float = 0.0
    other_s: float = 0.0


# --- history: the exact context of the model -----------------------------------------------------


@frozen
class HistoryAppended:
    """One message was added to the end of the model's context; `message` is the exact JSON sent.

    `steer_id` is that of the queued text it carries, `notices` how many of the oldest queued notices: one
    record, so that a crash cannot part the two.
    """

    message: Json
    steer_id: SteerId | None = None
    notices: int = 0
    joins_last: bool = False
    """It takes the place of the last message, which was never sent, and begins with its text."""


@frozen
class HistoryReplaced:
    """The model's context was replaced as a whole (compaction, branch); the prefix cache is lost."""

    messages: tuple[Json, ...]
    why: str


# --- requests and messages -----------------------------------------------------------------------


@frozen
class RequestStarted:
    """A request left for the model server. `attempt` counts from 1; a re-asked one repeats the same bytes."""

    request_id: RequestId
    turn: int
    messages: int
    body_bytes: int
    estimated_prompt_tokens: int
    attempt: int = 1


@frozen
class PrefillProgressed:
    """How far the server is with reading the prompt; counts in tokens, `eta_s` until the first token."""

    request_id: RequestId
    processed_tokens: int
    total_tokens: int
    cached_tokens: int | None
    eta_s: float | None
    source: Source


@frozen
class RequestEnded:
    """The answer is complete, cut, or failed.

    `ttft_s` runs from send to the first token, `decode_s` from the first to the last token. The two speeds are
    the server's own where it gives them (`timing_source` reported), else measured.
    """

    request_id: RequestId
    outcome: RequestOutcome
    finish_reason: str | None
    usage: Usage
    ttft_s: float | None
    decode_s: float | None
    total_s: float
    decode_tok_per_s: float | None = None
    prefill_tok_per_s: float | None = None
    timing_source: Source = "measured"
    usage_source: Source = "reported"
    error: str | None = None


@frozen
class MessageStarted:
    """A message begins to appear in the transcript."""

    message_id: MessageId
    role: Literal["user", "assistant", "system"]
    turn: int = 0


@frozen
class TextDelta:
    """More text of a message; `tokens` is how many chunks were joined into it."""

    message_id: MessageId
    text: str
    tokens: int = 1


@frozen
class ThinkingDelta:
    """More of the model's thinking; `tokens` is how many chunks were joined into it."""

    message_id: MessageId
    text: str
    tokens: int = 1


@frozen
class ToolCallDelta:
    """More of a tool call's raw arguments, while the model writes them."""

    message_id: MessageId
    index: int
    name: str
    text: str
    tokens: int = 1


@frozen
class MessageEnded:
    """A message is complete. `stop_reason`: stop, length, tool_calls, cut, error, or sent (user)."""

    message_id: MessageId
    stop_reason: str
    thinking_s: float | None = None


# --- commands ------------------------------------------------------------------------------------


@frozen
class ToolStarted:
    """A command begins, or is answered without being run (then `ToolEnded` follows at once)."""

    call_id: CallId
    name: str
    command: str
    cwd: str
    label: ToolLabel = "command"
    check: str | None = None
    timeout_s: float | None = None


@frozen
class ToolOutput:
    """More output of a command, decoded with replacement; the exact bytes lie in a file."""

    call_id: CallId
    stream: Literal["stdout", "stderr"]
    text: str


@frozen
class ToolFrozen:
    """A running command was stopped in place; its deadline clock stands still."""

    call_id: CallId


@frozen
class ToolThawed:
    """A frozen command goes on."""

    call_id: CallId
    frozen_s: float


@frozen
class ToolEnded:
    """A command is over. `output_path` is relative to the session's folder; `cwd` is where it ended."""

    call_id: CallId
    outcome: ToolOutcome
    exit_code: int | None
    wall_s: float
    output_bytes: int = 0
    dropped_bytes: int = 0
    output_path: str | None = None
    cwd: str = ""
    message: str = ""


# --- the user's part -----------------------------------------------------------------------------


@frozen
class ApprovalAsked:
    """The run waits for an answer by `Answer(ask_id, ...)`; `choices` are the words it may be.

    Kinds ``input`` (one line) and ``editor`` have no choices: the answer is any text. `text` is then what the
    line shows while it is empty, or what the editor begins with.
    """

    ask_id: AskId
    question: str
    why: str
    choices: tuple[str, ...] = ("yes", "no")
    call_id: CallId | None = None
    kind: AskKind = "select"
    text: str = ""


@frozen
class ApprovalGiven:
    """A question was answered; `by` is user, policy (nobody may be asked), or run (it ended first).

    `verdict` is empty where a question for text was not answered.
    """

    ask_id: AskId
    verdict: str
    by: Literal["user", "policy", "run"]


@frozen
class PauseAsked:
    """The user, the guard or a signal asked for a pause; `freeze` means at once."""

    by: Literal["user", "guard", "signal", "step"]
    freeze: bool = False


@frozen
class Paused:
    """The pause was reached. `at`: before_request, before_command, during_request, during_command."""

    at: str


@frozen
class Resumed:
    """The run goes on; `step` means only to the next safe point."""

    held_s: float
    step: bool = False


@frozen
class SteerQueued:
    """Text of the user waits: a steer for the next request, a follow-up for when the agent would stop."""

    steer_id: SteerId
    text: str
    mode: SteerMode


@frozen
class SteerApplied:
    """Queued text went into the model's context as `message_id`."""

    steer_id: SteerId
    message_id: MessageId


@frozen
class SteerWithdrawn:
    """Queued text waits no more. `why`: taken back (into the prompt), or begins (as a run of its own)."""

    steer_id: SteerId
    why: str = "taken back"


@frozen
class NoticeQueued:
    """A notice of ours for the end of the model's history: an undo, a conflict, a command of the user's."""

    text: str


# --- context, model, trouble ---------------------------------------------------------------------


@frozen
class ContextMeasured:
    """How full the context is after an answer (reported) or before a request (estimated)."""

    used_tokens: int
    limit_tokens: int | None
    source: Source


@frozen
class PrefixMeasured:
    """How much of a prompt the server reused and how much it read again, and what the latter cost.

    `first_changed` is the index of the first message that differs from the last request, ``None`` for none.
    """

    request_id: RequestId
    reused_tokens: int | None
    reread_tokens: int | None
    cost_s: float | None
    first_changed: int | None
    source: Source


@frozen
class CompactionStarted:
    """The history is being summarised."""

    why: str
    before_tokens: int | None


@frozen
class CompactionEnded:
    """What went and what stayed; `error` if the history was left as it was."""

    before_tokens: int | None
    after_tokens: int | None
    dropped_messages: int | None
    kept_messages: int | None
    summary: str
    error: str | None = None


@frozen
class ModelSeen:
    """The server's facts about the model were read, or read again after a load."""

    model: ModelFacts


@frozen
class ModelLoadStarted:
    """A model is being loaded; progress follows where the server gives it."""

    model: str
    context_tokens: int | None


@frozen
class ModelLoadProgressed:
    """`progress_ratio` is 0..1, ``None`` where only the elapsed time is known."""

    model: str
    progress_ratio: float | None
    elapsed_s: float


@frozen
class ModelLoadEnded:
    """The load is over; `context_tokens` is what the engine really gave."""

    model: str
    context_tokens: int | None
    wall_s: float
    error: str | None = None


@frozen
class ModelUnloaded:
    """A loaded instance was removed from memory."""

    model: str


@frozen
class BackendRetried:
    """A request failed and will be asked again after `delay_s`."""

    attempt: int
    delay_s: float
    error: str


@frozen
class BackendLost:
    """The server cannot be reached; the run waits or ends."""

    error: str
    hint: str = ""


@frozen
class Stalled:
    """Nothing moved for `silent_s` seconds; `what` is prefill, decode or a command.

    `gives_up_s` is the silence after which the request is given up, in seconds from its beginning.
    """

    what: str
    silent_s: float
    gives_up_s: float | None = None


@frozen
class Slept:
    """The machine was asleep for `gap_s` seconds; the gap counts in no speed, deadline or forecast."""

    gap_s: float


@frozen
class Warned:
    """Something the user should know and can act on; `code` is stable, `text` is for people."""

    code: str
    text: str
    hint: str = ""


@frozen
class LoopSuspected:
    """The same command gave the same result `repeats` times in a row."""

    command: str
    repeats: int
    action: Literal["told_model", "asked_user", "stopped"]


@frozen
class GuardChanged:
    """The memory guard moved between ok, watch and act."""

    level: GuardLevel
    why: str


@frozen
class EgressDecided:
    """A connection out of a sandbox was allowed or refused. `port` is 0 where none was named apart."""

    host: str
    port: int
    verdict: Literal["allowed", "refused"]
    why: str

    @property
    def target(self) -> str:
        """Where it would have led, as far as that was said."""
        return f"{self.host}:{self.port}" if self.port else self.host


# --- sandbox and workspace -----------------------------------------------------------------------


@frozen
class SandboxProgressed:
    """One line of an image build, or a step of a start."""

    text: str


@frozen
class SandboxStarted:
    """Commands can run from now on."""

    sandbox: SandboxFacts


@frozen
class SandboxEnded:
    """The sandbox is gone; `why` is closed, or what happened to it."""

    why: str


@frozen
class WorkspaceSeedProgressed:
    """The private copy is being made; totals are ``None`` while they are being counted."""

    files: int
    total_files: int | None
    size_bytes: int
    total_bytes: int | None


@frozen
class WorkspaceSeeded:
    """The private copy is ready. `left_out` names what was not copied and why."""

    workspace_id: str
    files: int
    size_bytes: int
    left_out: tuple[str, ...]
    wall_s: float
    reused: bool = False


@frozen
class WorkspaceChanged:
    """All differences between copy and base as they stand now."""

    changes: tuple[Change, ...]


@frozen
class WorkspaceApplied:
    """Changes were brought to the host as one unit; `waiting` were left in the copy."""

    apply_id: str
    changes: tuple[Change, ...]
    waiting: int
    by: Literal["user", "auto"]


@frozen
class WorkspaceUndone:
    """An apply was taken back on the host (`redo`: brought again)."""

    apply_id: str
    paths: tuple[str, ...]
    redo: bool = False


@frozen
class WorkspaceDiscarded:
    """Changes were dropped from the copy."""

    paths: tuple[str, ...]


@frozen
class WorkspaceConflicted:
    """Host and copy both changed these paths; the host keeps its own, both are kept."""

    paths: tuple[str, ...]


@frozen
class HostEditsCopied:
    """The user's own edits on the host came into the copy; `merged` were merged with the agent's."""

    paths: tuple[str, ...]
    merged: tuple[str, ...] = ()


@frozen
class CommitsTaken:
    """Commits of the agent came to the host as objects below `ref`; no branch and no file was touched.

    `uncopied` are files of the project that they delete although the copy never had them, such as a tracked
    ``.env``: the copy's index was marked so that git does not miss them, but the agent can make it anew.
    """

    ref: str
    commits: tuple[str, ...]
    uncopied: tuple[str, ...] = ()


# --- samples -------------------------------------------------------------------------------------


@frozen
class MemorySample:
    """Memory of the machine in bytes, by owner.

    `compute_bytes` estimates the engine's compute buffer; `engine_rest_bytes` is what the model's process holds
    beside weights, cache and that buffer: checkpoints and prompt caches. `is_process_sure` says whether the
    model's process is known for certain. `swap_growth_bytes` is that of the last half minute. The sandbox is
    read less often: `sandbox_age_s` is how old its figure is.
    """

    total_bytes: int | None
    used_bytes: int | None
    available_bytes: int | None
    swap_used_bytes: int | None
    model_process_bytes: int | None
    sandbox_bytes: int | None
    own_bytes: int | None
    gpu_limit_bytes: int | None
    pressure: Literal["ok", "warn", "critical"] | None
    source: Source
    gpu_busy_percent: float | None = None
    weights_bytes: int | None = None
    error: str | None = None
    gpu_limit_source: Source = "estimated"
    gpu_used_bytes: int | None = None
    compressed_bytes: int | None = None
    swap_growth_bytes: int | None = None
    compute_bytes: int | None = None
    engine_rest_bytes: int | None = None
    is_process_sure: bool | None = None
    sandbox_age_s: float | None = None


@frozen
class KvSample:
    """KV cache of the loaded model in bytes: filled and allocated."""

    filled_bytes: int | None
    allocated_bytes: int | None
    checkpoint_bytes: int | None
    tokens: int | None
    source: Source
    basis: str = ""
    error: str | None = None
    cache_type: str | None = None


@frozen
class RateSample:
    """Speeds as they are now, in tokens per second; ``None`` when there is nothing to measure."""

    decode_tok_per_s: float | None
    prefill_tok_per_s: float | None
    ttft_s: float | None
    answer_tokens: int | None
    source: Source


@frozen
class ProcessSample:
    """What agentui itself costs: share of one core (``None`` until a while was measured), resident bytes."""

    cpu_percent: float | None
    rss_bytes: int


@frozen
class ForecastMade:
    """Turns and minutes until a limit is hit; `basis` says on what data, ``None`` with too little of it.

    `is_far`: the limit is not reached before the context is full; turns and minutes are then ``None`` as well.
    """

    limit: Literal["context", "memory"]
    turns_left: float | None
    minutes_left: float | None
    basis: str
    is_far: bool = False


Event: TypeAlias = (
    SessionStarted
    | SessionResumed
    | SessionEnded
    | HarnessStarted
    | RunStarted
    | RunEnded
    | RunCarded
    | StateChanged
    | TurnStarted
    | TurnEnded
    | TurnTimed
    | HistoryAppended
    | HistoryReplaced
    | RequestStarted
    | PrefillProgressed
    | RequestEnded
    | MessageStarted
    | TextDelta
    | ThinkingDelta
    | ToolCallDelta
    | MessageEnded
    | ToolStarted
    | ToolOutput
    | ToolFrozen
    | ToolThawed
    | ToolEnded
    | ApprovalAsked
    | ApprovalGiven
    | PauseAsked
    | Paused
    | Resumed
    | SteerQueued
    | SteerApplied
    | SteerWithdrawn
    | NoticeQueued
    | ContextMeasured
    | PrefixMeasured
    | CompactionStarted
    | CompactionEnded
    | ModelSeen
    | ModelLoadStarted
    | ModelLoadProgressed
    | ModelLoadEnded
    | ModelUnloaded
    | BackendRetried
    | BackendLost
    | Stalled
    | Slept
    | Warned
    | LoopSuspected
    | GuardChanged
    | EgressDecided
    | SandboxProgressed
    | SandboxStarted
    | SandboxEnded
    | WorkspaceSeedProgressed
    | WorkspaceSeeded
    | WorkspaceChanged
    | WorkspaceApplied
    | WorkspaceUndone
    | WorkspaceDiscarded
    | WorkspaceConflicted
    | HostEditsCopied
    | CommitsTaken
    | MemorySample
    | KvSample
    | RateSample
    | ProcessSample
    | ForecastMade
)

Sample: TypeAlias = MemorySample | KvSample | RateSample | ProcessSample | ForecastMade


@frozen
class Recorded:
    """An event as the recorder numbered and timed it.

    `seq` counts from 1 without gaps in a session; `t_s` is monotonic seconds since the session began (it goes
    on across a resume); `at_utc` is ISO 8601 with milliseconds; `run_id` is empty outside a run; `v` is the
    version of the format.
    """

    seq: int
    t_s: float
    at_utc: str
    run_id: RunId
    event: Event
    v: int = 2
