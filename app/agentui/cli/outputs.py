"""Standard output and error that nobody takes any more."""

from __future__ import annotations

import os
import sys


def forget_unread() -> None:
    """Point what cannot be written (a pipe or terminal that was closed, a full disk) to nowhere.

    Else Python tries once more when it ends, and ends with 120 whatever we return.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
        except (AttributeError, ValueError):  # it was closed before we began, or by us
            continue
