"""Every model on the demo's cohort, in one table: what can be trained is trained, the others have random weights.

    .venv/bin/python benchmarks/models.py [--scratch FOLDER]

The cohort is simulated (see `pdstore demo`): 200 people, 24 genes, in five of which a context motif turns the sign of
an activator, which the genes to train on hardly show. R is over 50 people whom nothing was trained on. "Trained
on people" has seen the other 150 at these genes; "other genes" are those that a training on people left out, in six
rounds of four. Enformer, Basenji2 and ExPecto are small and have random weights: they show that each fills a store, and
what R nothing gives. The DREAM networks have 32 channels and features, and a tenth of their genes, simulated for them,
is for validation. They see different numbers of genes, so rows do not rank architectures: the recurrent one needs more
than the convolutional one. Borzoi has an environment of its own. It takes about 20 minutes on two cores.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pdstore.analysis.correlation import pearson_r
from pdstore.demo import make_demo, training_set
from pdstore.fill import steps
from pdstore.models.attentive_chrome import MARKS
from pdstore.models.basenji2 import Basenji2
from pdstore.models.cnn import Cnn
from pdstore.models.dream import NAMED, Dream, DreamConfig
from pdstore.models.enformer_network import random_network, save_network
from pdstore.models.expecto import Expecto
from pdstore.models.protocol import ModelOptions, SequenceModel
from pdstore.models.registry import ModelReference
from pdstore.models.training import TrainingSettings
from pdstore.people_task import r_over_people
from pdstore.sources.measured_sequences import MeasuredSequences
from pdstore.sources.simulate import SIGN_TURNED, simulate_cohort
from pdstore.stages.readouts import Readout, chosen_readout, set_readout
from pdstore.store import open_store
from pdstore.train import train_predixcan
from pdstore.train_attentive_chrome import train_attentive_chrome
from pdstore.train_network import train_on_sequences
from pdstore.train_people import train_on_people
from pdstore.train_readout import train_readout
from pdstore.training_genes import Split

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from expecto_files import expecto_weights
from keras_files import basenji2_weights
from small_models import BASENJI2, ENFORMER, EXPECTO

LEFT_OUT = 50
ROUNDS = 6
CHANNELS = 32


@dataclass(frozen=True)
class Dose:
    """How much a network is trained."""

    genes: int
    epochs: int
    learning_rate: float


DOSES = {"dream-cnn": Dose(400, 6, 0.005), "dream-rnn": Dose(8_000, 10, 0.001), "dream-attn": Dose(400, 1, 0.005)}
"""What each can do in minutes on a CPU; that of dream-rnn was searched by hand, by R of validation genes."""


class Silent:
    """An observer that hears nothing."""

    def waiting(self, what: str) -> None: ...
    def step_begins(self, name: str, unit: str, blocks: int, units: int, done: int) -> None: ...
    def block_done(self, units: int, worked: bool) -> None: ...
    def step_ends(self) -> None: ...


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scratch", type=Path, help="A folder that is kept; removed where none is given.")
    asked = parser.parse_args()
    # Small networks wait for threads longer than they compute.
    torch.set_num_threads(1)
    Basenji2.sizes, Expecto.sizes = BASENJI2, EXPECTO
    if asked.scratch is not None:
        asked.scratch.mkdir(parents=True, exist_ok=True)
        Table(asked.scratch).make()
        return
    with tempfile.TemporaryDirectory() as scratch:
        Table(Path(scratch)).make()


class Table:
    """Trains, fills and prints, row by row."""

    def __init__(self, scratch: Path) -> None:
        self.folder = scratch
        demo = make_demo(scratch / "demo", Silent(), lambda _: None)
        self.cnn, self.sources = demo.weights, demo.sources
        self.store = open_store(demo.store, "r+")
        people = self.store.array("expression/observed").shape[1]
        self.left_out = np.sort(np.random.default_rng(0).choice(people, LEFT_OUT, replace=False))
        names = self.store.read("genotypes/sample_id").tolist()
        self.people = scratch / "people.txt"
        self.people.write_text("".join(f"{name}\n" for row, name in enumerate(names) if row not in self.left_out))
        self.turned = np.isin(self.store.read("genes/gene_name"), SIGN_TURNED)

    def make(self) -> None:
        turned, others = int(self.turned.sum()), int((~self.turned).sum())
        print(
            "| model | weights | mean R | of it: sign-turned genes | R < 0 of "
            f"{turned} | others | R < 0 of {others} | min |\n| --- | --- | --- | --- | --- | --- | --- | --- |"
        )
        self.row("cnn", "trained on 1,000 genes", lambda: self.filled("cnn", self.cnn, "cnn"))
        self.row("cnn", "trained on people", self.on_people)
        self.row("cnn", "trained on people, other genes", self.on_other_genes)
        for name, dose in DOSES.items():
            weights = f"trained on {dose.genes:,} genes, epochs: {dose.epochs}"
            self.row(name, weights, lambda name=name, dose=dose: self.dream(name, dose))
        self.row("predixcan", "trained on people", self.predixcan)
        self.row("enformer", "random", self.enformer)
        for target, weights in (("mean", "trained on 24 genes"), ("differential", "trained on people")):
            self.row("enformer, elastic_net", weights, lambda target=target: self.elastic_net(target))
        self.row("enformer, attentive_chrome", "trained on 24 genes", self.attentive_chrome)
        self.row("basenji2", "random", lambda: self.random("basenji2", lambda at: basenji2_weights(at, 0, BASENJI2)))
        self.row("expecto", "random", lambda: self.random("expecto", lambda at: expecto_weights(at, 0, EXPECTO)))

    def row(self, model: str, weights: str, r_of: Callable[[], NDArray[np.float64]]) -> None:
        began = time.perf_counter()
        r = r_of()
        groups = (r[self.turned], r[~self.turned])
        below = [f"{mean(of)} | {int((of < 0).sum())}" for of in groups]
        minutes = (time.perf_counter() - began) / 60
        print(f"| `{model}` | {weights} | {mean(r)} | {' | '.join(below)} | {minutes:.1f} |", flush=True)

    def r(self, label: str) -> NDArray[np.float64]:
        """R over the people left out, gene by gene, of what the store holds."""
        predicted = self.store.read(f"predictions/{label}/expression")[:, self.left_out]
        observed = self.store.read("expression/observed")[:, self.left_out]
        return np.array([float(pearson_r(*pair)) for pair in zip(predicted, observed, strict=True)])

    def filled(
        self, model: str, weights: Path, label: str, options: ModelOptions | None = None, readout: Readout | None = None
    ) -> NDArray[np.float64]:
        """R of the predictions that a fill makes, here without workers: these know the published sizes alone."""
        reference = ModelReference(model, weights, options=options or ModelOptions(), label=label)
        for name in ("windows", "predictions"):
            for step in steps(reference, name):
                step.prepare(self.store)
                if readout is not None and step.group.startswith("predictions/"):
                    set_readout(self.store, step.group, readout)
                for block in step.pending(self.store, range(len(self.turned))).todo:
                    step.run(self.store, block)
                step.gather(self.store)
        return self.r(label)

    def random(self, name: str, make: Callable[[Path], Path]) -> NDArray[np.float64]:
        (self.folder / name).mkdir()
        options = ModelOptions(tracks="all") if name == "basenji2" else None
        return self.filled(name, make(self.folder / name), name, options)

    def on_people(self) -> NDArray[np.float64]:
        path = self.trained_on_people("people", ())
        return self.filled("cnn", path, "cnn-people")

    def on_other_genes(self) -> NDArray[np.float64]:
        r = np.full(len(self.turned), np.nan)
        for number, genes in enumerate(np.array_split(np.random.default_rng(1).permutation(len(r)), ROUNDS)):
            path = self.trained_on_people(f"round{number}", genes.tolist())
            model: SequenceModel = Cnn.load(path)
            for gene in genes.tolist():
                r[gene] = r_over_people(model, self.store, gene, self.left_out)
        return r

    def trained_on_people(self, name: str, left_out: Sequence[int]) -> Path:
        path, listed = self.folder / f"{name}.safetensors", self.folder / f"{name}-genes.txt"
        listed.write_text("".join(f"{gene}\n" for gene in self.store.read("genes/gene_id")[list(left_out)].tolist()))
        begun = Cnn.load(self.cnn)
        train_on_people(
            self.store.url,
            path,
            Silent(),
            Cnn,
            begun.config,
            Split(test_genes=listed if left_out else None),
            TrainingSettings(epochs=200, patience=200, batch_size=6),
            shift=10,
            people=self.people,
            start=begun,
        )
        return path

    def dream(self, name: str, dose: Dose) -> NDArray[np.float64]:
        first, core, _, _ = NAMED[name]
        config = Cnn.load(self.cnn).config
        window = config.window
        wanted = DreamConfig(window.length, window.tss_offset, "gene", first, core, "value", CHANNELS, CHANNELS)
        genes = simulate_cohort(self.folder / f"{name}-genes", people=4, training_genes=dose.genes)
        onehot, means = training_set(genes, window, self.folder)
        letters = np.frombuffer(b"ACGT", np.uint8)[onehot.argmax(axis=2)]
        fold = np.where(np.arange(len(means)) % 10 == 0, "validation", "training").astype(object)
        path = self.folder / f"{name}.safetensors"
        settings = TrainingSettings(
            epochs=dose.epochs, patience=dose.epochs, learning_rate=dose.learning_rate, batch_size=16
        )
        torch.set_num_threads(2)
        train_on_sequences(
            MeasuredSequences(letters, means, fold), path, Silent(), Dream, wanted, (("validation",), ()), settings
        )
        torch.set_num_threads(1)
        return self.filled("dream", path, name)

    def predixcan(self) -> NDArray[np.float64]:
        path = self.folder / "predixcan.db"
        train_predixcan(self.store.url, path, Silent(), self.people)
        return self.filled("predixcan", path, "predixcan")

    @property
    def of_enformer(self) -> ModelReference:
        weights, targets = self.folder / "enformer", self.folder / "targets.txt"
        if not weights.exists():
            names = [f"CHIP:{mark}:simulated" for mark in MARKS]
            names += [f"random {number}" for number in range(24 - len(names))]
            rows = [f"{index}\t{name}" for index, name in enumerate(names)]
            targets.write_text("\n".join(["index\tdescription", *rows]) + "\n")
            sizes = replace(ENFORMER, output_heads={"human": len(names)})
            save_network(random_network(sizes, False, seed=0), sizes, weights)
        return ModelReference("enformer", weights, options=ModelOptions(tracks="all", bins="0-7", targets=targets))

    def enformer(self) -> NDArray[np.float64]:
        model = self.of_enformer
        assert model.weights is not None
        return self.filled("enformer", model.weights, "enformer", model.options)

    def elastic_net(self, target: Any) -> NDArray[np.float64]:
        path = self.folder / f"{target}.csv"
        train_readout(
            self.store.url,
            path,
            "enformer",
            folds=6,
            target=target,
            people=self.people if target == "differential" else None,
        )
        return self.read_out("elastic_net", path)

    def attentive_chrome(self) -> NDArray[np.float64]:
        path = self.folder / "chrome.safetensors"
        settings = TrainingSettings(epochs=30, patience=30, learning_rate=0.002, batch_size=16)
        train_attentive_chrome(self.store.url, path, Silent(), "simulated", Split(), settings, "enformer")
        return self.read_out("attentive_chrome", path)

    def read_out(self, name: str, weights: Path) -> NDArray[np.float64]:
        model = self.of_enformer
        assert model.weights is not None
        readout = chosen_readout(self.store, model, name, weights)
        return self.filled("enformer", model.weights, "enformer", model.options, readout=readout)


def mean(r: NDArray[np.float64]) -> str:
    """Over the genes that have an R: none has one where everybody is predicted the same."""
    known = r[~np.isnan(r)]
    return f"{known.mean():.2f}" if known.size else "none"


if __name__ == "__main__":
    main()
