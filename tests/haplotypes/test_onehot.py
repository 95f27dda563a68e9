"""Letters to one-hot."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pdstore.haplotypes.onehot import complement, one_hot, one_hot_words, reverse_complement

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


def test_words_are_the_four_channels_of_each_letter() -> None:
    every = np.arange(256, dtype=np.uint8).reshape(2, 128)
    words = one_hot_words(every)
    assert (words.dtype, words.shape) == (np.uint32, every.shape)
    assert np.array_equal(words.view(bool).reshape(2, 128, 4), one_hot(every))


def test_a_t_and_c_g_are_complements_in_their_own_case_and_other_letters_stay() -> None:
    assert complement(letters("ACGTacgtNnRY-*")).tobytes() == b"TGCAtgcaNnRY-*"


@given(st.text("ACGTN", max_size=50))
def test_reverse_complement_is_that_of_the_letters(sequence: str) -> None:
    expected = one_hot(letters(sequence.translate(COMPLEMENT)[::-1]))
    assert np.array_equal(reverse_complement(one_hot(letters(sequence))), expected)
    assert np.array_equal(one_hot(complement(letters(sequence))[::-1]), expected)
