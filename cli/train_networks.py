"""pdstore train cnn, dream-cnn, dream-rnn, dream-attn and attentive-chrome: networks."""

from collections.abc import Callable, Sequence
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pdstore.words import number, plain

from .output import DEFAULT_STORE, StoreOption, note

if TYPE_CHECKING:
    from pdstore.train_network import NetworkReport
    from pdstore.train_people import PeopleReport

OutputOption = Annotated[Path, typer.Option("--output", "-o", help="The safetensors file of weights that is made.")]
ValidationContigs = Annotated[
    str | None, typer.Option(help="Genes of these contigs choose the epoch, separated by commas.")
]
TestContigs = Annotated[str | None, typer.Option(help="Genes of these contigs test, separated by commas.")]
ValidationGenes = Annotated[
    Path | None, typer.Option(help="A file of genes that choose the epoch, one a line: symbols or ids.")
]
TestGenes = Annotated[Path | None, typer.Option(help="A file of genes that test, one a line.")]
TssOffset = Annotated[
    int | None, typer.Option(min=0, help="Bases of the window before the TSS.", show_default="half of them")
]
Strand = Annotated[
    Literal["forward", "gene"], typer.Option(help="Read windows on the forward strand, or on the gene's.")
]
Epochs = Annotated[int, typer.Option(min=1, help="Passes over the examples, at most.")]
Patience = Annotated[int, typer.Option(min=1, help="End after so many epochs without a lower loss.")]
Shift = Annotated[int, typer.Option(min=0, max=1_000_000, help="Shift windows by up to so many bp, at random.")]
Seed = Annotated[
    int, typer.Option("--seed", min=0, max=2**32 - 1, help="Of first weights, and of whatever is by chance.")
]
Device = Annotated[str, typer.Option(help="Torch device: cpu, cuda, cuda:1.")]
_ITS_OWN = "the network's own"
Curves = Annotated[
    Path | None, typer.Option(help="Draw the losses of all epochs: .png, .svg or .pdf.", show_default="not drawn")
]


def cnn(
    context: typer.Context,
    output: OutputOption,
    store: StoreOption = DEFAULT_STORE,
    validation_contigs: ValidationContigs = None,
    test_contigs: TestContigs = None,
    validation_genes: ValidationGenes = None,
    test_genes: TestGenes = None,
    window: Annotated[
        int, typer.Option(min=1, max=100_000_000, help="Length of the window, bp, around the TSS.")
    ] = 40_001,
    tss_offset: TssOffset = None,
    strand: Strand = "forward",
    kernels: Annotated[int, typer.Option(min=1, help="Kernels of the convolution.")] = 900,
    kernel_width: Annotated[int, typer.Option(min=1, help="Their width, bp.")] = 10,
    pool: Annotated[int, typer.Option(min=1, help="Positions that are averaged.")] = 900,
    hidden: Annotated[int, typer.Option(min=1, help="Units of the hidden layer.")] = 200,
    epochs: Epochs = 100,
    patience: Patience = 10,
    learning_rate: Annotated[float, typer.Option(help="Adam's.")] = 0.001,
    batch_size: Annotated[int, typer.Option(min=1, help="Genes a step.")] = 25,
    shift: Shift = 10,
    seed: Seed = 0,
    device: Device = "cpu",
    curves: Curves = None,
    target: Annotated[
        Literal["mean", "differential"],
        typer.Option(help="Learn genes' mean expression, or differences between people."),
    ] = "mean",
    people: Annotated[
        Path | None,
        typer.Option(help="Differential: names of people to train on, one a line.", show_default="everybody"),
    ] = None,
    people_at_once: Annotated[int, typer.Option(min=2, help="Differential: people of a gene in a step.")] = 16,
    start: Annotated[
        Path | None,
        typer.Option(help="Differential: weights to begin with; window and sizes are theirs.", show_default="chance"),
    ] = None,
) -> None:
    """Train the simple CNN on the reference windows of genes and their mean expression, or on people's differences.

    `pdstore fill --model cnn --weights FILE` then predicts with it. A checkpoint is kept after every epoch: run the
    same command again to go on. The default sizes are those of Sasse et al. 2023.

    With --target differential it learns, gene by gene, how people's expression differs from their mean by how their
    haplotypes differ; of people whom it was trained on, later statistics are then too good: name others with --people.

    Example:
    pdstore train cnn -s cohort.zarr -o cnn.safetensors --validation-contigs chr8 --test-contigs chr9 --curves cnn.png
    """
    from pdstore.errors import UsageError
    from pdstore.models.cnn import Cnn, CnnConfig
    from pdstore.models.training import TrainingSettings
    from pdstore.train_network import train_on_genes
    from pdstore.train_people import train_on_people
    from pdstore.training_genes import Split

    from .progress import FillProgress

    if target == "mean" and (people is not None or start is not None):
        raise UsageError("--people and --start are for --target differential: add it, or leave them out")
    if start is not None:
        _refuse(context, _SIZES, "window and sizes are those of --start")
    offset = window // 2 if tss_offset is None else tss_offset
    begun = None if start is None else Cnn.load(start, device=device)
    config = CnnConfig(window, offset, strand, kernels, kernel_width, pool, hidden) if begun is None else begun.config
    settings = TrainingSettings(epochs, patience, learning_rate, batch_size, seed, device)
    split = Split(_names(validation_contigs), _names(test_contigs), validation_genes, test_genes)
    with FillProgress() as progress:
        if target == "mean":
            report = train_on_genes(store, output, progress, Cnn, config, split, settings, shift, curves)
        else:
            of_people = train_on_people(
                store,
                output,
                progress,
                Cnn,
                config,
                split,
                settings,
                shift,
                curves,
                people=people,
                people_at_once=people_at_once,
                start=begun,
            )
    if target == "mean":
        _say(output, report, "genes")
    else:
        _say_people(output, of_people)


