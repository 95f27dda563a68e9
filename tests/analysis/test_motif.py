import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdstore.analysis.motif import FRACTIONS, base_scores, motif_extent


def test_a_base_that_all_substitutions_harm_scores_high():
    np.testing.assert_allclose(base_scores([[-1.0, -2, -3], [3, 0, 0]]), [2, -1])


def test_extent_counts_bases_in_a_row_with_the_drivers_sign():
    #         opposite       driver          small
    scores = [5.0, -1, 2, 3, 4, 0.3, 2, 0.04, 9]
    # 20% of 5 is 1: three bases to the left of the gap, and 0.3 ends it on the right.
    assert motif_extent(scores, 4, 5.0).tolist() == [5, 3, 3, 2]
    assert motif_extent(-np.array(scores), 4, 5.0).tolist() == [5, 3, 3, 2]


def test_a_driver_below_the_threshold_has_no_motif():
    assert motif_extent([1.0, 0.4, 1.0], 1, 1.0).tolist() == [3, 3, 3, 0]
    assert motif_extent([1.0, np.nan, 1.0], 1, 1.0).tolist() == [0, 0, 0, 0]


def test_the_centre_must_be_a_position():
    with pytest.raises(ValueError, match="centre 3 lies outside the 3 positions"):
        motif_extent([1.0, 1, 1], 3, 1.0)


@given(st.integers(0, 2**32 - 1))
def test_extent_equals_a_walk_from_the_driver(seed):
    rng = np.random.default_rng(seed)
    scores, largest = rng.normal(size=(3, 41)), rng.uniform(0.1, 2, size=3)
    found = motif_extent(scores, 20, largest)
    for row in range(3):
        for column, fraction in enumerate(FRACTIONS):
            alike = lambda base: (  # noqa: E731
                np.sign(scores[row, base]) == np.sign(scores[row, 20])  # noqa: B023
                and abs(scores[row, base]) >= fraction * largest[row]  # noqa: B023
            )
            bases = 0
            if alike(20):
                left = right = 20
                while left > 0 and alike(left - 1):
                    left -= 1
                while right < 40 and alike(right + 1):
                    right += 1
                bases = right - left + 1
            assert found[row, column] == bases
