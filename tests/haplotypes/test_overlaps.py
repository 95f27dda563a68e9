"""Which of overlapping alleles is applied, and how far windows reach."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pdstore.haplotypes.overlaps import Footprints, Reach, Reaches, cluster_of, first_wins


def footprints(*rows: tuple[int, int, bool, bool]) -> Footprints:
    """First and last base, whether the first is kept, and whether the allele lengthens; one record each."""
    first, last, anchored, lengthens = (np.array(column) for column in zip(*rows, strict=True))
    return Footprints(first, last, np.arange(len(rows)), anchored.astype(bool), lengthens.astype(bool))


SNV, DELETION, INSERTION = (False, False), (True, False), (True, True)


@st.composite
def many(draw: st.DrawFn) -> Footprints:
    starts = sorted(draw(st.lists(st.integers(0, 60), min_size=1, max_size=12)))
    kinds = st.sampled_from([SNV, DELETION, INSERTION])
    return footprints(*((start, start + draw(st.integers(0, 8)), *draw(kinds)) for start in starts))


@given(many())
def test_clusters_are_the_components_of_alleles_that_share_a_base(alleles: Footprints) -> None:
    cluster = cluster_of(alleles)
    spans = [set(range(first, last + 1)) for first, last in zip(alleles.first, alleles.last, strict=True)]
    component = list(range(len(spans)))
    for _ in spans:
        for one in range(len(spans)):
            for other in range(len(spans)):
                if spans[one] & spans[other]:
                    component[one] = component[other] = min(component[one], component[other])
    same = [[a == b for b in component] for a in component]
    assert (cluster[:, None] == cluster).tolist() == same
    assert (np.diff(cluster) >= 0).all()


@given(many(), st.data())
def test_of_alleles_on_one_haplotype_every_base_has_one_owner(alleles: Footprints, data: st.DataObject) -> None:
    carried = np.array(data.draw(st.lists(st.booleans(), min_size=len(alleles.first), max_size=len(alleles.first))))
    applied = first_wins(carried[:, None], alleles)[:, 0]
    assert not (applied & ~carried).any()
    replaced = [
        set(range(int(first) + int(anchored), int(last) + 1))
        for first, last, anchored, one in zip(alleles.first, alleles.last, alleles.anchored, applied, strict=True)
        if one
    ]
    assert len(set().union(*replaced)) == sum(map(len, replaced))
    # What is left out overlaps with something applied before it; so the first that is carried is always applied.
    for row in np.flatnonzero(carried & ~applied):
        assert (applied[:row] & (alleles.last[:row] >= alleles.first[row])).any()


def test_a_haplotype_that_lacks_the_first_allele_has_the_second() -> None:
    alleles = footprints((5, 8, *DELETION), (7, 7, *SNV))
    assert first_wins(np.array([[1, 1, 0], [1, 0, 1]], dtype=bool), alleles).astype(int).tolist() == [
        [1, 1, 0],
        [0, 0, 1],
    ]


def test_no_alleles_are_in_no_cluster() -> None:
    none = footprints((1, 1, *SNV)).of(np.empty(0, dtype=np.int64))
    assert cluster_of(none).tolist() == []
    assert first_wins(np.zeros((0, 3), dtype=bool), none).shape == (0, 3)
    assert Reaches(none, np.empty(0, dtype=np.int64)).of(10, 20, 15) == Reach(slice(0, 0), 10, 20)


def reach_of(alleles: Footprints, lost: list[int]) -> tuple[range, int, int]:
    """The reach of the window [100, 200) around 150: its alleles, start and end."""
    reach = Reaches(alleles, np.array(lost)).of(100, 200, 150)
    return range(reach.alleles.start, reach.alleles.stop), reach.start, reach.end


def test_without_deletions_a_window_reaches_as_far_as_itself() -> None:
    alleles = footprints((99, 99, *SNV), (100, 100, *SNV), (199, 199, *INSERTION), (200, 200, *SNV))
    assert reach_of(alleles, [0] * 4) == (range(1, 3), 100, 200)


def test_a_window_grows_on_the_side_of_the_deletion() -> None:
    assert reach_of(footprints((120, 130, *DELETION)), [10]) == (range(0, 1), 90, 200)
    assert reach_of(footprints((160, 170, *DELETION)), [10]) == (range(0, 1), 100, 210)
    assert reach_of(footprints((145, 155, *DELETION)), [10]) == (range(0, 1), 90, 210)


def test_a_deletion_that_is_pulled_in_pulls_in_more() -> None:
    alleles = footprints((160, 170, *DELETION), (205, 209, *DELETION), (213, 213, *SNV), (214, 214, *SNV))
    assert reach_of(alleles, [10, 4, 0, 0]) == (range(0, 3), 100, 214)


def test_overlapping_alleles_are_within_reach_as_a_whole() -> None:
    alleles = footprints((95, 101, *SNV), (98, 98, *SNV), (190, 230, *SNV), (225, 240, *SNV), (241, 241, *SNV))
    assert reach_of(alleles, [0] * 5) == (range(0, 4), 95, 241)


def test_what_nobody_carries_pulls_nothing_in() -> None:
    assert reach_of(footprints((160, 170, *DELETION), (205, 205, *SNV)), [0, 0]) == (range(0, 1), 100, 200)


def test_a_haplotype_loses_one_allele_of_a_record_and_no_more_than_a_cluster_has() -> None:
    alternatives = footprints((120, 150, *DELETION), (120, 150, *DELETION), (120, 150, *DELETION))
    of_one_record = alternatives._replace(record=np.zeros(3, dtype=np.int64))
    assert reach_of(of_one_record, [30, 25, 20])[1] == 70
    # Three records that overlap lose no more than the 31 bases that they cover.
    assert reach_of(alternatives, [30, 25, 20])[1] == 69
