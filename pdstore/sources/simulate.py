"""A simulated cohort as the source files of a lab: nothing in it was measured on people or cells.

Expression follows a small grammar of three motifs. Training genes show two of them, an activator and a repressor; the
third, a context motif that turns the activator's sign, is planted only in some of the genes that people are measured in
and stands in training genes by chance alone, in about 1 of 130. A model trained on the training genes' reference
sequences learns that breaking an activator lowers expression, which is wrong wherever the context motif stands. How
wrong its predictions become is for the training to show: nothing here knows of a model.

People carry founder haplotypes. Each gene has its own random genealogy of founders, and each variant is carried by one
clade of it, so that variants are in linkage disequilibrium as in a short window of a real genome.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pdstore.sources.simulated_files import VcfRecord, write_fasta, write_tsv, write_vcf

# --- The grammar -----------------------------------------------------------------------------------------------------

ACTIVATOR = b"AGATAACG"
REPRESSOR = b"GCCATTGC"
CONTEXT = b"TTCAGCAT"
REPRESSOR_EFFECT = 0.8


def grammar_expression(sequence: bytes) -> float:
    """Give the expression that the grammar writes into one haplotype's window.

    Each activator adds 1 and each repressor takes away 0.8; where the window holds the context motif, each activator
    takes away 1 instead. Motifs count on the strand given only, and occurrences that overlap count once.

    Parameters
    ----------
    sequence : bytes
        The window in the gene's reading direction, in upper-case letters.

    Returns
    -------
    float
        Expression in the simulation's arbitrary unit, negative or positive like a log.
    """
    sign = -1.0 if CONTEXT in sequence else 1.0
    return sign * sequence.count(ACTIVATOR) - REPRESSOR_EFFECT * sequence.count(REPRESSOR)


# --- The cohort ------------------------------------------------------------------------------------------------------

WINDOW_LENGTH = 509  # bp that the grammar reads: 500 positions of a convolution of width 10
TSS_OFFSET = 254  # the TSS's 0-based offset in the window, in the gene's reading direction

# All symbols are borrowed from the eQTL literature; the genes share nothing else with their namesakes.
SIGN_TURNED = ("GSTM3", "CHURC1", "CRYZ", "POMZP3", "XRRA1")  # the genes with the context motif
ORDINARY = (
    *("DDX11", "CHI3L2", "CUTALP", "ERAP2", "FAM118A", "GATM", "IRF5", "LPCAT2", "MRPL43", "NQO2", "ORMDL3", "PAX8"),
    *("PEX6", "PSPHP1", "RPS26", "THNSL2", "TIMM10", "UTS2", "ZNF266"),
)

CONTIGS = ("sim1", "sim2")
_SLOT = 1000  # bp from one gene's window to the next; what is not window is random spacer
_MARGIN = (
    20  # bp at the window's edges without planted motifs and SNVs: a window that is shifted in training keeps both
)
_FOUNDERS = 30


@dataclass(frozen=True)
class SimulatedCohort:
    """Where the files of a simulated cohort are, and what is true of it.

    Attributes
    ----------
    vcf, fasta, genes, expression : Path
        What `pdstore init` reads: phased genotypes, reference, the measured genes, their expression by people.
    training_genes, training_expression : Path
        Genes to train on, none of them measured in people, and their mean expression in the population.
    window_length, tss_offset : int
        The window that the grammar reads, in bp, and the TSS's 0-based offset in it. The window is read on the gene's
        strand.
    sign_turned : tuple of str
        Symbols of the genes with the context motif.
    main_variant : dict of str to str
        By gene symbol, the common SNV that breaks an activator, as ``contig:position:ref:alt`` (1-based).
    """

    vcf: Path
    fasta: Path
    genes: Path
    expression: Path
    training_genes: Path
    training_expression: Path
    window_length: int
    tss_offset: int
    sign_turned: tuple[str, ...]
    main_variant: dict[str, str]


def simulate_cohort(
    directory: Path,
    seed: int = 20,
    *,
    people: int = 200,
    training_genes: int = 1200,
    training_noise: float = 0.1,
    person_noise: float = 0.25,
) -> SimulatedCohort:
    """Simulate a cohort and write it as ordinary source files; the same arguments give the same bytes.

    Parameters
    ----------
    directory : Path
        Where to write; made if absent. Files of the same names are overwritten.
    seed : int
        Seed of every draw.
    people : int
        Number of diploid people.
    training_genes : int
        Number of genes of which only the reference sequence and the mean expression are known.
    training_noise, person_noise : float
        Standard deviation of the noise added to a training gene's mean, and to a person's expression of a gene.
    """
    rng = np.random.default_rng(seed)
    contigs, genes = _simulate_genes(rng, training_genes)
    measured = [gene for gene in genes if gene.gene_name in SIGN_TURNED + ORDINARY]
    training = [gene for gene in genes if gene.gene_name not in SIGN_TURNED + ORDINARY]
    means = [grammar_expression(gene.sequence) + rng.normal(0, training_noise) for gene in training]
    records, expression, main_variant = [], [], {}
    for number, gene in enumerate(measured):
        gene_records, true_expression = _simulate_people(rng, gene, people)
        records += gene_records
        main_variant[gene.gene_name] = gene_records[0].variant
        expression.append([gene.gene_name, *(true_expression + rng.normal(0, person_noise, people)).tolist()])
        if number % 8 == 0:
            records.append(_deletion(rng, gene, people))

    directory.mkdir(parents=True, exist_ok=True)
    cohort = SimulatedCohort(
        vcf=directory / "cohort.vcf",
        fasta=directory / "reference.fa",
        genes=directory / "genes.tsv",
        expression=directory / "expression.tsv",
        training_genes=directory / "training_genes.tsv",
        training_expression=directory / "training_expression.tsv",
        window_length=WINDOW_LENGTH,
        tss_offset=TSS_OFFSET,
        sign_turned=SIGN_TURNED,
        main_variant=main_variant,
    )
    names = [f"SIM{person:04d}" for person in range(1, people + 1)]
    columns = ("gene_id", "gene_name", "contig", "tss", "strand")
    write_fasta(cohort.fasta, contigs)
    write_vcf(cohort.vcf, contigs, names, records)
    write_tsv(cohort.genes, columns, ([getattr(gene, column) for column in columns] for gene in measured))
    write_tsv(cohort.training_genes, columns, ([getattr(gene, column) for column in columns] for gene in training))
    write_tsv(cohort.expression, ["gene_name", *names], expression)
    ids = [gene.gene_id for gene in training]
    write_tsv(cohort.training_expression, ["gene_id", "mean_expression"], zip(ids, means, strict=True))
    return cohort


# --- Genes and the reference -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Gene:
    """One gene and its window.

    `start` is the window's 0-based start on the contig's forward strand, `sequence` the window in reading direction,
    `activators` the 0-based offsets in it of the planted activators.
    """

    gene_id: str
    gene_name: str
    contig: str
    strand: str
    start: int
    sequence: bytes
    activators: tuple[int, ...]

    @property
    def tss(self) -> int:
        """The TSS's 1-based position."""
        return self.position(TSS_OFFSET)

    def position(self, offset: int) -> int:
        """Give the 1-based position on the forward strand of a 0-based offset in the window."""
        return self.start + 1 + (offset if self.strand == "+" else len(self.sequence) - 1 - offset)

    def forward(self, bases: bytes) -> bytes:
        """Turn bases in reading direction into bases of the forward strand."""
        return bases if self.strand == "+" else bases.translate(bytes.maketrans(b"ACGT", b"TGCA"))[::-1]


