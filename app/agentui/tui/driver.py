"""The terminal's driver: Textual's own, but for a program that is told to go on and was never suspended."""

from __future__ import annotations

from textual.drivers.linux_driver import LinuxDriver


class TerminalDriver(LinuxDriver):
    """Starts over instead of a second time.

    SIGCONT comes after a SIGSTOP, and to a program that is its terminal's session leader together with the
    SIGHUP of a terminal that was closed. Textual's driver would begin to read once more beside what reads
    already; with the terminal gone the two never end.
    """

    def _sigcont_application(self, *_: object) -> None:
        if not self._must_signal_resume:
            if self._key_thread is None or not self._key_thread.is_alive():
                return  # it has ended, or somebody else has the terminal
            self.suspend_application_mode()
        super()._sigcont_application()
