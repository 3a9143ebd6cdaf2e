"""ONNX Runtime sessions: one output, on the device that was asked for."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, wait
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from worker.device import Device
from worker.engines.pool import Pool
from worker.errors import ModelNotProvisionedError, StartupError

Array = NDArray[np.float32]
Item = TypeVar("Item")
Feed = tuple[NDArray[Any], ...]
"""What a network is given in one run, in the order of its inputs."""


class OnnxSession:
    """A network on the device.

    On a CPU each run has one thread, and as many feeds are made and run side by
    side as the device has threads: threads that share one run wait for each
    other after every operator, and spin while they do, which costs most where
    the machine is shared. On a GPU one feed is made while another runs.

    Attributes
    ----------
    name : of the model, as its folder is called.
    parallel : feeds that are made or run at once.

    Raises
    ------
    StartupError
        ONNX Runtime runs the network elsewhere than on the device that was asked for.
    """

    def __init__(self, path: Path, device: Device) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        self._session: Any = onnxruntime.InferenceSession(
            path, options, providers=[(device.provider, device.provider_options)]
        )
        if (used := self._session.get_providers()[0]) != device.provider:
            raise StartupError(
                f"ONNX Runtime uses {used} where {device.provider} was asked for ({device.name}). "
                "Check the GPU's driver and the CUDA libraries on the volume, or set "
                "SPEECH_DEVICE=cpu."
            )
        self._names: list[str] = [each.name for each in self._session.get_inputs()]
        self.parallel = device.threads if device.name == "cpu" else 2
        # The folder of a model, where its version has one of its own: .<name>/<digest>/model.onnx
        self.name = path.parents[1].name.removeprefix(".")
        self._pool = Pool(self.parallel, self.name)

    def expect(self, *names: str) -> None:
        """Refuse a network that was exported for another release of the worker.

        Raises
        ------
        ModelNotProvisionedError
            Its inputs are not `names`.
        """
        if self._names != [*names]:
            raise ModelNotProvisionedError(
                "Run `python -m volume_bootstrap setup` of this release on the volume: "
                f"{self.name} was exported for another one; it takes {', '.join(self._names)}, "
                f"and this worker gives {', '.join(names)}."
            )

    def map(self, make: Callable[[Item], Feed], items: Iterable[Item]) -> Iterator[Array]:
        """Run the network on the feed that is made of each item; outputs come in order.

        Items are taken a few ahead.

        Raises
        ------
        FloatingPointError
            An output is not finite, as a failing device makes them.
        """
        running: deque[Future[Array]] = deque()

        def run(item: Item) -> Array:
            feed = dict(zip(self._names, make(item), strict=True))
            output: Array = self._session.run(None, feed)[0]
            if not np.isfinite(output).all():
                raise FloatingPointError(f"{self.name} gave values that are not finite")
            return output

        try:
            for item in items:
                running.append(self._pool.submit(run, item))
                if len(running) > self.parallel:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        finally:
            # Whoever gets the device next finds it free, and its memory. One that was cancelled
            # already, where the pool got no more threads, would be waited for in vain.
            wait([future for future in running if not future.cancel()])
