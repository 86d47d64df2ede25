"""Centre inpainting of 64 x 64 photographs: report 001 (Keras 2.0, MS-COCO), every network of the
author's log.

Asked: what fills a hole of 32 x 32 pixels best. Stated: v1 (7 convolutions) and v2 (11), batch
normalisation, dropout, learning rate, leaky ReLU, filters. From the author's repository: layouts,
Adam, binary cross-entropy over the *full* image, batches of 256 to 500, dilations, parameter
counts, logged losses. Inferred: dropout of 0.1 and 0.5, one budget for all (the log's runs stopped
early at different patience), a lossless hole (the report's was saved as JPEG and is not quite
black).

Expect: full-image cross-entropy ranks copying, for three quarters of the image are given and its
floor is the entropy of the targets; so trials are ranked by the hole alone, with the published loss
beside it. The dilated network without pooling sees 27 pixels and the centre of the hole is 16 from
any known one: it cannot fill it, whatever its loss. COCO: resize the shorter side to 64, crop the
centre, drop grey images, put train2014 and val2014 together into a folder `coco64` under the data
folder (123,049 images; a third is validation and test here, whichever file they came from).
`--budget cifar` takes CIFAR-10 instead (a hole of 16 x 16): directions only. The cpu budget takes
3,000 of its images and 4 epochs, and bears no conclusion on small differences.
"""

from typing import Any

from ray import tune

from cae import (
    Adam,
    BetterThan,
    Compares,
    ConvAutoencoder,
    ImageFolder,
    Inpaint,
    NoDifference,
    Sweep,
    Threshold,
    Trial,
)

CIFAR: dict[str, Any] = {
    "dataset": "cifar10",
    "dataset.split": "pooled",
    "dataset.val_images": 6_000,
    "dataset.test_images": 6_000,
}
FEW: dict[str, Any] = {
    "dataset.train_images": 3_000,
    "dataset.val_images": 1_000,
    "dataset.test_images": 1_000,
    "epochs": 4,
    "seeds": 3,
}
SMOKE: dict[str, Any] = {
    "dataset": "patches",
    "dataset.size": 16,
    "dataset.train_images": 64,
    "dataset.val_images": 32,
    "dataset.test_images": 32,
    "epochs": 2,
    "batch_size": 32,
    "max_trials": 3,
}
BN, V1, V2 = "arch.batch_norm", [16, 32, 64, 64], [16, 16, 32, 32, 64, 64]
PLAIN: dict[str, Any] = {
    "arch.encoder_filters": V1,
    BN: "none",
    "arch.dropout": 0.0,
    "arch.dilation": 1,
    "batch_size": 256,
    "optimizer.lr": 1e-3,
}
ONE: dict[str, Any] = PLAIN | {"task.region": "full", "arch.pooling": "max"}


def layers(
    encoder: list[int], decoder: list[int], pool_after: list[int], upsample_after: list[int]
) -> dict[str, Any]:
    names = ("encoder_filters", "decoder_filters", "pool_after", "upsample_after")
    return {
        f"arch.{name}": value
        for name, value in zip(names, (encoder, decoder, pool_after, upsample_after), strict=True)
    }


v2 = layers(V2, [32, 32, 16, 16], [2, 4], [0, 2])
alone = layers([16, 32, 32, 16], [], [], [])
drop: dict[str, Any] = {"arch.dropout_encoder": [1, 2, 3], "arch.dropout_decoder": [0, 1]}
thin: dict[str, Any] = {
    "arch.encoder_filters": [32, 16, 16],
    "arch.decoder_filters": [32],
    BN: "before_activation",
}