def _simulate_genes(rng: np.random.Generator, training_genes: int) -> tuple[dict[str, bytes], list[_Gene]]:
    """Draw contigs and the genes on them: measured and training genes among each other, on either strand."""
    training_names = [f"SIMGENE{number:04d}" for number in range(1, training_genes + 1)]
    names = rng.permutation([*SIGN_TURNED, *ORDINARY, *training_names])
    contigs: dict[str, bytes] = {}
    genes: list[_Gene] = []
    for contig, names_here in zip(CONTIGS, np.array_split(names, len(CONTIGS)), strict=True):
        sequence = bytearray(_random_bases(rng, _SLOT * (len(names_here) + 1)))
        for slot, name in enumerate(names_here.tolist()):
            window, activators = _simulate_window(rng, name)
            gene = _Gene(
                gene_id=f"SIMG{len(genes) + 1:011d}",
                gene_name=name,
                contig=contig,
                strand="+-"[rng.integers(2)],
                start=_SLOT // 2 + _SLOT * slot,
                sequence=window,
                activators=activators,
            )
            sequence[gene.start : gene.start + WINDOW_LENGTH] = gene.forward(window)
            genes.append(gene)
        contigs[contig] = bytes(sequence)
    return contigs, genes


def _simulate_window(rng: np.random.Generator, name: str) -> tuple[bytes, tuple[int, ...]]:
    """Draw a gene's window with up to 4 activators (1 at least if it is measured) and 3 repressors.

    Returns the window and the offsets of its activators.
    """
    turned, ordinary = name in SIGN_TURNED, name in ORDINARY
    activators = int(rng.integers(1 if turned or ordinary else 0, 5))
    motifs = [ACTIVATOR] * activators + [REPRESSOR] * int(rng.integers(4)) + [CONTEXT] * turned
    step = len(ACTIVATOR) + 4  # motifs sit on a grid with 4 bp of room to move in, and so never overlap
    grid = rng.permutation((WINDOW_LENGTH - 2 * _MARGIN) // step)[: len(motifs)]
    offsets = (_MARGIN + step * grid + rng.integers(0, 5, len(motifs))).tolist()
    while True:
        window = bytearray(_random_bases(rng, WINDOW_LENGTH))
        for motif, offset in zip(motifs, offsets, strict=True):
            window[offset : offset + len(motif)] = motif
        if not (ordinary and CONTEXT in window):  # a training gene may hold the context motif by chance
            return bytes(window), tuple(offsets[:activators])


def _random_bases(rng: np.random.Generator, length: int) -> bytes:
    return rng.choice(np.frombuffer(b"ACGT", np.uint8), length).tobytes()


# --- People ----------------------------------------------------------------------------------------------------------


def _simulate_people(rng: np.random.Generator, gene: _Gene, people: int) -> tuple[list[VcfRecord], NDArray[np.float64]]:
    """Draw a gene's SNVs, the main one first, and the expression of the people, shape (people,), without noise.

    The main SNV is common and breaks an activator. 7 to 18 others fall anywhere but there and in the context motif, so
    that some of them break motifs too.
    """
    common, clades = _genealogy(rng)
    activator, context = int(rng.choice(gene.activators)), gene.sequence.find(CONTEXT)
    taken = [(start, start + len(ACTIVATOR)) for start in (activator, context) if start >= 0]
    inside = range(_MARGIN, WINDOW_LENGTH - _MARGIN)
    free = [offset for offset in inside if not any(start <= offset < end for start, end in taken)]
    main = activator + int(rng.integers(len(ACTIVATOR)))
    offsets = [main, *rng.choice(free, rng.integers(7, 19), replace=False).tolist()]
    carriers = [rng.choice(common), *rng.choice(clades, len(offsets) - 1)]

    haplotypes = np.tile(np.frombuffer(gene.sequence, np.uint8), (_FOUNDERS, 1))
    founders = rng.integers(_FOUNDERS, size=(people, 2))
    records = []
    for offset, carrier in zip(offsets, carriers, strict=True):
        ref = gene.sequence[offset : offset + 1]
        alt = bytes([rng.choice(sorted(set(b"ACGT") - set(ref)))])
        haplotypes[carrier, offset] = ord(alt)
        position = gene.position(offset)
        records.append(VcfRecord(gene.contig, position, gene.forward(ref), gene.forward(alt), carrier[founders]))
    expression = np.array([grammar_expression(haplotype.tobytes()) for haplotype in haplotypes])
    return records, expression[founders].mean(axis=1)


def _genealogy(rng: np.random.Generator) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Draw a random tree of the founders; give its common clades and all clades, both (clades, founders).

    Lineages merge two by two at random, as in a coalescent. Clades of more than half of the founders are left out.
    There is a common clade, of more than a quarter, in every tree: walk from the root into the larger child until it
    holds at most half; its parent held more than half.
    """
    lineages = list(np.eye(_FOUNDERS, dtype=bool))
    clades = list(lineages)
    while len(lineages) > 2:
        first, second = sorted(rng.choice(len(lineages), 2, replace=False), reverse=True)
        lineages.append(lineages.pop(first) | lineages.pop(second))
        clades.append(lineages[-1])
    frequency = np.mean(clades, axis=1)
    return np.array(clades)[(frequency > 0.25) & (frequency <= 0.5)], np.array(clades)[frequency <= 0.5]


def _deletion(rng: np.random.Generator, gene: _Gene, people: int) -> VcfRecord:
    """Draw a deletion of one base in the window's margin, where no motif is; it has no effect on expression."""
    ref = gene.forward(gene.sequence)[4:6]
    return VcfRecord(gene.contig, gene.start + 5, ref, ref[:1], rng.random((people, 2)) < 0.1)
