"""Ctrl-C that waits for a moment when everything fits together."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any


class Interrupt:
    """Inside, the first Ctrl-C only sets ``requested``; a second one raises KeyboardInterrupt at once, as usual.

    Ctrl-C comes between any two instructions: in the middle of an optimizer's step half of the weights are new. Whoever
    asks ``requested`` between two steps can save a state that goes on bit for bit. Outside the main thread, and where
    someone else handles Ctrl-C, nothing changes.
    """

    def __init__(self) -> None:
        self.requested = False
        self.before: Any = None

    def __enter__(self) -> Interrupt:
        self.requested = False
        main = threading.current_thread() is threading.main_thread()
        if main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            self.before = signal.signal(signal.SIGINT, self._on_signal)
        return self

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True

    def __exit__(self, kind: type | None, error: BaseException | None, trace: Any) -> None:
        unheard, self.requested = self.requested and error is None, False
        if self.before is not None:
            signal.signal(signal.SIGINT, self.before)
            self.before = None
        if unheard:
            raise KeyboardInterrupt
