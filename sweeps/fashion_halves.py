"""FashionMNIST, the right half from the left: report 003 (PyTorch).

Asked: a network that completes clothes from their left halves (1 x 28 x 14 to 1 x 28 x 14). Stated:
three strided convolutions of 32, 64 and 128 filters, kernel (4, 2), batch normalisation in the
first two, LeakyReLU, fully connected 256 and 64, 20 epochs, batches of 512, learning rate 1e-3,
halved on a plateau of 2 epochs, MSE 0.0273 for training and validation by epoch 17. Inferred: Adam,
mean MSE on [0, 1], 50,000 / 10,000 / 10,000 images, "same" padding as ceil(size / 2), the mirrored
decoder, a sigmoid.

Expect: at or below 0.0273. The baselines beside it are the mirrored half, ridge regression and the
nearest training image. The axes other than the network stated are the report's, their values mostly
inferred. `--budget stated` trains the stated network alone.
"""

from typing import Any

from ray import tune

from cae import (
    Adam,
    Compares,
    Complete,
    ConvAutoencoder,
    CorrelatesWith,
    FashionMnist,
    LargestRows,
    ReduceOnPlateau,
    SmallestAt,
    SmallestRows,
    Sweep,
    Threshold,
    Trial,
)


def filters(*widths: int) -> dict[str, Any]:
    count = len(widths)
    return {
        "arch.encoder_filters": list(widths),
        "arch.decoder_filters": list(widths[-2::-1]),
        "arch.pool_after": list(range(1, count + 1)),
        "arch.upsample_after": list(range(count)),
        "arch.batch_norm_decoder": list(range(1, count))[:2],
    }


OTHERS = {
    "arch.hidden_units": [256, 64],
    "arch.kernel_size": [4, 2],
    "optimizer": "adam",
    "optimizer.lr": 1e-3,
    "task.loss": "mse",
}
STATED: dict[str, Any] = filters(32, 64, 128) | OTHERS

sweep = Sweep(
    title="FashionMNIST half completion of report 003",
    base=Trial(
        dataset=FashionMnist(split="holdout", val_images=10_000),
        task=Complete(loss="mse"),
        arch=ConvAutoencoder(
            encoder_filters=(32, 64, 128),
            decoder_filters=(64, 32),
            pool_after=(1, 2, 3),
            upsample_after=(0, 1, 2),
            pooling="stride",
            upsampling="transposed",
            kernel_size=(4, 2),
            hidden_units=(256, 64),
            activation="leaky_relu",
            batch_norm="before_activation",
            batch_norm_encoder=(1, 2),
            batch_norm_decoder=(1, 2),
            batch_norm_momentum=0.1,
            batch_norm_epsilon=1e-5,
            init="pytorch",
        ),
        optimizer=Adam(lr=1e-3),
        schedule=ReduceOnPlateau(factor=0.5, patience=2),
        batch_size=512,
        epochs=20,
    ),
    space=[
        {},
        filters(32, 64),
        filters(32, 64, 128, 256),
        filters(16, 32, 64),
        filters(64, 128, 256),
        {"optimizer.lr": tune.grid_search([1e-2, 1e-4])},
        {"optimizer": tune.grid_search(["sgd", "rmsprop"]), "optimizer.lr": 1e-3},
        {"task.loss": tune.grid_search(["l1", "bce"])},
        {"arch.kernel_size": tune.grid_search([[4, 4], [3, 3]])},
        {"arch.hidden_units": tune.grid_search([[256, 16], [256, 32], [256, 128]])},
    ],
    metric="val_psnr",
    mode="max",
    seeds=3,
    budgets={"stated": STATED, "cpu": {"dataset.train_images": 10_000, "epochs": 5}},
    published="published/fashion_halves.csv",
    origins={
        "arch.encoder_filters": {"stated": [[32, 64, 128]]},
        "arch.kernel_size": {"stated": [[4, 2]]},
        "optimizer.lr": {"stated": [1e-3]},
        "arch.hidden_units": {"stated": [[256, 64]]},
        "task.loss": {"stated": ["mse"]},
        "optimizer": {},
    },
    claims=[
        Threshold(
            id="C003-1",
            text="The validation loss comes to 0.0273.",
            metric="val_loss",
            op="<=",
            as_published=True,
            bound=0.02735,
            where=STATED,
        ),
        Compares(
            id="C003-1b",
            text="Training and validation loss do not part: no overfitting.",
            left="last_train_loss",
            op=">",
            right="last_val_loss",
            where=STATED,
        ),
        Threshold(
            id="C003-2",
            text="The learning rate is cut four times, to 6.25e-5.",
            metric="last_lr",
            op="<=",
            as_published=True,
            bound=6.25e-5,
            where=STATED,
        ),
        SmallestRows(
            id="C003-3a",
            text="Trouser, T-shirt and Dress are reconstructed best.",
            table="per_class",
            column="mse",
            rows=["Trouser", "T-shirt/top", "Dress"],
            where=STATED,
        ),
        SmallestRows(
            id="C003-3b",
            text="So they are by the error beside the variance of their own pixels.",
            table="per_class",
            column="relative_mse",
            rows=["Trouser", "T-shirt/top", "Dress"],
            where=STATED,
            provenance="inferred",
        ),
        LargestRows(
            id="C003-4a",
            text="Sneaker and Ankle boot are worst.",
            table="per_class",
            column="mse",
            rows=["Sneaker", "Ankle boot"],
            where=STATED,
        ),
        LargestRows(
            id="C003-4b",
            text="So they are by the error beside the variance of their own pixels.",
            table="per_class",
            column="relative_mse",
            rows=["Sneaker", "Ankle boot"],
            where=STATED,
            provenance="inferred",
        ),
        Threshold(
            id="C003-5",
            text="Asymmetric classes have larger errors.",
            metric="test_asymmetry_correlation",
            op=">",
            bound=0.0,
            where=STATED,
        ),
        Threshold(
            id="C003-6",
            text="Shoes that point the unusual way are worse: their error rises when they are "
            "flipped.",
            metric="test_flipped_ratio",
            op=">",
            bound=1.0,
            where=STATED,
        ),
        SmallestAt(
            id="C003-7",
            text="A learning rate of 1e-3 is best.",
            metric="val_loss",
            axis="optimizer.lr",
            value=1e-3,
            where={name: value for name, value in STATED.items() if name != "optimizer.lr"},
        ),
        CorrelatesWith(
            id="C003-8",
            text="Wider codes complete better.",
            metric="val_psnr",
            other="parameters",
            sign="positive",
            provenance="inferred",
        ),
    ],
)
