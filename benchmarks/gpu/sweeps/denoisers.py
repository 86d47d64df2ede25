"""24 trials of report 004's network on all images of MNIST, for 5 epochs."""

from ray import tune

from cae import Adam, ConvAutoencoder, Denoise, Mnist, Sweep, Trial

sweep = Sweep(
    base=Trial(
        dataset=Mnist(split="test_as_validation", val_images=10_000),
        task=Denoise(loss="bce"),
        arch=ConvAutoencoder(
            encoder_filters=(16, 16),
            decoder_filters=(16, 16),
            pool_after=(1, 2),
            upsample_after=(1, 2),
        ),
        optimizer=Adam(lr=1e-3),
        batch_size=128,
        epochs=5,
    ),
    space={
        "optimizer.lr": tune.grid_search([3e-4, 1e-3, 3e-3, 1e-2]),
        "task.noise_factor": tune.grid_search([0.3, 0.5, 0.7]),
    },
    seeds=2,
)
