"""The claims of a sweep, each judged from the trials by a statistical test.

    supported       the effect has the claimed sign, and p < 0.05
    contradicted    it has the opposite sign, and p < 0.05
    undecided       neither: too few seeds for a test, or no significant difference
    not testable    the run lacks the trials that the claim needs, or no run can decide it

Only finished trials count that the sweep requests and ranks, unless a claim names an epoch
(`at_epoch`). Two groups are compared between trials that are equal in all other settings, if there
are any: as pairs of equal seeds (paired t-test), otherwise as means per configuration, otherwise as
two samples (Welch's t-test). Rank correlations are tested by permutation, which is exact for few
trials: sweeps of one parameter have 3 to 8 trials, for which the approximations of Spearman's and
Kendall's tests are wrong.

Where configurations with different settings are compared, correlated or given to a forest, each is
one observation, with its mean over the seeds: its seeds are repetitions, and no evidence that other
configurations behave alike.

Each module of `kinds` judges one family of claims.
"""