sweep = Sweep(
    title="Centre inpainting of report 001",
    base=Trial(
        dataset=ImageFolder(path="coco64", size=64, val_images=20_219, test_images=20_219),
        task=Inpaint(loss="bce"),
        arch=ConvAutoencoder(encoder_filters=(16, 32, 64, 64), decoder_filters=(32, 16)),
        optimizer=Adam(lr=1e-3),
        batch_size=256,
        epochs=100,
    ),
    space=[
        {},  # v1
        {"batch_size": 500},
        {BN: "before_activation"},  # v1.1
        drop | {"arch.dropout": tune.grid_search([0.25, 0.1, 0.5]), "batch_size": 300},  # v1.2
        drop | {"arch.dropout": 0.25, BN: "before_activation", "batch_size": 300},  # v1.3
        {"arch.dilation": [4, 3, 2, 1]},  # v1.4
        alone | {"arch.dilation": 3},
        v2 | {"batch_size": 300},
        # v2.1, as the author's log has its layers
        v2
        | {
            BN: "after_activation",
            "arch.batch_norm_encoder": [1, 3, 5],
            "arch.batch_norm_decoder": [1, 3, 4],
            "batch_size": 400,
        },
        thin,
        thin | {"arch.activation": "leaky_relu", "arch.negative_slope": 0.2},
        {"optimizer.lr": 1e-4},
        {"arch.pooling": "stride"},
        {"task.region": "hole"},
        {
            "arch": "dense_autoencoder",
            "arch.hidden_units": [6144, 3072, 3072],
            "arch.activation": "sigmoid",
        },
        {
            "arch": "dense_autoencoder",
            "arch.hidden_units": [512, 128],
            "arch.activation": "sigmoid",
        },
    ],
    metric="val_hole_mse",
    budgets={"cifar": CIFAR, "cpu": CIFAR | FEW, "smoke": SMOKE},
    published="published/inpaint_center.csv",
    origins={
        "arch.encoder_filters": {"stated": [V1, V2], "repo": [[32, 16, 16], [16, 32, 32, 16]]},
        "arch.dropout": {"repo": [0.25]},
        BN: {"repo": ["before_activation", "after_activation"]},
        "arch.dilation": {"repo": [1, [4, 3, 2, 1], 3]},
        "arch.activation": {"stated": ["relu", "leaky_relu"], "repo": ["sigmoid"]},
        "arch.negative_slope": {"repo": [0.2]},
        "arch.pooling": {"stated": ["max"]},
        "arch": {"stated": ["conv_autoencoder", "dense_autoencoder"]},
        "arch.hidden_units": {"repo": [[6144, 3072, 3072]]},
        "batch_size": {"repo": [256, 500, 300, 400]},
        "optimizer.lr": {"repo": [1e-3, 1e-4]},
        "task.region": {"repo": ["full"]},
    },
    claims=[
        BetterThan(
            id="C001-1",
            text="Convolutional networks beat fully connected ones.",
            metric="val_loss",
            this={"arch": "conv_autoencoder"},
            that={"arch": "dense_autoencoder"},
        ),
        Compares(
            id="C001-2",
            text="The validation loss of v1 follows its training loss.",
            left="last_train_loss",
            op=">",
            right="last_val_loss",
            where=ONE,
        ),
        BetterThan(
            id="C001-3",
            text="Twice the layers are slightly better.",
            metric="val_loss",
            this={"arch.encoder_filters": V2, BN: "none"},
            that={
                "arch.encoder_filters": V1,
                BN: "none",
                "arch.dropout": 0.0,
                "task.region": "full",
                "optimizer.lr": 1e-3,
            },
        ),
        Threshold(
            id="C001-4",
            text="Results are blurry: the hole has less gradient energy than the image had.",
            metric="test_hole_gradient_energy",
            op="<",
            bound=1.0,
            where=ONE,
        ),
        BetterThan(
            id="C001-5",
            text="Batch normalisation converges faster per epoch.",
            metric="last_val_loss",
            this={BN: "before_activation"},
            that={BN: "none"},
            where={name: value for name, value in PLAIN.items() if name != BN},
        ),
        Compares(
            id="C001-5b",
            text="And does not overfit, in v2.1 neither.",
            left="last_train_loss",
            op=">",
            right="last_val_loss",
            where={BN: "after_activation"},
        ),
        BetterThan(
            id="C001-6",
            text="Epochs with batch normalisation take much longer.",
            metric="last_seconds",
            mode="max",
            this={BN: "before_activation"},
            that={BN: "none"},
            where={"arch.encoder_filters": V1, "batch_size": 256},
        ),
        BetterThan(
            id="C001-7",
            text="Batch normalisation darkens.",
            metric="test_hole_brightness",
            mode="min",
            this={BN: "before_activation"},
            that={BN: "none"},
            where={"arch.encoder_filters": V1, "batch_size": 256},
        ),
        BetterThan(
            id="C001-8",
            text="Dropout raises the validation loss.",
            metric="val_loss",
            this={"arch.dropout": 0.0},
            that={"arch.dropout": 0.25},
            where={"arch.encoder_filters": V1, BN: "none", "task.region": "full"},
        ),
        BetterThan(
            id="C001-8b",
            text="Dropout darkens.",
            metric="test_hole_brightness",
            mode="max",
            this={"arch.dropout": 0.0},
            that={"arch.dropout": 0.25},
            where={"arch.encoder_filters": V1, BN: "none", "task.region": "full"},
        ),
        Threshold(
            id="C001-9",
            text="The network is more accurate near the border: its error rises with the distance "
            "from it.",
            metric="test_ring_correlation",
            op=">",
            bound=0.0,
            where=ONE,
        ),
        NoDifference(
            id="C001-10a",
            text="The learning rate brings nothing.",
            metric="val_loss",
            margin=0.002,
            this={"optimizer.lr": 1e-4},
            that=ONE,
        ),
        NoDifference(
            id="C001-10b",
            text="Leaky ReLU brings nothing.",
            metric="val_loss",
            margin=0.002,
            this={"arch.activation": "leaky_relu"},
            that={"arch.activation": "relu"},
            where={"arch.encoder_filters": [32, 16, 16]},
        ),
        BetterThan(
            id="C001-11",
            text="Pooling loses less than striding.",
            metric="val_loss",
            this={"arch.pooling": "max"},
            that={"arch.pooling": "stride"},
            where=PLAIN | {"task.region": "full"},
        ),
    ],
)
