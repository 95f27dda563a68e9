"""Letters to one-hot."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pdstore.haplotypes.onehot import nucleotide_index, one_hot, reverse_complement

COMPLEMENT = str.maketrans("ACGTN", "TGCAN")


def letters(sequence: str) -> np.ndarray:
    return np.frombuffer(sequence.encode(), dtype=np.uint8)


def test_channels_are_a_c_g_t_and_every_other_letter_is_all_zeros() -> None:
    assert one_hot(letters("ACGTNRacgt-")).astype(int).tolist() == [
        [1, 0, 0, 0],
        [0, 1, 0, 0],
        [0, 0, 1, 0],
        [0, 0, 0, 1],
        [0, 0, 0, 0],
        [0, 0, 0, 0],
        [1, 0, 0, 0],
        [0, 1, 0, 0],
        [0, 0, 1, 0],
        [0, 0, 0, 1],
        [0, 0, 0, 0],
    ]
    assert nucleotide_index(letters("ACGTN")).tolist() == [0, 1, 2, 3, 4]


@given(st.text("ACGTN", max_size=50))
def test_reverse_complement_is_that_of_the_letters(sequence: str) -> None:
    expected = one_hot(letters(sequence.translate(COMPLEMENT)[::-1]))
    assert np.array_equal(reverse_complement(one_hot(letters(sequence))), expected)
