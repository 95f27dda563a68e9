"""Everything that comes from outside: VCF, FASTA, genes, expression, simulated cohorts."""
