"""Random weights of a Borzoi, as borzoi-pytorch's own `save_pretrained` writes them."""

from pathlib import Path

import torch
from torch import nn

from pdstore.models.borzoi import HEADS, BorzoiSizes

SMALL = BorzoiSizes(
    dim=24, depth=2, heads=2, attn_dim_key=8, attn_dim_value=12, bins_to_return=24, sequence_length=1_024
)
"""As small as the package lets it be: channels of the convolutions and of the heads are fixed there."""


def borzoi_weights(folder: Path, seed: int, sizes: BorzoiSizes = SMALL) -> Path:
    """A folder, made, of random values in which every part changes the output."""
    # Not everything that imports this has the package.
    from borzoi_pytorch.pytorch_borzoi_transformer import Attention

    from pdstore.models.borzoi_network import build_network

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build_network(sizes).requires_grad_(False)
        network.config.sequence_length = sizes.sequence_length
        for module in network.modules():
            if isinstance(module, Attention):
                # As made, attention does nothing, because its last layer is zero.
                nn.init.normal_(module.to_out.weight, std=0.5)
            if isinstance(module, (nn.Conv1d, nn.Linear)) and module.bias is not None:
                nn.init.normal_(module.bias, std=0.1)
            if isinstance(module, (nn.BatchNorm1d, nn.LayerNorm)):
                nn.init.normal_(module.weight, mean=1, std=0.2)
                nn.init.normal_(module.bias, std=0.3)
            if isinstance(module, nn.BatchNorm1d):
                # Of what it is given next.
                module.momentum = 1.0
                module.train()
        for head in filter(None, (getattr(network, f"{name}_head", None) for name in HEADS)):
            # Some outputs are high enough for their excess to count as its square root.
            nn.init.normal_(head.bias)
        # Norms take the statistics of random bases, so that activations neither vanish nor explode.
        bases = nn.functional.one_hot(torch.randint(4, (1, sizes.sequence_length)), 4).mT.float()
        network(bases, is_human=sizes.enable_human_head)
        network.eval()
        network.save_pretrained(folder / "borzoi")
    return folder / "borzoi"
