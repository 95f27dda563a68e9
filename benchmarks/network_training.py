"""An epoch of the simple CNN at its published size: how long, how much memory, and what of it is making windows.

    .venv/bin/python benchmarks/network_training.py [--genes 2000] [--device cuda]

Windows and expression are random: the work is that of real ones. "Bare" is the same steps with windows that are in the
network's form already, a few made before, over and over: what there is to reach. "Torch's layers" are a convolution, a
rectifier and a mean over segments one after the other, two windows at once, in place of `pooled_convolution`. Of both a
few steps are timed, and scaled. Memory is of the whole process before them, and on a GPU that of torch there, too.
"""

import argparse
import resource
import time

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pdstore.models.cnn import CnnConfig
from pdstore.models.cnn_network import CnnNetwork
from pdstore.models.trained import longer
from pdstore.models.training import Training, TrainingSettings
from pdstore.models.window_task import WindowTask

SHIFT = 10
BARE_STEPS = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--genes", type=int, default=2_000)
    parser.add_argument("--batch-size", type=int, default=25)
    parser.add_argument("--device", default="cpu")
    asked = parser.parse_args()
    config = CnnConfig()
    onehot, expression = random_genes(asked.genes, longer(config.window, SHIFT).length)
    task = WindowTask(onehot, expression, config.window_length, shift=SHIFT)
    training = Training(config, task, TrainingSettings(batch_size=asked.batch_size, device=asked.device))
    seconds = timed(training, asked.device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    making = timed_making(task, training.examples_at_once, asked.genes)
    bare, by_layers = (
        timed_bare(network.to(asked.device), config, at_once, asked.batch_size, asked.device) * asked.genes
        for network, at_once in ((config.network(), training.examples_at_once), (ByLayers(config), 2))
    )
    print(
        f"{asked.genes:,} windows of {config.window_length:,} bp on {asked.device}, {torch.get_num_threads()} threads\n"
    )
    print("| what | |\n| --- | --- |")
    print(f"| an epoch | {seconds:.0f} s, {3600 / seconds:.1f} an hour |")
    print(f"| the same steps, bare | {bare:.0f} s ({bare / seconds:.2f} of it) |")
    print(f"| with torch's layers, bare | {by_layers:.0f} s ({by_layers / bare:.1f} times as long) |")
    print(f"| of an epoch, making windows | {making:.1f} s ({making / seconds:.1%}) |")
    print(f"| peak memory | {peak / 1e9:.1f} GB |")
    if asked.device.startswith("cuda"):
        print(f"| of the GPU | {torch.cuda.max_memory_allocated() / 1e9:.1f} GB |")


def random_genes(genes: int, length: int) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    rng = np.random.default_rng(0)
    onehot = np.zeros((genes, length, 4), dtype=bool)
    for window in onehot:
        window[np.arange(length), rng.integers(4, size=length)] = True
    return onehot, rng.normal(size=genes)


def timed(training: Training, device: str) -> float:
    began = time.perf_counter()
    training.epoch()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter() - began


def timed_making(task: WindowTask, at_once: int, genes: int) -> float:
    """Seconds of all windows of an epoch in the form that the network takes."""
    began = time.perf_counter()
    for start in range(0, genes, at_once):
        task._windows(np.arange(start, min(start + at_once, genes)), SHIFT, "cpu")
    return time.perf_counter() - began


class ByLayers(CnnNetwork):
    """The same network with torch's layers."""

    def forward(self, windows: Tensor) -> Tensor:
        """(batch, positions, 4) → (batch,)."""
        convolved = self.convolution(windows.transpose(1, 2).contiguous()).relu()
        segments = nn.functional.avg_pool1d(convolved, self.pool)
        expression: Tensor = self.output(self.hidden(segments.flatten(1)).relu())
        return expression[:, 0]


def timed_bare(network: CnnNetwork, config: CnnConfig, at_once: int, batch: int, device: str) -> float:
    """Seconds a window of steps whose windows are there."""
    optimizer = torch.optim.Adam(network.parameters(), lr=0.001)
    windows, _ = random_genes(at_once, config.window_length)
    given, targets = torch.from_numpy(windows.astype(np.float32)).to(device), torch.zeros(at_once, device=device)
    began, done = time.perf_counter(), 0
    for _ in range(BARE_STEPS):
        optimizer.zero_grad()
        for start in range(0, batch, at_once):
            part = min(at_once, batch - start)
            (nn.functional.mse_loss(network(given[:part]), targets[:part]) * (part / batch)).backward()
            done += part
        optimizer.step()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return (time.perf_counter() - began) / done


if __name__ == "__main__":
    main()
