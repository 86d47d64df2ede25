"""Which network removes noise best, and does it depend on the noise?

The noise is drawn anew in every epoch; that of validation and test images is always the same.
"""

from ray import tune

from cae import ASHA, Adam, ConvAutoencoder, Denoise, Digits, Sweep, Trial

sweep = Sweep(
    base=Trial(
        # Your own images: ImageFolder(path="photos", size=64), or Arrays(path="cells.npy", ...).
        dataset=Digits(size=16),
        task=Denoise(noise_factor=0.3),
        arch=ConvAutoencoder(encoder_filters=(16, 16), decoder_filters=(16,)),
        optimizer=Adam(lr=1e-3),
        batch_size=32,
        epochs=8,
    ),
    space={
        # Trials with different noise are not compared: each noise has a best network of its own.
        "task.noise_factor": tune.grid_search([0.2, 0.5]),
        "arch.kernel_size": tune.grid_search([3, 5]),
        "optimizer.lr": tune.grid_search([1e-3, 3e-3]),
    },
    scheduler=ASHA(grace_epochs=1),
    budgets={"quick": {"epochs": 2, "max_trials": 4}},
)
