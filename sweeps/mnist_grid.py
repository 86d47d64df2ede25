"""MNIST autoencoders, one factor at a time: report 002, table of 14 autoencoders (tf.keras 2.4).

How do depth, filters, kernel size, epochs and batch size change the loss?

Varied: the rows of the table, and five more networks: 3 layers (a point of a plot), 4 to 6 layers
with constant filters, because depth also multiplies the width otherwise, and dropout of 0.2.
Stated in the report: the rows of the table (layers, kernel size, filters of the first layer,
epochs, batch size).
From the authors' code: the split (scikit-learn, 12,000 of 60,000, random_state 13); layer i has
filters x 2^i, ReLU, then batch normalization; pooling after layers 1 and 2; a mirrored decoder;
RMSprop; the mean squared error of the last epoch.

Expected: a loss of about 0.0005 at 100 epochs. The latent code has 12,544 values, 16 times the
image: nothing is compressed. The spread between seeds (0.0001) is as large as most differences of
the table: use `--set seeds=3`.
Duration on 2 CPU cores: 24 to 38 minutes with `--budget cpu`. `--budget evening` (10,000 images,
12 epochs, 3 seeds; estimated at 5 hours) has enough steps to compare layers, kernels, filters and
batch sizes, but one number of epochs. The full budget (65 hours) was not run.
The widest network takes 6 GFLOP per image, so the cpu budget trains on 2,400 images for 3 epochs.
It shows which networks learn fast, not which have the lowest loss at the end, and cannot show the
effect of the number of epochs.
"""

from typing import Any

from cae import (
    BetterThan,
    Compares,
    ConvAutoencoder,
    FallsWith,
    Mnist,
    Reconstruct,
    RisesWith,
    RMSprop,
    SmallestAt,
    Sweep,
    Trial,
)

WIDE = [32, 64, 128, 256]
NARROW = [16, 32, 64, 128]
SIX_LAYERS = [16, 32, 64, 128, 256, 512]


def table_row(
    *, layers: int, kernel: int, filters: int, epochs: int, batch_size: int, growth: int = 2
) -> dict[str, object]:
    """A row of the report's table.

    `filters`: of the first layer; `growth`: the factor from one layer to the next.
    """
    encoder_filters = [filters * growth**layer for layer in range(layers)]
    return {
        "arch.encoder_filters": encoder_filters,
        "arch.decoder_filters": encoder_filters[::-1],
        "arch.upsample_after": [layers - 1, layers],
        "arch.kernel_size": kernel,
        "epochs": epochs,
        "batch_size": batch_size,
    }


TABLE = [
    table_row(layers=4, kernel=3, filters=32, epochs=100, batch_size=64),
    table_row(layers=4, kernel=3, filters=32, epochs=300, batch_size=64),
    table_row(layers=4, kernel=3, filters=32, epochs=100, batch_size=40),
    table_row(layers=4, kernel=3, filters=32, epochs=200, batch_size=64),
    table_row(layers=4, kernel=3, filters=32, epochs=100, batch_size=80),
    table_row(layers=4, kernel=2, filters=32, epochs=100, batch_size=64),
    table_row(layers=4, kernel=3, filters=64, epochs=100, batch_size=64),
    table_row(layers=4, kernel=3, filters=16, epochs=100, batch_size=40),
    table_row(layers=5, kernel=3, filters=32, epochs=100, batch_size=40),
    table_row(layers=4, kernel=3, filters=16, epochs=100, batch_size=64),
    table_row(layers=5, kernel=3, filters=16, epochs=100, batch_size=64),
    table_row(layers=6, kernel=3, filters=16, epochs=100, batch_size=64),
    table_row(layers=4, kernel=4, filters=32, epochs=100, batch_size=64),
    table_row(layers=6, kernel=3, filters=32, epochs=100, batch_size=40),
]
ADDED_TRIALS = [
    table_row(layers=3, kernel=3, filters=16, epochs=100, batch_size=64),
    table_row(layers=4, kernel=3, filters=32, epochs=100, batch_size=64, growth=1),
    table_row(layers=5, kernel=3, filters=32, epochs=100, batch_size=64, growth=1),
    table_row(layers=6, kernel=3, filters=32, epochs=100, batch_size=64, growth=1),
    table_row(layers=4, kernel=3, filters=32, epochs=100, batch_size=64) | {"arch.dropout": 0.2},
]

