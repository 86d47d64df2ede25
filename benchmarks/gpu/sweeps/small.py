"""Small trials with a few long epochs, to be interrupted and to run side by side."""

from ray import tune

from cae import Adam, ConvAutoencoder, Denoise, Digits, Sweep, Trial

sweep = Sweep(
    base=Trial(
        dataset=Digits(train_images=1000, val_images=200, test_images=200),
        task=Denoise(),
        arch=ConvAutoencoder(
            encoder_filters=(8, 16), decoder_filters=(8,), pool_after=(1,), upsample_after=(1,)
        ),
        optimizer=Adam(lr=1e-3),
        batch_size=8,
        epochs=12,
    ),
    space={"task.noise_factor": tune.grid_search([0.3, 0.5, 0.7, 0.9])},
)
