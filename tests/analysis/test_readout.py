import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pdstore.analysis.readout import READOUTS, person_prediction, read_out
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
    with pytest.raises(UsageError, match=r"'mean'.*sum, sum_log, log2_sum"):
        read_out(TRACKS, "mean")


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
