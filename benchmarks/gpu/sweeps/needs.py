"""Four trials with different needs of memory, long enough to measure how busy the GPU is."""

from ray import tune

from cae import Adam, ConvAutoencoder, Digits, Reconstruct, Sweep, Trial

sweep = Sweep(
    base=Trial(
        dataset=Digits(train_images=1000, val_images=200, test_images=200),
        task=Reconstruct(),
        arch=ConvAutoencoder(
            encoder_filters=(8, 16), decoder_filters=(8,), pool_after=(1,), upsample_after=(1,)
        ),
        optimizer=Adam(lr=1e-3),
        epochs=60,
    ),
    space={
        "arch.encoder_filters": tune.grid_search([(8, 16), (64, 128)]),
        "batch_size": tune.grid_search([32, 500]),
    },
)
