"""CIFAR-10 autoencoder grid: report 000 (Onghena & Hilt), exercise 2.

Which of kernel size, stride, padding and the filters of four layers matter for the validation loss?
Layer 3 outputs the latent code, layer 4 is the first of the decoder, and layer 5 has the three
output channels. Strides are undone by upsampling.

Varied: seven axes, 1,536 configurations. Run a seeded sample of them with `--max-trials 24`; the 48
of the cpu budget start with the same 24.
Stated in the report: the seven axes and the best network (kernel 7, stride 1, padding `same`,
filters 32/32/32/64; validation loss 0.001836).
Inferred: the other values of each axis, 10 epochs, Adam with a learning rate of 1e-3, batches of
32.

Expected: stride 2 and padding `valid` are stopped early, because their latent codes have 8 to 1,024
values; with padding `same` and stride 1 they have 512 to 4,096. Large latent codes are best,
against the published claim that fewer filters of the latent code are better. Claims about
importance use the first epoch, which trials that are stopped early have too: trials that finish are
the good ones and not a representative sample.
Duration on 2 CPU cores: about 3 minutes with `--budget cpu`; one epoch of all 48 trials takes 138 s
of one core. It trains on 6,000 images for 4 epochs: it ranks configurations but is not comparable
with 0.001836. The full budget was not run.
"""

from ray import tune

from cae import (
    ASHA,
    Adam,
    Cifar10,
    ConvAutoencoder,
    CorrelatesWith,
    MoreImportantThan,
    Reconstruct,
    SmallestAt,
    Sweep,
    Trial,
)

FILTERS = {
    "arch.encoder_filters.1": tune.grid_search([8, 16, 32]),
    "arch.encoder_filters.2": tune.grid_search([8, 12, 16, 32]),
    "arch.encoder_filters.3": tune.grid_search([8, 16, 32, 64]),
    "arch.decoder_filters.1": tune.grid_search([12, 16, 32, 64]),
}
SAME_PADDING = {
    "arch.padding": "same",
    "arch.kernel_size": tune.grid_search([3, 5, 7]),
    "arch.stride": tune.grid_search([1, 2]),
}
# Without padding, 32 x 32 pixels are large enough for two poolings only with these kernels and
# stride 1. This is why there are two search spaces.
VALID_PADDING = {
    "arch.padding": "valid",
    "arch.kernel_size": tune.grid_search([3, 5]),
    "arch.stride": 1,
}

sweep = Sweep(
    title="CIFAR-10 autoencoder grid of report 000",
    base=Trial(
        dataset=Cifar10(split="pooled", val_images=6_000, test_images=6_000),
        task=Reconstruct(loss="mse"),
        arch=ConvAutoencoder(encoder_filters=(8, 12, 16), decoder_filters=(12,)),
        optimizer=Adam(lr=1e-3),
        batch_size=32,
        epochs=10,
    ),
    space=[SAME_PADDING | FILTERS, VALID_PADDING | FILTERS],
    scheduler=ASHA(grace_epochs=1, reduction_factor=3),
    budgets={
        "cpu": {
            "dataset.train_images": 6_000,
            "dataset.val_images": 2_000,
            "dataset.test_images": 2_000,
            "epochs": 4,
            "max_trials": 48,
        }
    },
    published="published/cifar_grid.csv",
    provenance={
        "arch.kernel_size": {"stated": [3, 7]},
        "arch.stride": {"stated": [1]},
        "arch.padding": {"stated": ["same"]},
        "arch.encoder_filters.1": {"stated": [8, 32]},
        "arch.encoder_filters.2": {"stated": [12, 32]},
        "arch.encoder_filters.3": {"stated": [16, 32]},
        "arch.decoder_filters.1": {"stated": [12, 64]},
    },
    claims=[
        MoreImportantThan(
            id="C000-3a",
            text="The kernel size has the largest influence on the validation loss.",
            axis="arch.kernel_size",
            metric="val_loss",
            at_epoch=1,
        ),
        CorrelatesWith(
            id="C000-3b",
            text="Larger kernels lower the validation loss.",
            metric="val_loss",
            other="arch.kernel_size",
            sign="negative",
            at_epoch=1,
        ),
        MoreImportantThan(
            id="C000-4a",
            text="The filters of layer 2 matter more than those of layers 1, 3 and 4.",
            axis="arch.encoder_filters.2",
            metric="val_loss",
            at_epoch=1,
            others=["arch.encoder_filters.1", "arch.encoder_filters.3", "arch.decoder_filters.1"],
        ),
        MoreImportantThan(
            id="C000-4b",
            text="The filters of layer 2 matter less than the kernel size.",
            axis="arch.kernel_size",
            metric="val_loss",
            at_epoch=1,
            others=["arch.encoder_filters.2"],
        ),
        CorrelatesWith(
            id="C000-5a",
            text="Fewer filters of the latent code are better: the loss rises with their number.",
            metric="val_loss",
            other="arch.encoder_filters.3",
            sign="positive",
            at_epoch=1,
        ),
        SmallestAt(
            id="C000-5b",
            text="32 filters of the latent code are best.",
            metric="val_loss",
            axis="arch.encoder_filters.3",
            value=32,
        ),
        CorrelatesWith(
            id="C000-6",
            text="Accuracy rises as the loss falls: fewer pixels have the wrong brightest channel.",
            metric="val_channel_argmax_error",
            other="val_loss",
            sign="positive",
            at_epoch=1,
        ),
    ],
)
