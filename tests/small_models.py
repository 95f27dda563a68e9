"""Sizes of models that fill in seconds; what is published takes minutes."""

from pdstore.models.basenji2 import Basenji2Sizes
from pdstore.models.enformer_weights import EnformerSizes
from pdstore.models.expecto import ExpectoSizes

ENFORMER = EnformerSizes(
    dim=96,
    depth=2,
    heads=4,
    attn_dim_key=16,
    dim_divisible_by=16,
    target_length=8,
    sequence_length=128 * 16,
    output_heads={"human": 3},
    use_tf_gamma=False,
)
BASENJI2 = Basenji2Sizes(
    window_length=1_024, stem=12, tower=(14, 16, 18), dilations=(1, 2, 5), narrow=9, last=20, crop=8, tracks=4
)
EXPECTO = ExpectoSizes(channels=(6, 7, 8), hidden=9, features=5, length=352, step=120, upstream=3, downstream=2)
