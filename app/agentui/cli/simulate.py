"""Serve a simulated LM Studio on this machine, for trying clients out without a model.

Its "model" plays scripts: split a Python script into modules, write unit tests, edit a blog post, set up a
two-tower recommender. A fault makes every request fail in that way, NAME@3 only the third one.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from agentui.errors import UsageError

if TYPE_CHECKING:
    from agentui.simulator.config import SimulatorConfig

_DEFAULT_PORT = 1234


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `agentui simulate`."""
    parser.add_argument("--port", type=int, default=_DEFAULT_PORT, metavar="N", help="0 takes a free one")
    parser.add_argument("--context", type=int, metavar="N", help="context length of the loaded model")
    parser.add_argument("--parallel", type=int, metavar="N", help="requests that are answered at once")
    parser.add_argument("--prefill-tok-per-s", type=float, metavar="N", help="prompt tokens read in a second")
    parser.add_argument("--decode-tok-per-s", type=float, metavar="N", help="tokens written in a second")
    parser.add_argument("--load-s", type=float, metavar="N", help="seconds that loading a model takes")
    parser.add_argument("--speed", type=float, metavar="X", help="divide all times by X")
    parser.add_argument("--unpaced", action="store_true", help="never wait")
    parser.add_argument("--ping-s", type=float, metavar="N", help="SSE comments while a stream is silent")
    parser.add_argument("--late-headers", action="store_true", help="send headers with the first token only")
    parser.add_argument("--second-instance", action="store_true", help="load the first model twice")
    parser.add_argument("--nothing-loaded", action="store_true", help="start with an empty memory")
    parser.add_argument("--no-jit", action="store_true", help="never load a model for a request")
    parser.add_argument("--mlx-fit", type=int, metavar="N", help="context that MLX loads get instead of theirs")
    parser.add_argument("--llama-timings", action="store_true", help="answer with llama-server's timings")
    parser.add_argument("--token", metavar="TOKEN", help="want this API token")
    parser.add_argument("--seed", type=int, metavar="N", help="of jitter and ids")
    parser.add_argument(
        "--fault", action="append", default=[], metavar="NAME[@N]", help="fail in every request, or in the Nth"
    )
    parser.add_argument("--list-faults", action="store_true", help="print the names of the faults and end")
    parser.add_argument("--json", action="store_true", help="print the address as JSON")
    parser.add_argument("--ready-fd", type=int, metavar="FD", help="write the JSON to this file descriptor")
    parser.add_argument("--exit-with-parent", action="store_true", help="end when standard input is closed")


def run(args: argparse.Namespace) -> int:
    """Serve until Ctrl+C, SIGTERM or, with `--exit-with-parent`, the end of standard input."""
    if args.list_faults:
        from agentui.simulator.faults import Fault

        print("\n".join(fault.value for fault in Fault))
        return 0
    config = make_config(args)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(config, args))
    return 0


def make_config(args: argparse.Namespace) -> SimulatorConfig:
    """Return the settings that the flags ask for.

    Raises:
        UsageError: If a value is out of its range or a fault has no known name.
    """
    from agentui.simulator.config import SimulatorConfig
    from agentui.simulator.faults import Fault, parse_fault

    every: Fault | None = None
    at: dict[int, Fault] = {}
    for text in args.fault:
        name, has_number, number = text.partition("@")
        if has_number and not number.isdigit():
            raise UsageError(f"--fault {text}: “{number}” is not the number of a request.")
        if has_number:
            at[int(number)] = parse_fault(name)
        else:
            every = parse_fault(name)
    given = {
        "port": args.port,
        "context_length": args.context,
        "parallel": args.parallel,
        "prefill_tok_per_s": args.prefill_tok_per_s,
        "decode_tok_per_s": args.decode_tok_per_s,
        "load_s": args.load_s,
        "speed": args.speed,
        "ping_s": args.ping_s,
        "mlx_fitted_context": args.mlx_fit,
        "api_token": args.token,
        "seed": args.seed,
        "loaded": () if args.nothing_loaded else None,
    }
    chosen = {name: value for name, value in given.items() if value is not None}
    return SimulatorConfig(
        **chosen,
        unpaced=args.unpaced,
        headers_first=not args.late_headers,
        second_instance=args.second_instance,
        jit=not args.no_jit,
        llama_timings=args.llama_timings,
        faults=at,
        fault_every=every,
    )


async def _serve(config: SimulatorConfig, args: argparse.Namespace) -> None:
    from agentui.simulator.server import start_simulator

    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    simulator = await start_simulator(config)
    try:
        _announce(simulator.url, simulator.port, args)
        with _watched_input(loop, stopping) if args.exit_with_parent else contextlib.nullcontext():
            await stopping.wait()
    finally:
        await simulator.stop()


def _announce(url: str, port: int, args: argparse.Namespace) -> None:
    line = json.dumps({"url": url, "port": port})
    if args.ready_fd is not None:
        try:
            os.write(args.ready_fd, f"{line}\n".encode())
            os.close(args.ready_fd)
        except OSError as error:
            raise UsageError(f"--ready-fd {args.ready_fd} cannot be written to: {error.strerror}.") from error
    if args.json:
        print(line, flush=True)
    elif args.ready_fd is None:
        print(f"Simulated LM Studio at {url} (Ctrl+C ends it)", flush=True)


@contextlib.contextmanager
def _watched_input(loop: asyncio.AbstractEventLoop, stopping: asyncio.Event) -> Iterator[None]:
    """Set `stopping` when standard input ends, which it does when the process that holds its other end dies."""
    descriptor = sys.stdin.fileno()

    def read() -> None:
        if not os.read(descriptor, 4096):
            loop.remove_reader(descriptor)
            stopping.set()

    try:
        loop.add_reader(descriptor, read)
    except OSError as error:
        # epoll cannot watch regular files; those end at once, and a parent that dies cannot close them.
        raise UsageError("--exit-with-parent needs a pipe or a terminal as standard input.") from error
    try:
        yield
    finally:
        loop.remove_reader(descriptor)
