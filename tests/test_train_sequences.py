"""Training of the DREAM challenge's networks: on a table of sequences, on a store, and what fills with them."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
import torch
from test_train_network import Silent

from pdstore.errors import MissingDataError, UsageError
from pdstore.haplotypes.onehot import one_hot
from pdstore.models.dream import Dream, DreamConfig
from pdstore.models.training import TrainingSettings
from pdstore.sources.measured_sequences import MeasuredSequences, read_measured_sequences
from pdstore.train_network import NetworkReport, train_on_sequences

Program = Callable[..., CompletedProcess[str]]
CONFIG = DreamConfig(40, 20, "gene", "narrow", "recurrent", "classes", 16, 16)
SETTINGS = TrainingSettings(epochs=12, patience=12, learning_rate=0.02, batch_size=16)
Folds = tuple[tuple[str, ...], tuple[str, ...]]
FOLDS: Folds = (("1",), ("2",))


@pytest.fixture(scope="module")
def promoters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Expression is four and a half, and twice as many more as there are motifs, on whichever strand."""
    rng = np.random.default_rng(0)
    lines = []
    for number in range(240):
        bases = rng.choice(list("ACGT"), 40)
        planted = rng.integers(3)
        for place in range(planted):
            motif = ("TGACTCA", "TGAGTCA")[rng.integers(2)]
            bases[20 * place + 5 : 20 * place + 12] = list(motif)
        lines.append(f"{''.join(bases)}\t{4.5 + 4 * planted}\t{number % 4}\n")
    path = tmp_path_factory.mktemp("promoters") / "promoters.tsv"
    path.write_text("".join(lines))
    return path


@pytest.fixture(scope="module")
def sequences(promoters: Path) -> MeasuredSequences:
    return read_measured_sequences(promoters, highest=17)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Small networks wait for threads longer than they compute."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def train(sequences: MeasuredSequences, path: Path) -> NetworkReport:
    return train_on_sequences(sequences, path, Silent(), Dream, CONFIG, FOLDS, SETTINGS)


def test_it_learns_a_motif_of_both_strands(sequences: MeasuredSequences, tmp_path: Path) -> None:
    report = train(sequences, tmp_path / "dream.safetensors")
    assert (report.training, report.validation, report.test, report.overlapping) == (120, 60, 60, 0)
    assert report.test_r > 0.8
    model = Dream.load(tmp_path / "dream.safetensors")
    assert sequences.fold is not None
    test = sequences.fold == "2"
    predicted = model.predict(one_hot(sequences.letters[test]))[:, 0, 0]
    assert np.corrcoef(predicted, sequences.expression[test])[0, 1] == pytest.approx(report.test_r, abs=1e-4)
    assert abs(predicted.mean() - sequences.expression[test].mean()) < 2


def test_an_interrupted_training_with_dropout_norms_and_a_schedule_goes_on_to_the_same_weights(
    sequences: MeasuredSequences, tmp_path: Path
) -> None:
    config = replace(CONFIG, first="wide", core="convolutional")
    settings = replace(SETTINGS, epochs=2, batch_size=60)
    paths = tmp_path / "whole", tmp_path / "interrupted"
    train_on_sequences(sequences, paths[0], Silent(), Dream, config, FOLDS, settings)
    with pytest.raises(KeyboardInterrupt):
        train_on_sequences(sequences, paths[1], Silent(1), Dream, config, FOLDS, settings)
    with pytest.raises(UsageError, match=r"begun otherwise \(epochs 2, now 4\)"):
        train_on_sequences(sequences, paths[1], Silent(), Dream, config, FOLDS, replace(settings, epochs=4))
    report = train_on_sequences(sequences, paths[1], Silent(), Dream, config, FOLDS, settings)
    assert report.epochs_before == 1
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_folds_that_cannot_be_are_refused_and_sequences_in_two_parts_counted(
    sequences: MeasuredSequences, tmp_path: Path
) -> None:
    def refused(
        message: str, folds: tuple[tuple[str, ...], tuple[str, ...]], of: MeasuredSequences = sequences
    ) -> None:
        with pytest.raises((UsageError, MissingDataError), match=message):
            train_on_sequences(of, tmp_path / "no", Silent(), Dream, CONFIG, folds, SETTINGS)

    refused("--test-folds 9: no sequence is there; the folds are 0, 1, 2, 3", ((), ("9",)))
    refused("fold 1 is in both parts", (("1",), ("1",)))
    refused("--validation-folds 1: the sequences have no third column", (("1",), ()), sequences._replace(fold=None))
    refused("0 sequences are left to train on: at least 5", (("0", "1"), ("2", "3")))
    letters = sequences.letters.copy()
    letters[:40] = letters[1]
    one = replace(SETTINGS, epochs=1)
    report = train_on_sequences(
        sequences._replace(letters=letters), tmp_path / "d", Silent(), Dream, CONFIG, FOLDS, one
    )
    assert report.overlapping == 20


def test_the_commands_train_on_sequences_and_on_genes_and_say_what_fills(
    pdstore: Program, promoters: Path, unfilled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    small = ["--channels", 16, "--features", 16, "--epochs", 2, "--batch-size", 64]
    on_sequences = pdstore(
        "train", "dream-rnn", "--sequences", promoters, "-o", tmp_path / "a", "--test-folds", "1,2", *small
    )
    assert on_sequences.returncode == 0, on_sequences.stderr
    assert re.search(
        r"120 sequences, epoch [12] of 2; R over 0 validation sequences -, over 120 test sequences -?\d",
        on_sequences.stdout,
    )
    assert "fill with it by --model dream" in on_sequences.stderr
    on_genes = pdstore(
        "train",
        "dream-attn",
        "-s",
        unfilled,
        "-o",
        tmp_path / "b",
        "--window",
        200,
        "--test-contigs",
        "sim2",
        *small[-4:],
    )
    assert on_genes.returncode == 0, on_genes.stderr
    assert "12 genes, epoch" in on_genes.stdout
    for arguments, message in (
        (["--sequences", promoters, "--test-contigs", "1"], "are for training on a store"),
        (["-s", unfilled, "--upstream", "ACGT"], "are for --sequences"),
        (["-s", unfilled, "--channels", "15"], "15 channels, expected an even number"),
    ):
        wrong = pdstore("train", "dream-rnn", "-o", tmp_path / "c", *arguments)
        assert wrong.returncode == 2
        assert message in " ".join(wrong.stderr.split())
    assert not (tmp_path / "c").exists()
