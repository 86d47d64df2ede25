"""CIFAR-10 autoencoder, the best network of report 000 (Onghena & Hilt), exercise 2.

The report's grid ended at kernel 7, stride 1, padding `same` and filters 32/32/32/64, with a
validation loss of 0.001836. This sweep trains that network at full length with three seeds, and its
neighbours in the grid: one axis at a time, one step away.

Varied: seven axes, one step each from the best network, with one seed; the best network has three.
Stated in the report: the best network and its loss.
Inferred: the values of the neighbours, 10 epochs, Adam with a learning rate of 1e-3, batches of 32,
no early stopping.

Expected: a validation loss of about 0.002. Half of the neighbours' latent codes are smaller, and a
network with 64 filters of the latent code should be better than the published best: the sweep of
the report may not have tried it with the other best values.
Duration on one CPU core: two hours. Results: docs/reproduction.md.
"""

from typing import Any

from ray import tune

from cae import Adam, Cifar10, ConvAutoencoder, Reconstruct, SmallestAt, Sweep, Trial

KERNEL = "arch.kernel_size"
STRIDE = "arch.stride"
PADDING = "arch.padding"
LAYER_1 = "arch.encoder_filters.1"
LAYER_2 = "arch.encoder_filters.2"
LATENT_FILTERS = "arch.encoder_filters.3"
LAYER_4 = "arch.decoder_filters.1"
BEST: dict[str, Any] = {
    KERNEL: 7,
    STRIDE: 1,
    PADDING: "same",
    LAYER_1: 32,
    LAYER_2: 32,
    LATENT_FILTERS: 32,
    LAYER_4: 64,
}

sweep = Sweep(
    title="CIFAR-10 autoencoder, the best network of report 000 and its neighbours",
    base=Trial(
        dataset=Cifar10(split="pooled", val_images=6_000, test_images=6_000),
        task=Reconstruct(loss="mse"),
        arch=ConvAutoencoder(
            encoder_filters=(32, 32, 32), decoder_filters=(64,), kernel_size=7, padding="same"
        ),
        optimizer=Adam(lr=1e-3),
        batch_size=32,
        epochs=10,
    ),
    space=[
        BEST | {"seed": tune.grid_search([0, 1, 2])},
        BEST | {KERNEL: 5},
        BEST | {STRIDE: 2},
        # Without padding, 32 x 32 pixels are not large enough for kernels of 7 x 7.
        BEST | {PADDING: "valid", KERNEL: 5},
        BEST | {LAYER_1: 16},
        BEST | {LAYER_2: 16},
        BEST | {LATENT_FILTERS: tune.grid_search([16, 64])},
        BEST | {LAYER_4: 32},
    ],
    budgets={"cpu": {"dataset.train_images": 3_000, "epochs": 2}},
    published="published/cifar_best.csv",
    provenance={name: {"stated": [value]} for name, value in BEST.items()},
    claims=[
        SmallestAt(
            id="C000-5b",
            text="32 filters of the latent code are best.",
            metric="val_loss",
            axis=LATENT_FILTERS,
            value=32,
            where={name: value for name, value in BEST.items() if name != LATENT_FILTERS},
        ),
    ],
)
