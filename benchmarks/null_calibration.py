"""What the published test and the empirical one say of genes of which nothing is to be found.

    .venv/bin/python benchmarks/null_calibration.py [--genes 2000]

Genes are simulated: 400 people, 200 SNVs, a prediction by random SNV weights, and expression that is noise. A test that
tells the truth calls one gene of twenty significant at p < 0.05, and none at an FDR of 0.05 mostly.
"""

import argparse
from math import sqrt

import numpy as np
from scipy.stats import kstest

from pdstore.analysis.correlation import pearson_p, pearson_r
from pdstore.analysis.fdr import benjamini_hochberg
from pdstore.analysis.null import empirical_p, null_correlations, published_test

PEOPLE, SNVS, NULL_DRAWS = 400, 200, 50


def p_values(rng: np.random.Generator) -> tuple[float, float, float]:
    """The three p of one simulated gene: published, empirical, and of R itself."""
    steps = rng.standard_normal((SNVS, 2 * PEOPLE))
    for row in range(1, SNVS):
        steps[row] = 0.9 * steps[row - 1] + sqrt(1 - 0.9**2) * steps[row]
    haplotypes = steps < rng.normal(-0.8, 0.8, size=(SNVS, 1))
    dosage = haplotypes[:, :PEOPLE].astype(np.int8) + haplotypes[:, PEOPLE:]
    prediction, observed = rng.standard_normal(SNVS) @ dosage, rng.standard_normal(PEOPLE)
    r = float(pearson_r(prediction, observed))
    null = null_correlations(dosage, observed, NULL_DRAWS, rng)
    _, published = published_test(abs(r), null.mean(), null.std(), NULL_DRAWS)
    return float(published), empirical_p(r, dosage, observed, rng, 1_000, 10_000), float(pearson_p(r, PEOPLE))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--genes", type=int, default=2_000)
    genes = parser.parse_args().genes
    rng = np.random.default_rng(0)
    found = np.array([p_values(rng) for _ in range(genes)])
    print(f"{genes:,} simulated genes without any effect")
    print("| test | p < 0.05 | FDR < 0.05 | Kolmogorov-Smirnov p of uniformity |")
    print("| --- | --- | --- | --- |")
    names = ("published t against 50 draws", "empirical, 1,000 draws and more", "Pearson's R itself")
    for name, p in zip(names, found.T, strict=True):
        significant, fdr = (p < 0.05).mean(), (benjamini_hochberg(p) < 0.05).mean()
        print(f"| {name} | {significant:.3f} | {fdr:.3f} | {kstest(p, 'uniform').pvalue:.2g} |")


if __name__ == "__main__":
    main()
