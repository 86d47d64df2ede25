"""MNIST autoencoder, one factor at a time: report 002's table of 14 autoencoders (tf.keras 2.4).

Asked: how depth, filters, kernel, epochs and batch size change the loss. Stated: the table's rows
(layers, kernel, filters of the first layer, epochs, batch). From the authors' code: the split
(scikit-learn, 12,000 of 60,000, random_state 13), layer i has filters x 2^i, ReLU, then batch
normalisation, pooling after layers 1 and 2, a mirrored decoder, RMSprop, mean MSE of the last
epoch.

Expect: about 0.0005 at 100 epochs. The code has 12,544 values, 16 times the image: nothing is
compressed. Depth also multiplies width, so the arms with constant filters are ours; so are 3 layers
(a plotted point) and dropout 0.2. One run's spread (0.0001) is as large as most differences of the
table: `--set seeds=3`. The cpu budget takes 2,400 images and 3 epochs, for the widest network costs
6 GFLOP an image: it tells which networks learn fast, not which end lowest; that of epochs is lost
altogether. Its 110 to 180 steps are too few for the running means of Keras, which forget in 500: it
takes PyTorch's.
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


def row(
    layers: int, kernel: int, filters: int, epochs: int, batch: int, *, growth: int = 2
) -> dict[str, Any]:
    encoder = [filters * growth**layer for layer in range(layers)]
    shape = {
        "arch.encoder_filters": encoder,
        "arch.decoder_filters": encoder[::-1],
        "arch.upsample_after": [layers - 1, layers],
    }
    return shape | {"arch.kernel_size": kernel, "epochs": epochs, "batch_size": batch}


F32, F16 = [32, 64, 128, 256], [16, 32, 64, 128]
ROWS = [
    (4, 3, 32, 100, 64),
    (4, 3, 32, 300, 64),
    (4, 3, 32, 100, 40),
    (4, 3, 32, 200, 64),
    (4, 3, 32, 100, 80),
    (4, 2, 32, 100, 64),
    (4, 3, 64, 100, 64),
    (4, 3, 16, 100, 40),
    (5, 3, 32, 100, 40),
    (4, 3, 16, 100, 64),
    (5, 3, 16, 100, 64),
    (6, 3, 16, 100, 64),
    (4, 4, 32, 100, 64),
    (6, 3, 32, 100, 40),
]
ARMS = [row(3, 3, 16, 100, 64), *(row(layers, 3, 32, 100, 64, growth=1) for layers in (4, 5, 6))]
STATED: dict[str, Any] = {"arch.kernel_size": 3, "epochs": 100, "batch_size": 64}
FEW: dict[str, Any] = {
    "dataset.train_images": 2_400,
    "dataset.val_images": 500,
    "dataset.test_images": 500,
    "epochs": 3,
    "seeds": 2,
    "arch.batch_norm_momentum": 0.1,
}

sweep = Sweep(
    title="MNIST autoencoders of report 002, one factor at a time",
    base=Trial(
        dataset=Mnist(split="holdout", split_seed=13, val_images=12_000),
        task=Reconstruct(loss="mse"),
        arch=ConvAutoencoder(
            encoder_filters=tuple(F32),
            decoder_filters=tuple(F32[::-1]),
            upsample_after=(3, 4),
            batch_norm="after_activation",
        ),
        optimizer=RMSprop(lr=1e-3),
        batch_size=64,
        epochs=100,
    ),
    space=[*(row(*one) for one in ROWS), *ARMS, row(4, 3, 32, 100, 64) | {"arch.dropout": 0.2}],
    budgets={"cpu": FEW},
    published="published/mnist_grid.csv",
    origins={
        "arch.encoder_filters": {
            "stated": [row(*one)["arch.encoder_filters"] for one in ROWS] + [[16, 32, 64]]
        },
        "arch.kernel_size": {"stated": [2, 3, 4]},
        "epochs": {"stated": [100, 200, 300]},
        "batch_size": {"stated": [40, 64, 80]},
        "arch.dropout": {"stated": [0.2]},
    },
    claims=[
        SmallestAt(
            id="C002-1",
            text="Validation loss is smallest at 4 layers.",
            metric="last_val_loss",
            axis="arch.encoder_filters",
            value=F16,
            where=STATED | {"arch.encoder_filters.1": 16},
        ),
        BetterThan(
            id="C002-2",
            text="The training loss falls with depth.",
            metric="last_train_loss",
            this={"arch.encoder_filters": [16, 32, 64, 128, 256, 512]},
            that={"arch.encoder_filters": F16},
            where=STATED,
        ),
        SmallestAt(
            id="C002-3",
            text="Kernels of 3 pixels are best.",
            metric="last_val_loss",
            axis="arch.kernel_size",
            value=3,
            where={
                "arch.encoder_filters": F32,
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
            value=F32,
            where=STATED | {"arch.upsample_after": [3, 4], "arch.dropout": 0.0},
        ),
        FallsWith(
            id="C002-5",
            text="More epochs lower the loss.",
            metric="last_val_loss",
            axis="epochs",
            where={
                "arch.encoder_filters": F32,
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
                "arch.encoder_filters": F32,
                "arch.kernel_size": 3,
                "epochs": 100,
                "arch.dropout": 0.0,
            },
        ),
        Compares(
            id="C002-7",
            text="With dropout the validation loss is much below the training loss.",
            left="last_val_loss",
            op="<",
            right="last_train_loss",
            provenance="repo",
            where={"arch.dropout": 0.2},
        ),
        BetterThan(
            id="C002-7b",
            text="Dropout makes the validation loss worse.",
            metric="last_val_loss",
            provenance="inferred",
            this={"arch.dropout": 0.0},
            that={"arch.dropout": 0.2},
            where=STATED | {"arch.encoder_filters": F32},
        ),
        Compares(
            id="C002-8",
            text="The mirrored network does not overfit.",
            left="last_val_loss",
            op="<",
            right="last_train_loss",
        ),
        BetterThan(
            id="C002-9",
            text="Layers lengthen the training.",
            metric="last_seconds",
            mode="max",
            this={"arch.encoder_filters": [16, 32, 64, 128, 256, 512]},
            that={"arch.encoder_filters": F16},
            where=STATED,
        ),
    ],
)
