"""How well a linear classifier reads the class from the latent code."""

from __future__ import annotations

import warnings

import numpy as np

from cae.trial.latent.declaration import latent_measure
from cae.trial.latent.sample import TEST_IMAGES, TRAIN_IMAGES, LatentSample
from cae.trial.metrics import Direction, share_metric

INVERSE_PENALTY = 1.0
"""C of scikit-learn: the inverse of the factor of the squared weights."""
MAX_ITERATIONS = 200
TOLERANCE = 2e-4


@latent_measure(
    share_metric(
        "probe_accuracy",
        Direction.MAXIMIZE,
        "Accuracy of a linear probe: scikit-learn's LogisticRegression("
        f"C={INVERSE_PENALTY:g}, solver='lbfgs', tol={TOLERANCE:g}, max_iter={MAX_ITERATIONS}), "
        f"fitted to the latent codes of {TRAIN_IMAGES:,} training images, on those of "
        f"{TEST_IMAGES:,} test images (of all, if there are fewer; otherwise the same random ones "
        "in all trials). The codes are centered and divided by one number, so that their mean "
        "squared length in training is 1.",
    ),
    needs_classes=True,
)
def probe_accuracy(sample: LatentSample) -> dict[str, float]:
    from sklearn.linear_model import LogisticRegression

    probe = LogisticRegression(
        C=INVERSE_PENALTY, solver="lbfgs", tol=TOLERANCE, max_iter=MAX_ITERATIONS
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MAX_ITERATIONS is part of the definition
        probe.fit(sample.train_codes, sample.train_labels)
        predictions = probe.predict(sample.test_codes)
    return {"probe_accuracy": float(np.mean(predictions == sample.test_labels))}