def attentive_chrome(
    output: OutputOption,
    cell_type: Annotated[str, typer.Option(help="Part of the descriptions of its histone marks' tracks: GM12878.")],
    store: StoreOption = DEFAULT_STORE,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Whose tracks.", show_default="the first that was filled")
    ] = None,
    validation_contigs: ValidationContigs = None,
    test_contigs: TestContigs = None,
    validation_genes: ValidationGenes = None,
    test_genes: TestGenes = None,
    epochs: Epochs = 30,
    patience: Patience = 30,
    learning_rate: Annotated[float, typer.Option(help="Adam's.")] = 0.0002,
    batch_size: Annotated[int, typer.Option(min=1, help="Genes a step.")] = 16,
    seed: Seed = 0,
    device: Device = "cpu",
    curves: Curves = None,
) -> None:
    """Train AttentiveChrome on five histone marks' tracks: whether a gene's mean expression is above the median.

    The store holds the tracks of many bins around the TSS: filled with --targets, with --tracks for the histone marks
    and with --bins 398-497. `pdstore fill --readout attentive_chrome --readout-weights FILE` then reads every
    prediction out with it, and `pdstore fill attention` says which marks and bins its answers are made of.

    Example:
    pdstore train attentive-chrome -s cohort.zarr --cell-type GM12878 -o chrome.safetensors --test-contigs chr8
    """
    from pdstore.models.training import TrainingSettings
    from pdstore.train_attentive_chrome import train_attentive_chrome
    from pdstore.training_genes import Split

    from .progress import FillProgress

    settings = TrainingSettings(epochs, patience, learning_rate, batch_size, seed, device)
    split = Split(_names(validation_contigs), _names(test_contigs), validation_genes, test_genes)
    with FillProgress() as progress:
        report = train_attentive_chrome(store, output, progress, cell_type, split, settings, model, curves)
    if report.epochs_before:
        note(f"epochs done before: {report.epochs_before:,}")
    if report.not_usable:
        note(f"genes without measured expression or predictions, left out: {report.not_usable:,}")
    note(f"tracks: {', '.join(map(plain, report.marks))}")
    typer.echo(
        f"{output}: {report.training:,} genes, epoch {report.best_epoch} of {report.epochs}; AUROC over "
        f"{report.validation:,} validation genes {_r(report.validation_auroc)}, over {report.test:,} test genes "
        f"{_r(report.test_auroc)}"
    )


