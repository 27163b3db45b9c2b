"""What the terminal and the system do to the program: sizes, suspensions, an early end."""

from __future__ import annotations

import signal
import threading
from collections.abc import AsyncIterator, Iterator

import pytest
from textual.app import App
from textual.events import Resize
from textual.geometry import Size

from agentui.tui.driver import TerminalDriver
from tests.widgets.driving import settle
from tests.widgets.fakes import FakeServices, make_app


class Noting(TerminalDriver):
    """Notes what is done to the terminal, and does nothing to it."""

    def __init__(self, app: App[None]) -> None:
        super().__init__(app)
        self.done: list[str] = []

    def suspend_application_mode(self) -> None:
        self.done.append("suspend")

    def resume_application_mode(self) -> None:
        self.done.append("resume")


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """A driver takes signals for itself."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTSTP, signal.SIGCONT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
async def driver() -> AsyncIterator[Noting]:
    """A driver that reads in a thread of its own."""
    ends = threading.Event()
    made = Noting(App())
    made._key_thread = threading.Thread(target=ends.wait)
    made._key_thread.start()
    yield made
    ends.set()
    made._key_thread.join()


async def test_told_to_go_on_without_having_been_suspended_it_starts_over(driver: Noting) -> None:
    driver._sigcont_application()
    assert driver.done == ["suspend", "resume"]


async def test_told_to_go_on_after_it_was_suspended_it_goes_on(driver: Noting) -> None:
    driver._must_signal_resume = True
    driver._sigcont_application()
    assert driver.done == ["resume"]


async def test_told_to_go_on_where_it_has_ended_it_does_nothing() -> None:
    driver = Noting(App())
    driver._sigcont_application()
    assert driver.done == []


async def test_a_size_of_before_is_passed_over() -> None:
    app = make_app(FakeServices())
    async with app.run_test(size=(100, 30)) as pilot:
        await settle(pilot)
        app.dashboard.post_message(Resize(Size(90, 20), Size(90, 20)))
        await settle(pilot)
        assert app.dashboard.size == Size(100, 30)


async def test_asked_to_end_before_there_is_a_screen_it_ends_as_soon_as_there_is_one() -> None:
    services = FakeServices()
    app = make_app(services)
    app.leave()
    async with app.run_test(size=(100, 30)) as pilot:
        await settle(pilot)
    assert not app.is_running
    assert app.return_code == 0
