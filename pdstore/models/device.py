"""The torch device that a model runs on."""

from functools import lru_cache

from pdstore.errors import UsageError


def check_device(device: str) -> None:
    """Raise `UsageError` where torch does not know the device, or this machine lacks it."""
    if device == "cpu":
        return
    import torch

    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UsageError(f"device {device!r} cannot be used: {str(error).splitlines()[0]}") from error


def visible_gpus(device: str) -> int:
    """GPUs of this machine that the device "cuda" may be; 0 for another device, and 1 for one of them ("cuda:1")."""
    if not device.startswith("cuda"):
        return 0
    if device != "cuda":
        return 1
    import torch

    return torch.cuda.device_count()


@lru_cache(maxsize=1)
def use_gpu(number: int) -> None:
    """Let "cuda" mean another GPU in each worker process of a machine, counted round; nothing without a GPU."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.set_device(number % torch.cuda.device_count())


@lru_cache(maxsize=1)
def use_cores(cores: int | None) -> None:
    """Let torch compute with so many threads; None leaves it as it is: workers of dask are started with one."""
    if cores is not None:
        import torch

        torch.set_num_threads(cores)
