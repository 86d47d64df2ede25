"""The 24 trials of benchmarks/peers/trials.py as a sweep file of cae-sweep.

Run it with `cae-sweep run benchmarks/peers/cae_sweep.py`.
"""

from ray import tune

from cae import Adam, ConvAutoencoder, Denoise, Mnist, Sweep, Trial

sweep = Sweep(
    title="24 small denoisers",
    base=Trial(
        dataset=Mnist(split="test_as_validation", train_images=6_000, val_images=1_000),
        task=Denoise(loss="bce"),
        arch=ConvAutoencoder(
            encoder_filters=(16, 16),
            decoder_filters=(16, 16),
            pool_after=(1, 2),
            upsample_after=(1, 2),
        ),
        optimizer=Adam(lr=1e-3),
        batch_size=128,
        epochs=2,
    ),
    space={
        "optimizer.lr": tune.grid_search([3e-4, 1e-3, 3e-3, 1e-2]),
        "task.noise_factor": tune.grid_search([0.3, 0.5, 0.7]),
    },
    seeds=2,
)
