"""How well a linear classifier reads the class from the latent code."""

from __future__ import annotations

import warnings

import numpy as np

from cae.trial.latent.declaration import latent_measure
from cae.trial.latent.sample import TEST_IMAGES, TRAIN_IMAGES, LatentSample
from cae.trial.metrics import Direction, share_metric

INVERSE_PENALTY = 0.01
"""C of scikit-learn: the inverse of the factor of the squared weights."""
MAX_ITERATIONS = 200
TOLERANCE = 3e-3


@latent_measure(
    share_metric(
        "probe_accuracy",
        Direction.MAXIMIZE,
        "Accuracy of a linear probe: scikit-learn's LogisticRegression("
        f"C={INVERSE_PENALTY}, solver='lbfgs', tol={TOLERANCE}, max_iter={MAX_ITERATIONS}) after a "
        f"StandardScaler, fitted to the latent codes of {TRAIN_IMAGES:,} training images (fewer if "
        f"there are fewer), on those of {TEST_IMAGES:,} test images.",
    ),
    needs_classes=True,
)
def probe_accuracy(sample: LatentSample) -> dict[str, float]:
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler()
    train = scaler.fit_transform(sample.train_codes)
    test = scaler.transform(sample.test_codes)
    probe = LogisticRegression(
        C=INVERSE_PENALTY, solver="lbfgs", tol=TOLERANCE, max_iter=MAX_ITERATIONS
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MAX_ITERATIONS is part of the definition
        probe.fit(train, sample.train_labels)
        predictions = probe.predict(test)
    return {"probe_accuracy": float(np.mean(predictions == sample.test_labels))}
