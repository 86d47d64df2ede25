"""Quickstart: which small autoencoder reconstructs handwritten digits best?

The images are the 1,797 digits of 8 x 8 pixels that come with scikit-learn (Alpaydin & Kaynak 1998,
UCI), enlarged to 16 x 16 pixels: nothing is downloaded. The network is a small form of the one in
report 000, exercise 1; this sweep reproduces no published number.

Varied: kernel size, filters of the latent code, learning rate; 18 configurations.
Expected: more filters of the latent code and larger learning rates are better; about half of the
trials are stopped early.
Duration: about a minute on 2 CPU cores.
"""

from ray import tune

from cae import ASHA, Adam, ConvAutoencoder, Digits, Reconstruct, Sweep, Trial

sweep = Sweep(
    title="Quickstart: autoencoders of handwritten digits",
    base=Trial(
        dataset=Digits(size=16),
        task=Reconstruct(loss="mse"),
        arch=ConvAutoencoder(encoder_filters=(8, 8, 4), decoder_filters=(8,)),
        optimizer=Adam(lr=1e-3),
        batch_size=32,
        epochs=9,
    ),
    space={
        "arch.kernel_size": tune.grid_search([3, 5]),
        "arch.encoder_filters.3": tune.grid_search([2, 4, 8]),
        "optimizer.lr": tune.grid_search([3e-4, 1e-3, 3e-3]),
    },
    scheduler=ASHA(grace_epochs=1, reduction_factor=3),
)
