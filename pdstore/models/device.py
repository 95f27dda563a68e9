"""The torch device that a model runs on."""

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
