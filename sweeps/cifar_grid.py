"""CIFAR-10 autoencoder grid: report 000 (Onghena & Hilt), exercise 2.

Asked: which of kernel size, stride, padding and the filters of four layers matter for the
validation loss. Stated: the seven axes and the best network (kernel 7, stride 1, same, 32/32/32/64;
val loss 0.001836). Inferred: the other values of each axis, 10 epochs, Adam at 1e-3, batches of 32.
Layer 3 is the code; layer 4 the first of the decoder; the fifth has three outputs.

Two spaces, because without padding only kernels 3 and 5 at stride 1 fit 32 x 32 pixels through two
poolings: 1,536 points in all. Run a seeded sample of them: --max-trials 24 (the cpu budget's 48
begin with the same 24). Strides are undone by the upsampling.

Expect: stride 2 and padding `valid` to be stopped early (their codes hold 8 to 1,024 values where
`same` at stride 1 holds 512 to 4,096); wide codes to lead, against the published claim that fewer
code filters are better. The cpu budget trains on 6,000 images for 4 epochs: good for an order of
configurations, not for a comparison with 0.001836. Claims on importance are judged at the first
epoch, which trials that are stopped have too: those that finish are the good ones, and not a fair
sample.
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

filters = {
    "arch.encoder_filters.1": tune.grid_search([8, 16, 32]),
    "arch.encoder_filters.2": tune.grid_search([8, 12, 16, 32]),
    "arch.encoder_filters.3": tune.grid_search([8, 16, 32, 64]),
    "arch.decoder_filters.1": tune.grid_search([12, 16, 32, 64]),
}
same = {
    "arch.padding": "same",
    "arch.kernel_size": tune.grid_search([3, 5, 7]),
    "arch.stride": tune.grid_search([1, 2]),
}
valid = {"arch.padding": "valid", "arch.kernel_size": tune.grid_search([3, 5]), "arch.stride": 1}

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
    space=[same | filters, valid | filters],
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
    origins={
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
            text="The size of the kernel has the largest influence.",
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
            text="They matter less than the kernel.",
            axis="arch.kernel_size",
            metric="val_loss",
            at_epoch=1,
            others=["arch.encoder_filters.2"],
        ),
        CorrelatesWith(
            id="C000-5a",
            text="Fewer filters of the code are better: their number rises with the loss.",
            metric="val_loss",
            other="arch.encoder_filters.3",
            sign="positive",
            at_epoch=1,
        ),
        SmallestAt(
            id="C000-5b",
            text="32 filters of the code are best.",
            metric="val_loss",
            axis="arch.encoder_filters.3",
            value=32,
        ),
        CorrelatesWith(
            id="C000-6",
            text="Accuracy rises as the loss falls: the brightest channel is less often wrong.",
            metric="val_channel_argmax_error",
            other="val_loss",
            sign="positive",
            at_epoch=1,
        ),
    ],
)