def dream(name: str) -> Callable[..., None]:
    """The command of a named network of the DREAM challenge."""

    def command(
        context: typer.Context,
        output: OutputOption,
        store: StoreOption = DEFAULT_STORE,
        sequences: Annotated[
            Path | None,
            typer.Option(help="Train on a table instead, tab-separated: sequence, expression and, if any, a fold."),
        ] = None,
        validation_contigs: ValidationContigs = None,
        test_contigs: TestContigs = None,
        validation_genes: ValidationGenes = None,
        test_genes: TestGenes = None,
        validation_folds: Annotated[
            str | None, typer.Option(help="Sequences of these folds choose the epoch, separated by commas.")
        ] = None,
        test_folds: Annotated[
            str | None, typer.Option(help="Sequences of these folds test, separated by commas.")
        ] = None,
        window: Annotated[
            int | None,
            typer.Option(
                min=1,
                max=1_000_000,
                help="Length of the window, bp: around the TSS, or the last bases of each sequence.",
                show_default="2114, or the length of the sequences",
            ),
        ] = None,
        tss_offset: TssOffset = None,
        strand: Strand = "gene",
        upstream: Annotated[
            str, typer.Option(help="Bases before every sequence, as those of a plasmid.", show_default="none")
        ] = "",
        final: Annotated[
            Literal["classes", "value"] | None,
            typer.Option(
                help="Final layers: the yeast's 18 classes of expression, or one value.",
                show_default="classes of sequences, a value of genes",
            ),
        ] = None,
        first: Annotated[
            Literal["wide", "narrow"] | None,
            typer.Option(help="First layers: 9 and 15 bp with ReLU, or 7 bp with a norm.", show_default=_ITS_OWN),
        ] = None,
        core: Annotated[
            Literal["convolutional", "recurrent", "attentive"] | None,
            typer.Option(help="Core.", show_default=_ITS_OWN),
        ] = None,
        channels: Annotated[
            int | None, typer.Option(help="Channels between first layers and core.", show_default=_ITS_OWN)
        ] = None,
        features: Annotated[
            int | None, typer.Option(help="Features between core and final layers.", show_default=_ITS_OWN)
        ] = None,
        epochs: Epochs = 80,
        patience: Annotated[
            int | None,
            typer.Option(min=1, help="End after so many epochs without a lower loss.", show_default="all epochs"),
        ] = None,
        learning_rate: Annotated[float, typer.Option(help="The highest of AdamW's one cycle.")] = (
            0.001 if name == "dream-attn" else 0.005
        ),
        batch_size: Annotated[
            int | None, typer.Option(min=1, help="Examples a step.", show_default="1024 sequences, 32 genes")
        ] = None,
        shift: Annotated[
            int, typer.Option(min=0, max=1_000_000, help="Shift genes' windows by up to so many bp, at random.")
        ] = 0,
        seed: Seed = 0,
        device: Device = "cpu",
        curves: Curves = None,
    ) -> None:
        from pdstore.errors import UsageError
        from pdstore.models.dream import CLASSES, NAMED, Dream, DreamConfig
        from pdstore.models.registry import model_class
        from pdstore.models.training import TrainingSettings
        from pdstore.sources.measured_sequences import read_measured_sequences
        from pdstore.train_network import train_on_genes, train_on_sequences
        from pdstore.training_genes import Split

        from .progress import FillProgress

        of_genes = [validation_contigs, test_contigs, validation_genes, test_genes, shift or None]
        of_sequences = [validation_folds, test_folds, upstream or None, "classes" if final == "classes" else None]
        if sequences is not None and any(option is not None for option in of_genes):
            raise UsageError("contigs, genes and --shift are for training on a store: leave them out with --sequences")
        if sequences is None and any(option is not None for option in of_sequences):
            raise UsageError(
                "folds, --upstream and --final classes are for --sequences: give a table, or leave them out"
            )
        if sequences is not None:
            _refuse(context, ("store",), "a table is trained on with --sequences")
        final = final or ("value" if sequences is None else "classes")
        read = None
        if sequences is not None:
            read = read_measured_sequences(
                sequences, window, upstream, CLASSES - 1 if final == "classes" else float("inf")
            )
            window = read.letters.shape[1]
            if read.shorter:
                note(f"sequences that are shorter than {window:,} bases, with N before them: {read.shorter:,}")
        window = window or 2_114
        offset = window // 2 if tss_offset is None else tss_offset
        own = NAMED[name]
        config = DreamConfig(
            window,
            offset,
            strand,
            first or own[0],
            core or own[1],
            final,
            own[2] if channels is None else channels,
            own[3] if features is None else features,
        )
        size = batch_size or (32 if read is None else 1_024)
        settings = TrainingSettings(epochs, patience or epochs, learning_rate, size, seed, device)
        found = next((found for found, parts in NAMED.items() if parts == config.parts), "dream")
        model: type[Dream] = model_class(found)  # type: ignore[assignment]
        with FillProgress() as progress:
            if read is None:
                split = Split(_names(validation_contigs), _names(test_contigs), validation_genes, test_genes)
                report = train_on_genes(store, output, progress, model, config, split, settings, shift, curves)
            else:
                folds = _names(validation_folds), _names(test_folds)
                report = train_on_sequences(read, output, progress, model, config, folds, settings, curves)
        _say(output, report, "genes" if read is None else "sequences")
        if found != name:
            note(f"its parts or sizes are not {name}'s: fill with it by --model {found}")

    command.__doc__ = f"""Train {name.upper().replace("ATTN", "Attn")} on genes of a store, or on sequences.

    `pdstore fill --model {name} --weights FILE` then predicts with it, the mean over both strands. A checkpoint is kept
    after every epoch: run the same command again to go on. Optimizer and sizes are those of Rafi et al. 2024; other
    parts may take the place of its own.

    Example:
    pdstore train {name} --sequences promoters.tsv.gz --test-folds 9 --window 150 -o {name}.safetensors
    """
    return command


