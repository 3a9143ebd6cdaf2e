"""An event that notes for how long it is waited for."""

import threading


class Waits(threading.Event):
    """Never set, and does not wait: ``Client(stop=Waits())``."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.asked.append(timeout or 0.0)
        return False
