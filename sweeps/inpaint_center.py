"""Center inpainting of 64 x 64 photographs: report 001 (Keras 2.0, MS-COCO).

Which network fills a hole of 32 x 32 pixels best? The sweep has every network of the author's log.

Varied: networks v1 (7 convolutions) and v2 (11), batch normalization, dropout, dilation, filters,
leaky ReLU, pooling or strides, learning rate, batch size, fully connected networks, the region of
the loss.
Stated in the report: v1 and v2; that batch normalization, dropout, learning rate, leaky ReLU and
filters were varied.
From the author's repository: layouts of the layers, Adam, binary cross-entropy over the *full*
image, batches of 256 to 500, dilations, numbers of parameters, logged losses.
Inferred: dropout of 0.1 and 0.5.
Differences: all networks train the same number of epochs (the log's runs were stopped early with
different patience), and the hole is exactly black (the report's images were saved as JPEG).

Expected: cross-entropy over the full image ranks how well networks copy, because three quarters of
the image are input and the loss cannot fall below the entropy of the targets. Trials are therefore
ranked by the error inside the hole, and the published loss is shown beside it. The dilated network
without pooling sees 27 pixels, but the center of the hole is 16 pixels from the nearest input: it
cannot fill the hole, whatever its loss.

Data: resize the shorter side of each COCO image to 64, crop the center, drop gray images, and put
train2014 and val2014 together into a folder `coco64` in the data folder (123,049 images). A third
is used for validation and test, regardless of which of the two an image comes from. `--budget
cifar` uses CIFAR-10 instead, with a hole of 16 x 16: it shows the direction of effects only.
Compared: the network that learns the hole only is a group of its own; no claim compares its loss.
`best --across-groups` ranks both by the error inside the hole.
Duration on 2 CPU cores: 19 minutes with `--budget cpu`, which trains on 3,000 images of CIFAR-10
for 4 epochs: too few to judge small differences; `--budget evening` (8,000 images, 12 epochs, 3
seeds) is estimated at 50 minutes. The full budget was not run.
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

CIFAR = {
    "dataset": "cifar10",
    "dataset.split": "pooled",
    "dataset.val_images": 6_000,
    "dataset.test_images": 6_000,
}
SMALL_CIFAR = CIFAR | {
    "dataset.train_images": 3_000,
    "dataset.val_images": 1_000,
    "dataset.test_images": 1_000,
    "epochs": 4,
    "seeds": 3,
}
EVENING = CIFAR | {
    "dataset.train_images": 8_000,
    "dataset.val_images": 2_000,
    "dataset.test_images": 2_000,
    "epochs": 12,
    "seeds": 3,
}
SMOKE = {
    "dataset": "patches",
    "dataset.size": 16,
    "dataset.train_images": 64,
    "dataset.val_images": 32,
    "dataset.test_images": 32,
    "epochs": 2,
    "batch_size": 32,
    "max_trials": 3,
}

# Networks of the author's log, as differences from v1.
V1_FILTERS = [16, 32, 64, 64]
V2_FILTERS = [16, 16, 32, 32, 64, 64]
NARROW_FILTERS = [32, 16, 16]
V2 = {
    "arch.encoder_filters": V2_FILTERS,
    "arch.decoder_filters": [32, 32, 16, 16],
    "arch.pool_after": [2, 4],
    "arch.upsample_after": [0, 2],
}
DILATED_WITHOUT_POOLING = {
    "arch.encoder_filters": [16, 32, 32, 16],
    "arch.decoder_filters": [],
    "arch.pool_after": [],
    "arch.upsample_after": [],
    "arch.dilation": 3,
}
NARROW = {
    "arch.encoder_filters": NARROW_FILTERS,
    "arch.decoder_filters": [32],
    "arch.batch_norm": "before_activation",
}
DROPOUT_LAYERS = {"arch.dropout_encoder": (1, 2, 3), "arch.dropout_decoder": (0, 1)}

# Conditions of the claims.
V1_TRAINING: dict[str, Any] = {
    "arch.encoder_filters": V1_FILTERS,
    "arch.dropout": 0.0,
    "arch.dilation": 1,
    "batch_size": 256,
    "optimizer.lr": 1e-3,
}
V1_WITHOUT_BATCH_NORM = V1_TRAINING | {"arch.batch_norm": "none"}
V1 = V1_WITHOUT_BATCH_NORM | {"task.region": "full", "arch.pooling": "max"}

sweep = Sweep(
    title="Center inpainting of report 001",
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
        # v1.1
        {"arch.batch_norm": "before_activation"},
        # v1.2
        DROPOUT_LAYERS | {"arch.dropout": tune.grid_search([0.25, 0.1, 0.5]), "batch_size": 300},
        # v1.3
        DROPOUT_LAYERS
        | {"arch.dropout": 0.25, "arch.batch_norm": "before_activation", "batch_size": 300},
        # v1.4
        {"arch.dilation": (4, 3, 2, 1)},
        DILATED_WITHOUT_POOLING,
        V2 | {"batch_size": 300},
        # v2.1, with the layers of the author's log
        V2
        | {
            "arch.batch_norm": "after_activation",
            "arch.batch_norm_encoder": (1, 3, 5),
            "arch.batch_norm_decoder": (1, 3, 4),
            "batch_size": 400,
        },
        NARROW,
        NARROW | {"arch.activation": "leaky_relu", "arch.negative_slope": 0.2},
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
    budgets={"cifar": CIFAR, "cpu": SMALL_CIFAR, "evening": EVENING, "smoke": SMOKE},
    published="published/inpaint_center.csv",
    provenance={
        "arch.encoder_filters": {
            "stated": [V1_FILTERS, V2_FILTERS],
            "repo": [NARROW_FILTERS, [16, 32, 32, 16]],
        },
        "arch.dropout": {"repo": [0.25]},
        "arch.batch_norm": {"repo": ["before_activation", "after_activation"]},
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
            text="Convolutional networks are better than fully connected ones.",
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
            where=V1,
        ),
        BetterThan(
            id="C001-3",
            text="A network with twice the layers is slightly better.",
            metric="val_loss",
            this={"arch.encoder_filters": V2_FILTERS, "arch.batch_norm": "none"},
            that={
                "arch.encoder_filters": V1_FILTERS,
                "arch.batch_norm": "none",
                "arch.dropout": 0.0,
                "task.region": "full",
                "optimizer.lr": 1e-3,
            },
        ),
        Threshold(
            id="C001-4",
            text="Results are blurry: the filled hole has less gradient energy than the original.",
            metric="test_hole_gradient_energy",
            op="<",
            bound=1.0,
            where=V1,
        ),
        BetterThan(
            id="C001-5",
            text="With batch normalization the loss falls faster per epoch.",
            metric="last_val_loss",
            this={"arch.batch_norm": "before_activation"},
            that={"arch.batch_norm": "none"},
            where=V1_TRAINING,
        ),
        Compares(
            id="C001-5b",
            text="Batch normalization does not lead to overfitting, not even in v2.1.",
            explanation=(
                "The author's own log of v2.1 contradicts it as well: training loss 0.5520, "
                "validation loss 0.58 to 0.77."
            ),
            left="last_train_loss",
            op=">",
            right="last_val_loss",
            where={"arch.batch_norm": "after_activation"},
        ),
        BetterThan(
            id="C001-6",
            text="Epochs with batch normalization take much longer.",
            metric="last_seconds",
            mode="max",
            this={"arch.batch_norm": "before_activation"},
            that={"arch.batch_norm": "none"},
            where={"arch.encoder_filters": V1_FILTERS, "batch_size": 256},
        ),
        BetterThan(
            id="C001-7",
            text="Batch normalization makes the filled hole darker.",
            metric="test_hole_brightness",
            mode="min",
            this={"arch.batch_norm": "before_activation"},
            that={"arch.batch_norm": "none"},
            where={"arch.encoder_filters": V1_FILTERS, "batch_size": 256},
        ),
        BetterThan(
            id="C001-8",
            text="Dropout raises the validation loss.",
            metric="val_loss",
            this={"arch.dropout": 0.0},
            that={"arch.dropout": 0.25},
            where={
                "arch.encoder_filters": V1_FILTERS,
                "arch.batch_norm": "none",
                "task.region": "full",
            },
        ),
        BetterThan(
            id="C001-8b",
            text="Dropout makes the filled hole darker.",
            metric="test_hole_brightness",
            mode="max",
            this={"arch.dropout": 0.0},
            that={"arch.dropout": 0.25},
            where={
                "arch.encoder_filters": V1_FILTERS,
                "arch.batch_norm": "none",
                "task.region": "full",
            },
        ),
        Threshold(
            id="C001-9",
            text="The network is more accurate near the border of the hole: the error rises with "
            "the distance from it.",
            metric="test_ring_correlation",
            op=">",
            bound=0.0,
            where=V1,
        ),
        NoDifference(
            id="C001-10a",
            text="A learning rate of 1e-4 makes no difference.",
            metric="val_loss",
            margin=0.002,
            this={"optimizer.lr": 1e-4},
            that=V1,
        ),
        NoDifference(
            id="C001-10b",
            text="Leaky ReLU makes no difference.",
            metric="val_loss",
            margin=0.002,
            this={"arch.activation": "leaky_relu"},
            that={"arch.activation": "relu"},
            where={"arch.encoder_filters": NARROW_FILTERS},
        ),
        BetterThan(
            id="C001-11",
            text="Max pooling is better than strides.",
            metric="val_loss",
            this={"arch.pooling": "max"},
            that={"arch.pooling": "stride"},
            where=V1_WITHOUT_BATCH_NORM | {"task.region": "full"},
        ),
    ],
)
