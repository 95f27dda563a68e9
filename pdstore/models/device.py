"""The torch device that a model runs on."""

import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from typing import Any, TypeVar

from pdstore.errors import UsageError

Item = TypeVar("Item")
Result = TypeVar("Result")

_MAKING = threading.Lock()
_used: tuple[str, int, int | None] | None = None


def check_device(device: str) -> None:
    """Raise `UsageError` where torch does not know the device, or this machine lacks it."""
    if device == "cpu":
        return
    if device_type(device) == "meta":
        raise UsageError("device 'meta' cannot be used: it computes nothing")
    # In a process of its own: this one runs no model, and would hold memory of a GPU, or a GPU that is for one alone.
    program = "import sys, torch; torch.zeros(1, device=sys.argv[1])"
    tried = subprocess.run([sys.executable, "-c", program, device], capture_output=True, text=True, check=False)
    if tried.returncode:
        reason = (tried.stderr.strip().splitlines() or ["torch says nothing"])[-1]
        # "RuntimeError: Expected one of cpu, cuda, …" goes on for twenty kinds.
        raise UsageError(f"device {device!r} cannot be used: {reason.partition(': ')[2][:150] or reason}")


def device_type(device: str) -> str:
    """Kind of a torch device: "cuda" for "cuda:1"."""
    return device.partition(":")[0]


def visible_gpus(device: str) -> int:
    """GPUs of this machine that the device "cuda" may be; 0 for another device, and 1 for one of them ("cuda:1")."""
    if not device.startswith("cuda"):
        return 0
    if device != "cuda":
        return 1
    import torch

    return torch.cuda.device_count()


def in_model_thread(function: Callable[..., Result], *arguments: Any) -> Result:
    """Call a function in the one thread of this process that runs models, and wait for it.

    Torch keeps a pool of threads, their number, and the current GPU for each thread that calls it. And of two blocks of
    a worker, one can be read or written while the other is in the model, but two in it would need twice the memory.
    """
    with _MAKING:
        thread = _model_thread(os.getpid())
    return thread.submit(function, *arguments).result()


def set_cuda_arithmetic(tf32: bool) -> None:
    """Set what torch computes float32 with on a GPU, in this process: by itself it lets convolutions use TF32."""
    import torch

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
    # The same algorithm in every run, for the same last bits.
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True


def inferred(function: Callable[[Item], Result], items: Iterable[Item], device: str) -> Iterator[Result]:
    """Results of a function, without gradients, in the order of what it is given.

    On a CPU each is computed in one thread, as many at once as torch has threads: none waits for another within a
    result, which does not depend on their number. No more is taken than threads can work on.
    """
    import torch

    def infer(item: Item) -> Result:
        # The mode is a thread's own.
        with torch.inference_mode():
            return function(item)

    if device != "cpu":
        yield from map(infer, items)
        return
    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            waiting: deque[Future[Result]] = deque()
            for item in items:
                waiting.append(pool.submit(infer, item))
                if len(waiting) > threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
    finally:
        # Of some libraries beneath torch the number is the process's.
        torch.set_num_threads(threads)


def use_resources(device: str, worker: int, cores: int | None) -> None:
    """Let models of this process compute on so many cores, and let "cuda" mean a GPU of its own.

    Parameters
    ----------
    device : str
        Torch device.
    worker : int
        Number of this worker among those of the machine: GPUs are counted round.
    cores : int or None
        None leaves it as the process was started: workers of dask with one.
    """
    global _used
    if _used != (device, worker, cores):
        in_model_thread(_use_resources, device, worker, cores)
        _used = (device, worker, cores)


def _use_resources(device: str, worker: int, cores: int | None) -> None:
    import torch

    if cores is not None:
        torch.set_num_threads(cores)
    if device == "cuda":
        torch.cuda.set_device(worker % torch.cuda.device_count())


@lru_cache(maxsize=1)
def _model_thread(process: int) -> ThreadPoolExecutor:
    """Of each process its own: a pool does not survive a fork."""
    return ThreadPoolExecutor(1, thread_name_prefix="model")
