"""Genotypes and reference to haplotype windows: pure functions of arrays."""
