"""What the stages write, against an independent computation: scipy, plain loops, and never our own functions."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from pdstore.errors import MissingDataError, ProvenanceError
from pdstore.models.registry import ModelReference
from pdstore.stages.attributions import Attributions
from pdstore.stages.predictions import Predictions
from pdstore.stages.statistics import Statistics
from pdstore.stages.windows import Windows, windows_outside_contig
from pdstore.store import Store, open_store

GENE = 1  # SDCBP2-AS1, the one gene of the real cohort that is measured


@pytest.fixture(scope="module")
def real(geuvadis: Path) -> Store:
    return open_store(geuvadis)


@pytest.fixture(scope="module")
def dosage(real: Store, shared_data: Path, bcftools: str) -> np.ndarray:
    """Alternate alleles of each SNV of the window, (snvs, people), as bcftools reads them from the VCF."""
    vcf = shared_data / "geuvadis_chr20" / "chr20.1000G_EUR502.phased.vcf.gz"
    people = ",".join(real.read("genotypes/sample_id").tolist())
    region = f"20:{1_306_065 - 6_999}-{1_306_065 + 3_500}"
    command = [bcftools, "query", "-f", "[%GT\t]\n", "-s", people, "-r", region, "-i", 'TYPE="snp"', str(vcf)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return np.array([[call.count("1") for call in line.split()] for line in lines])


@pytest.fixture(scope="module")
def columns(real: Store) -> np.ndarray:
    return np.flatnonzero(~np.isnan(real.read("attributions/xpresso/ism", GENE)))


def test_the_cohort_is_the_345_people_with_genotypes_and_expression(real: Store) -> None:
    assert real.array("expression/observed").shape == (4, 345)
    assert real.read("statistics/xpresso/n_samples").tolist() == [0, 345, 0, 0]


def test_a_persons_prediction_is_the_mean_of_both_haplotypes(real: Store, xpresso: ModelReference) -> None:
    windows = f"windows/{xpresso.window.name}"
    index = real.read(f"{windows}/haplotype_index", GENE)
    model = xpresso.load()
    for person in (0, 17, 344):
        onehot = np.stack([real.read(f"{windows}/haplotype_onehot", (GENE, row)) for row in index[person]])
        expected = model.predict(onehot)[:, 0, 0].astype(float).mean()
        assert real.read("predictions/xpresso/expression", (GENE, person)) == pytest.approx(expected, rel=1e-4)


def test_correlation_equals_scipys(real: Store) -> None:
    observed = real.read("expression/observed", GENE).astype(float)
    expected = scipy.stats.pearsonr(real.read("predictions/xpresso/expression", GENE), observed)
    assert real.read("statistics/xpresso/pearson_r", GENE) == pytest.approx(expected.statistic, abs=1e-12)
    assert real.read("statistics/xpresso/p_value", GENE) == pytest.approx(expected.pvalue, rel=1e-9)


def test_eqtl_slopes_equal_scipys_regression_on_the_vcf(
    real: Store, dosage: np.ndarray, columns: np.ndarray, xpresso: ModelReference
) -> None:
    observed = real.read("expression/observed", GENE).astype(float)
    assert len(columns) == len(dosage)
    slope = real.read(f"eqtl/{xpresso.window.name}/slope", GENE)[columns]
    p_value = real.read(f"eqtl/{xpresso.window.name}/p_value", GENE)[columns]
    for row, copies in enumerate(dosage):
        if np.ptp(copies) == 0:
            assert np.isnan(slope[row])
            assert np.isnan(p_value[row])
        else:
            expected = scipy.stats.linregress(copies, observed)
            assert slope[row] == pytest.approx(expected.slope, rel=1e-9)
            assert p_value[row] == pytest.approx(expected.pvalue, rel=1e-6)


def test_drivers_equal_a_plain_loop_over_the_definition(real: Store, dosage: np.ndarray, columns: np.ndarray) -> None:
    ism = real.read("attributions/xpresso/ism", GENE)[columns]
    prediction = real.read("predictions/xpresso/expression", GENE)
    whole = scipy.stats.pearsonr((ism[:, None] * dosage).sum(axis=0), prediction).statistic
    assert real.read("statistics/xpresso/linear_approximation_r", GENE) == pytest.approx(whole, abs=1e-9)
    increments, total, before = {}, np.zeros(dosage.shape[1]), 0.0
    for snv in sorted(range(len(ism)), key=lambda snv: (-abs(ism[snv]), snv)):
        total = total + ism[snv] * dosage[snv]
        after = scipy.stats.pearsonr(total, prediction).statistic / whole if np.ptp(total) > 1e-12 else before
        term = ism[snv] * dosage[snv]
        own = scipy.stats.pearsonr(term, prediction) if np.ptp(dosage[snv]) else None
        if after - before > 0.05 and own is not None and own.statistic > 0 and own.pvalue < 0.01 / len(ism):
            increments[snv] = after - before
        before = after
    expected = np.zeros(len(ism), dtype=int)
    for rank, snv in enumerate(sorted(increments, key=lambda snv: -increments[snv]), start=1):
        expected[snv] = rank
    assert expected.max() >= 3
    assert real.read("statistics/xpresso/driver_rank", GENE)[columns].tolist() == expected.tolist()
    stored = real.read("statistics/xpresso/driver_increment", GENE)[columns]
    assert stored[list(increments)] == pytest.approx(list(increments.values()), abs=1e-9)


def test_the_published_test_follows_from_the_stored_null(real: Store) -> None:
    read = lambda name: float(real.read(f"statistics/xpresso/{name}", GENE))  # noqa: E731
    t = (abs(read("pearson_r")) - read("null_mean")) / np.sqrt(read("null_sd") / 50)
    assert read("null_t") == pytest.approx(t)
    assert read("null_p") == pytest.approx(1.0 if t < 0 else scipy.stats.t.sf(t, 49))
    assert read("fdr") == read("null_p")  # one gene is tested


def test_fractions_supported_follow_from_drivers_ism_and_slopes(real: Store, xpresso: ModelReference) -> None:
    rank = real.read("statistics/xpresso/driver_rank", GENE)
    ism = real.read("attributions/xpresso/ism", GENE)[rank > 0]
    slope = real.read(f"eqtl/{xpresso.window.name}/slope", GENE)[rank > 0]
    increment = real.read("statistics/xpresso/driver_increment", GENE)[rank > 0]
    same = (ism > 0) == (slope > 0)
    assert real.read("statistics/xpresso/driver_count", GENE) == len(same) == 6
    assert real.read("statistics/xpresso/fraction_supported", GENE) == pytest.approx(same.mean())
    expected = increment[same].sum() / increment.sum()
    assert real.read("statistics/xpresso/weighted_fraction_supported", GENE) == pytest.approx(expected)


def test_fdr_is_benjamini_hochbergs_over_the_genes_with_a_p(filled: Path) -> None:
    store = open_store(filled)
    for fdr, p_value in (("fdr", "null_p"), ("empirical_fdr", "empirical_p")):
        p = store.read(f"statistics/cnn/{p_value}")
        tested = ~np.isnan(p)
        assert tested.sum() > 10
        np.testing.assert_allclose(
            store.read(f"statistics/cnn/{fdr}")[tested], scipy.stats.false_discovery_control(p[tested])
        )


def test_ism_is_the_prediction_with_one_allele_minus_the_references(
    real: Store, columns: np.ndarray, xpresso: ModelReference
) -> None:
    window = xpresso.window
    reference = real.read(f"windows/{window.name}/reference_onehot", GENE)
    first = int(real.read(f"windows/{window.name}/variant_start", GENE))
    model = xpresso.load()
    baseline = model.predict(reference[None])[0, 0, 0]
    ism = real.read("attributions/xpresso/ism", GENE)
    for column in columns[:: max(1, len(columns) // 8)]:
        position = int(real.read("variants/position", first + column))
        alternate = reference.copy()
        offset = position - (1_306_065 - 6_999)
        assert "ACGT"[reference[offset].argmax()] == str(real.read("variants/ref", first + column))
        alternate[offset] = np.eye(4, dtype=bool)["ACGT".index(str(real.read("variants/alt", first + column)))]
        assert ism[column] == pytest.approx(model.predict(alternate[None])[0, 0, 0] - baseline, abs=2e-6)


def test_minus_strand_genes_read_alternate_alleles_on_their_own_strand(filled: Path, cnn: ModelReference) -> None:
    """ISM of a variant equals the difference between the haplotypes that differ by it alone."""
    store = open_store(filled)
    strands = store.read("genes/gene_strand").tolist()
    path = f"windows/{cnn.window.name}"
    model = cnn.load()
    for gene in (strands.index("-"), strands.index("+")):
        start = int(store.read(f"{path}/window_start", gene))
        rows = slice(
            *(
                first := int(store.read(f"{path}/variant_start", gene)),
                first + int(store.read(f"{path}/variant_count", gene)),
            )
        )
        reference = store.read(f"{path}/reference_onehot", gene)
        for column, (position, ref, alt) in enumerate(
            zip(*(store.read(f"variants/{name}", rows).tolist() for name in ("position", "ref", "alt")), strict=True)
        ):
            if len(ref) != len(alt):
                continue
            offset = position - 1 - start
            order = "ACGT"
            if strands[gene] == "-":
                offset, order = cnn.window.length - 1 - offset, "TGCA"
            assert order[reference[offset].argmax()] == ref
            changed = reference.copy()
            changed[offset] = np.eye(4, dtype=bool)[order.index(alt)]
            expected = np.diff(model.predict(np.stack([reference, changed]))[:, 0, 0])[0]
            assert store.read("attributions/cnn/ism", (gene, column)) == pytest.approx(expected, abs=1e-5)


def test_other_weights_are_refused_with_both_digests(geuvadis: Path, tmp_path: Path, xpresso: ModelReference) -> None:
    assert xpresso.weights is not None
    other = tmp_path / "other.h5"
    other.write_bytes(xpresso.weights.read_bytes() + b"\0")
    store = open_store(shutil.copytree(geuvadis, tmp_path / "store.zarr"), "r+")
    refused = r"weights_sha256 [0-9a-f]{64}, but [0-9a-f]{64} is given"
    with pytest.raises(ProvenanceError, match=refused):
        Predictions(ModelReference("xpresso", other)).prepare(store)
    shutil.rmtree(tmp_path / "store.zarr" / "attributions")
    with pytest.raises(ProvenanceError, match=f"predictions/xpresso was filled with {refused}"):
        Attributions(ModelReference("xpresso", other)).prepare(store)


def test_a_stage_whose_input_is_missing_says_what_to_fill(unfilled: Path, cnn: ModelReference, tmp_path: Path) -> None:
    store = open_store(shutil.copytree(unfilled, tmp_path / "store.zarr"), "r+")
    Windows(cnn.window).prepare(store)
    Predictions(cnn).prepare(store)
    with pytest.raises(MissingDataError, match="run pdstore fill windows"):
        Predictions(cnn).pending(store, [0])
    with pytest.raises(MissingDataError, match=r"no group attributions/cnn: it has .*; run pdstore fill"):
        Statistics(cnn).prepare(store)
    Attributions(cnn).prepare(store)
    Statistics(cnn).prepare(store)
    with pytest.raises(MissingDataError, match=r"predictions of gene .* are not filled: run pdstore fill predictions"):
        Statistics(cnn).pending(store, [0])


def test_a_model_with_other_options_is_refused_by_the_worker(filled: Path, cnn: ModelReference, tmp_path: Path) -> None:
    store = open_store(shutil.copytree(filled, tmp_path / "store.zarr"), "r+")
    options = dict(cnn.describe().options)
    for stage in (Predictions(cnn), Attributions(cnn)):
        store.group(stage.group).attrs["model_options"] = options | {"pool": 99}
        with pytest.raises(ProvenanceError, match="filled with pool 99, but pool 100 is given"):
            stage.run(store, (0, 0))


def test_a_haploid_persons_one_allele_weighs_as_two_in_the_linear_approximation(
    filled: Path, cnn: ModelReference, fill_now: Callable[..., None], tmp_path: Path
) -> None:
    store = open_store(shutil.copytree(filled, tmp_path / "store.zarr"), "r+")
    calls = store.read("genotypes/call_genotype")
    # Every second person has one haplotype, as men have of X.
    calls[:, ::2, 1] = -2
    store.write("genotypes/call_genotype", ..., calls)
    for group in ("windows", "predictions", "attributions", "eqtl", "statistics"):
        shutil.rmtree(tmp_path / "store.zarr" / group)
    fill_now(open_store(tmp_path / "store.zarr", "r+"), cnn, [0])
    index = store.read(f"windows/{cnn.window.name}/haplotype_index", 0)
    assert (index[::2, 1] == -2).all()
    assert (index[1::2] >= 0).all()
    ism = store.read("attributions/cnn/ism", 0)
    columns = np.flatnonzero(~np.isnan(ism))
    rows = int(store.read(f"windows/{cnn.window.name}/variant_start", 0)) + columns
    carried = calls[store.read("variants/genotype_record")[rows]] == 1
    mean_allele = np.where(np.arange(40) % 2 == 0, carried[:, :, 0], carried.mean(axis=2))
    prediction = store.read("predictions/cnn/expression", 0)
    expected = scipy.stats.pearsonr(ism[columns] @ mean_allele, prediction).statistic
    assert store.read("statistics/cnn/linear_approximation_r", 0) == pytest.approx(expected, abs=1e-9)


def test_statistics_of_mixed_weights_are_refused(filled: Path, cnn: ModelReference, tmp_path: Path) -> None:
    store = open_store(shutil.copytree(filled, tmp_path / "store.zarr"), "r+")
    store.group("attributions/cnn").attrs["weights_sha256"] = "0" * 64
    with pytest.raises(ProvenanceError, match=f"attributions/cnn {'0' * 64}"):
        Statistics(cnn).prepare(store)


def test_windows_that_leave_the_contig_are_counted(real: Store, xpresso: ModelReference) -> None:
    from pdstore.haplotypes.window import WindowSpec

    assert windows_outside_contig(real, xpresso.window) == 0
    assert windows_outside_contig(real, WindowSpec(2_200_000, 1_100_000, "forward")) == 4