_SIZES = ("window", "tss_offset", "strand", "kernels", "kernel_width", "pool", "hidden")


def _refuse(context: typer.Context, names: Sequence[str], why: str) -> None:
    """Raise `UsageError` where one of some options stands in the command."""
    from pdstore.errors import UsageError

    for name in names:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise UsageError(f"{why}: leave --{name.replace('_', '-')} out")


def _say(output: Path, report: "NetworkReport", examples: str) -> None:
    if report.epochs_before:
        note(f"epochs done before: {report.epochs_before:,}")
    if report.not_measured:
        note(f"genes without measured expression, left out: {report.not_measured:,}")
    if not report.validation:
        note(f"no {examples} choose the epoch: it is that of the lowest loss of those that were trained on")
    if report.overlapping and examples == "genes":
        note(f"training genes whose windows overlap one of the other genes': {report.overlapping:,}; R may be too high")
    elif report.overlapping:
        note(f"training sequences that are held out, too: {report.overlapping:,}; R may be too high")
    typer.echo(
        f"{output}: {report.training:,} {examples}, epoch {report.best_epoch} of {report.epochs}; R over "
        f"{report.validation:,} validation {examples} {_r(report.validation_r)}, over {report.test:,} test {examples} "
        f"{_r(report.test_r)}"
    )


def _say_people(output: Path, report: "PeopleReport") -> None:
    if report.epochs_before:
        note(f"epochs done before: {report.epochs_before:,}")
    if report.not_measured:
        note(f"genes measured in too few of these people, left out: {report.not_measured:,}")
    if report.overlapping:
        note(f"training genes whose windows overlap one of the other genes': {report.overlapping:,}; R may be too high")
    typer.echo(
        f"{output}: differences between {report.people:,} people at {report.training:,} genes, epoch "
        f"{report.best_epoch} of {report.epochs}; mean R over {report.people_left_out:,} people left out "
        f"{_r(report.left_out_r)}, at {report.test:,} test genes {_r(report.test_r)}"
    )


def _names(given: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in (given or "").split(",") if name.strip())


def _r(value: float) -> str:
    return number(None if isnan(value) else value)
