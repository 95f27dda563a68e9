import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pdstore.analysis.readout import ELASTIC_NET, READOUT_NAMES, READOUTS, person_prediction, read_out
from pdstore.errors import UsageError

# Two haplotypes, three bins, two tracks.
TRACKS = np.array([[[1, 2], [2, 2], [1, 4]], [[1, 8], [1, 8], [2, 16]]], dtype=np.float32)


@pytest.mark.parametrize(
    ("readout", "expected"),
    [
        ("sum", [(4 + 8) / 2, (4 + 32) / 2]),
        ("sum_log", [np.log(2 * 16) / 2, np.log(2 * 1024) / 2]),
        ("log2_sum", [(2 + 3) / 2, (2 + 5) / 2]),
    ],
)
def test_readouts_of_a_tiny_case(readout, expected):
    value = read_out(TRACKS, readout)
    assert value.dtype == np.float64
    np.testing.assert_allclose(value, expected, rtol=1e-15)


@pytest.mark.parametrize("readout", READOUTS)
def test_leading_axes_are_kept_and_one_track_is_its_own_mean(readout):
    tracks = np.random.default_rng(0).uniform(0.1, 5, size=(4, 5, 3, 2))
    value = read_out(tracks, readout)
    assert value.shape == (4, 5)
    np.testing.assert_array_equal(value[2, 3], read_out(tracks[2, 3], readout))
    np.testing.assert_allclose(value, (read_out(tracks[..., :1], readout) + read_out(tracks[..., 1:], readout)) / 2)


@pytest.mark.parametrize(("readout", "missing"), [("sum", False), ("sum_log", True), ("log2_sum", False)])
def test_a_logarithm_that_does_not_exist_is_nan_and_not_a_low_value(readout, missing):
    assert np.isnan(read_out([[1.0], [0.0], [1.0]], readout)) == missing
    assert np.isnan(read_out([[-1.0], [-1.0], [-1.0]], readout)) == (readout != "sum")


@pytest.mark.parametrize("readout", READOUTS)
def test_nan_is_not_skipped(readout):
    assert np.isnan(read_out([[1.0, 1.0], [np.nan, 1.0]], readout))


def test_an_unknown_readout_lists_the_options():
    with pytest.raises(UsageError, match=r"'mean'.*sum, sum_log, log2_sum, elastic_net"):
        read_out(TRACKS, "mean")


def test_elastic_net_is_the_weighted_sum_of_log2_sums_and_the_intercept():
    # The log2 sums of TRACKS are 2 and 3 for the first haplotype, 2 and 5 for the second.
    value = read_out(TRACKS, ELASTIC_NET, [0.5, -2.0, 0.25])
    assert value.dtype == np.float64
    np.testing.assert_allclose(value, [1 - 6 + 0.25, 1 - 10 + 0.25], rtol=1e-15)
    np.testing.assert_array_equal(read_out(TRACKS, ELASTIC_NET, [0, 0, 7]), [7, 7])


def test_elastic_net_of_equal_weights_is_the_mean_of_log2_sum():
    tracks = np.random.default_rng(0).uniform(0.1, 5, size=(4, 5, 3, 2))
    value = read_out(tracks, ELASTIC_NET, [0.5, 0.5, 0])
    assert value.shape == (4, 5)
    np.testing.assert_allclose(value, read_out(tracks, "log2_sum"), rtol=1e-14)


@given(
    arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(1, 3), st.just(3)), elements=st.floats(0.01, 100)),
    arrays(np.float64, 4, elements=st.floats(-5, 5)),
)
def test_elastic_net_equals_the_definition(tracks, weights):
    expected = [
        sum(weight * np.log2(sum(track)) for weight, track in zip(weights[:-1], haplotype.T, strict=True)) + weights[-1]
        for haplotype in tracks
    ]
    np.testing.assert_allclose(read_out(tracks, ELASTIC_NET, weights), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan])
def test_elastic_net_of_a_track_without_logarithm_is_nan_even_where_its_weight_is_zero(bad):
    tracks = np.array([[[1.0, bad]], [[1.0, 2.0]]])
    np.testing.assert_array_equal(read_out(tracks, ELASTIC_NET, [1, 0, 3]), [np.nan, 3])


def test_elastic_net_needs_weights_and_the_others_take_none():
    assert {*READOUTS, ELASTIC_NET} == set(READOUT_NAMES)
    with pytest.raises(UsageError, match="readout elastic_net needs weights"):
        read_out(TRACKS, ELASTIC_NET)
    for readout in READOUTS:
        with pytest.raises(UsageError, match=f"readout {readout} takes no weights"):
            read_out(TRACKS, readout, [1, 1, 0])


@pytest.mark.parametrize("weights", [[1.0], [1.0, 2.0], [1.0, 2.0, 3.0, 4.0]])
def test_elastic_net_needs_a_weight_a_track_and_the_intercept(weights):
    with pytest.raises(UsageError, match=f"{len(weights) - 1} weights of tracks, but there are 2 tracks"):
        read_out(TRACKS, ELASTIC_NET, weights)


def test_person_is_the_mean_of_the_haplotypes_that_are_there():
    index = [[0, 1], [1, 1], [2, -2], [-2, 0], [0, -1], [-1, -1], [-2, -2], [0, 3], [-1, -2]]
    expected = [1.5, 2, 4, 1, np.nan, np.nan, np.nan, np.nan, np.nan]
    np.testing.assert_array_equal(person_prediction(np.array([1, 2, 4, np.nan], np.float32), index), expected)


@given(
    arrays(np.float64, 5, elements=st.floats(-10, 10) | st.just(np.nan)),
    arrays(np.int32, st.tuples(st.integers(0, 8), st.integers(1, 3)), elements=st.integers(-2, 4)),
)
def test_person_equals_the_definition(readouts, index):
    expected = []
    for row in index:
        present = [np.nan if i == -1 else readouts[i] for i in row if i != -2]
        expected.append(sum(present) / len(present) if present else np.nan)
    np.testing.assert_allclose(person_prediction(readouts, index), expected, atol=1e-12)


def test_no_haplotype_filled_is_nan():
    np.testing.assert_array_equal(person_prediction([], [[-1, -1], [-2, -1]]), [np.nan, np.nan])


@pytest.mark.parametrize("index", [-3, 2, 3])
def test_an_index_without_a_haplotype_is_refused(index):
    with pytest.raises(IndexError, match="2 haplotypes"):
        person_prediction([1.0, 2.0], [[0, index]])


@pytest.mark.parametrize("module", ["readout", "support"])
def test_what_a_query_needs_imports_numpy_only(module):
    heavy = "{'scipy', 'torch', 'dask', 'zarr', 'pandas'}"
    script = f"import sys, pdstore.analysis.{module}; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
