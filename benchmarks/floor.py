"""The floor: the least a Textual program must do to show an answer while it comes.

It reads the server's stream with nothing but a socket, appends each token to a view of lines that is painted
ten times a second, and has one input line. No Markdown, no gauges, no log, no agent.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from urllib.parse import urlsplit

from rich.cells import chop_cells
from rich.segment import Segment
from textual.app import App, ComposeResult
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widgets import Input


class LineView(ScrollView):
    """Text as rows; only what is new is wrapped, only what is seen is drawn."""

    def on_mount(self) -> None:
        self.rows, self.tail, self.pending, self.tokens = [""][:0], "", [""][:0], 0
        self.marks: list[tuple[float, int]] = []
        self.set_interval(0.1, self.paint)

    def feed(self, text: str) -> None:
        self.pending.append(text)
        self.tokens += 1
        if self.tokens == 1:  # else the time of all that comes before the first paint would not count
            self.marks.append((time.time(), 1))

    def paint(self) -> None:
        if not self.pending:
            return
        *done, open_line = (self.tail + "".join(self.pending)).split("\n")
        self.pending.clear()
        width = max(1, self.size.width)
        for line in done:
            self.rows.extend(chop_cells(line, width) or [""])
        *wrapped, self.tail = chop_cells(open_line, width) or [""]
        self.rows.extend(wrapped)
        self.virtual_size = Size(width, len(self.rows) + 1)
        self.scroll_end(animate=False, immediate=True, x_axis=False)
        self.refresh()
        self.marks.append((time.time(), self.tokens))

    def render_line(self, y: int) -> Strip:
        row = y + self.scroll_offset.y
        text = self.rows[row] if row < len(self.rows) else self.tail if row == len(self.rows) else ""
        return Strip([Segment(text)]).adjust_cell_length(self.size.width)


class Floor(App[None]):
    """Streams one answer and goes on waiting for keys."""

    def __init__(self, url: str = "", tokens: int = 0, marks: str = "") -> None:
        super().__init__()
        self.url, self.tokens, self.marks = url, tokens, marks

    def compose(self) -> ComposeResult:
        yield LineView()
        yield Input()

    def on_mount(self) -> None:
        self.query_one(Input).focus()
        if self.tokens:
            self.run_worker(self.stream(), exclusive=True)

    async def stream(self) -> None:
        view = self.query_one(LineView)
        messages = [{"role": "user", "content": f"stream {self.tokens} tokens"}]
        body = json.dumps({"model": "", "stream": True, "messages": messages}).encode()
        address = urlsplit(self.url)
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        head = (
            f"POST /v1/chat/completions HTTP/1.0\r\nHost: {address.netloc}\r\nContent-Length: {len(body)}\r\n"
        )
        writer.write(head.encode() + b"Content-Type: application/json\r\n\r\n" + body)
        async for line in reader:
            if line.startswith(b"data: {"):
                delta = json.loads(line[6:])["choices"][0]["delta"]
                if text := delta.get("content"):
                    view.feed(text)
                    await asyncio.sleep(0)  # one turn of the loop for each, as for tokens that come one by one
        writer.close()
        view.paint()
        with open(self.marks, "w") as file:
            json.dump(view.marks, file)


if __name__ == "__main__":
    arguments = sys.argv[1:]
    Floor(arguments[0], int(arguments[1]), arguments[2]).run() if arguments else Floor().run()