CPU_BUDGET = {
    "dataset.train_images": 2_400,
    "dataset.val_images": 500,
    "dataset.test_images": 500,
    "epochs": 3,
    "seeds": 2,
    # PyTorch's. With Keras's, the running means need 500 steps; this budget has 110 to 180.
    "arch.batch_norm_momentum": 0.1,
}
# About 1,900 steps per trial, enough for Keras's momentum. The rows with 100 to 300 epochs are one.
EVENING = {
    "dataset.train_images": 10_000,
    "dataset.val_images": 4_000,
    "dataset.test_images": 4_000,
    "epochs": 12,
    "seeds": 3,
}

# Conditions of the claims: the settings that most rows have.
COMMON: dict[str, Any] = {"arch.kernel_size": 3, "epochs": 100, "batch_size": 64}

sweep = Sweep(
    title="MNIST autoencoders of report 002, one factor at a time",
    base=Trial(
        dataset=Mnist(split="holdout", split_seed=13, val_images=12_000),
        task=Reconstruct(loss="mse"),
        arch=ConvAutoencoder(
            encoder_filters=tuple(WIDE),
            decoder_filters=tuple(WIDE[::-1]),
            upsample_after=(3, 4),
            batch_norm="after_activation",
        ),
        optimizer=RMSprop(lr=1e-3),
        batch_size=64,
        epochs=100,
    ),
    space=[*TABLE, *ADDED_TRIALS],
    budgets={"cpu": CPU_BUDGET, "evening": EVENING},
    published="published/mnist_grid.csv",
    provenance={
        "arch.encoder_filters": {
            "stated": [*(row["arch.encoder_filters"] for row in TABLE), [16, 32, 64]]
        },
        "arch.kernel_size": {"stated": [2, 3, 4]},
        "epochs": {"stated": [100, 200, 300]},
        "batch_size": {"stated": [40, 64, 80]},
        "arch.dropout": {"stated": [0.2]},
    },
    claims=[
        SmallestAt(
            id="C002-1",
            text="The validation loss is smallest with 4 layers.",
            metric="last_val_loss",
            axis="arch.encoder_filters",
            value=NARROW,
            where=COMMON | {"arch.encoder_filters.1": 16},
        ),
        BetterThan(
            id="C002-2",
            text="The training loss falls with the number of layers.",
            metric="last_train_loss",
            this={"arch.encoder_filters": SIX_LAYERS},
            that={"arch.encoder_filters": NARROW},
            where=COMMON,
        ),
        SmallestAt(
            id="C002-3",
            text="Kernels of 3 x 3 pixels are best.",
            metric="last_val_loss",
            axis="arch.kernel_size",
            value=3,
            where={
                "arch.encoder_filters": WIDE,
                "epochs": 100,
                "batch_size": 64,
                "arch.dropout": 0.0,
            },
        ),
        SmallestAt(
            id="C002-4",
            text="32 filters in the first layer are best.",
            metric="last_val_loss",
            axis="arch.encoder_filters",
            value=WIDE,
            where=COMMON | {"arch.upsample_after": [3, 4], "arch.dropout": 0.0},
        ),
        FallsWith(
            id="C002-5",
            text="More epochs lower the loss.",
            explanation=(
                "The report's own table is not monotone: 0.00051, 0.00055 and 0.00048 for 100, 200 "
                "and 300 epochs."
            ),
            metric="last_val_loss",
            axis="epochs",
            where={
                "arch.encoder_filters": WIDE,
                "arch.kernel_size": 3,
                "batch_size": 64,
                "arch.dropout": 0.0,
            },
        ),
        RisesWith(
            id="C002-6",
            text="Smaller batches lower the loss.",
            metric="last_val_loss",
            axis="batch_size",
            where={
                "arch.encoder_filters": WIDE,
                "arch.kernel_size": 3,
                "epochs": 100,
                "arch.dropout": 0.0,
            },
        ),
        Compares(
            id="C002-7",
            text="With dropout the validation loss is much lower than the training loss.",
            left="last_val_loss",
            op="<",
            right="last_train_loss",
            provenance="repo",
            where={"arch.dropout": 0.2},
        ),
        BetterThan(
            id="C002-7b",
            text="Dropout raises the validation loss.",
            metric="last_val_loss",
            provenance="inferred",
            this={"arch.dropout": 0.0},
            that={"arch.dropout": 0.2},
            where=COMMON | {"arch.encoder_filters": WIDE},
        ),
        Compares(
            id="C002-8",
            text="Networks with a mirrored decoder do not overfit.",
            left="last_val_loss",
            op="<",
            right="last_train_loss",
        ),
        BetterThan(
            id="C002-9",
            text="More layers make training slower.",
            metric="last_seconds",
            mode="max",
            this={"arch.encoder_filters": SIX_LAYERS},
            that={"arch.encoder_filters": NARROW},
            where=COMMON,
        ),
    ],
)
