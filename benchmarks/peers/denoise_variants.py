"""Variants of the MNIST denoiser for the benchmark of early stopping: 36 trials of 9 epochs."""

from ray import tune

from cae import Adam, ConvAutoencoder, Denoise, Mnist, Sweep, Trial

sweep = Sweep(
    title="Variants of a small denoiser",
    base=Trial(
        dataset=Mnist(split="test_as_validation", train_images=3_000, val_images=1_000),
        task=Denoise(loss="bce", noise_factor=0.5),
        arch=ConvAutoencoder(
            encoder_filters=(16, 16),
            decoder_filters=(16, 16),
            pool_after=(1, 2),
            upsample_after=(1, 2),
        ),
        optimizer=Adam(lr=1e-3),
        batch_size=128,
        epochs=9,
    ),
    space={
        "optimizer.lr": tune.grid_search([1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2]),
        "batch_size": tune.grid_search([32, 64, 128]),
        "arch.kernel_size": tune.grid_search([3, 5]),
    },
)
