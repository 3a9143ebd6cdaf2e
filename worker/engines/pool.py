"""Threads that a model runs on."""

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Pool:
    """Threads for one caller at a time; where one cannot be had, nothing goes on behind its back.

    Parameters
    ----------
    threads : the most there will be.
    name : of the threads, for who looks at them.
    """

    def __init__(self, threads: int, name: str) -> None:
        self._make = partial(ThreadPoolExecutor, threads, thread_name_prefix=name)
        self._executor = self._make()

    def submit(self, function: Callable[[Item], Result], item: Item) -> Future[Result]:
        """Call a function in a thread.

        Raises
        ------
        RuntimeError
            There is no memory for another thread. What was submitted has ended or will never begin.
        """
        try:
            return self._executor.submit(function, item)
        except RuntimeError:
            # The executor has queued it all the same: a thread that there is would run it later,
            # beside whoever has the device then.
            self._executor.shutdown(cancel_futures=True)
            self._executor = self._make()
            raise

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        """Call a function with each item; all calls have ended when this returns or raises."""
        running = [self.submit(function, item) for item in items]
        wait(running)
        return [future.result() for future in running]
