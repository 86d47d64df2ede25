"""CIFAR-10 colorization: report 000 (Onghena & Hilt), exercise 3.

From the gray image, the best network of exercise 2 predicts either RGB (exercise 3.1) or the chroma
I and Q, which are merged with the gray Y (exercise 3.2).

Varied: the target; for I and Q, sigmoid or tanh as output activation; three seeds.
Stated in the report: both targets, both activations; kernel 7 and filters 32-32-32-64 (from
exercise 2). It prints no number for this exercise.
Inferred: mean squared error, Adam with a learning rate of 1e-3, batches of 32, 10 epochs,
TensorFlow's YIQ weights.

Expected: tanh is better. I is negative in about 39 % of the pixels and Q in 61 %; a sigmoid cannot
output negative values, so its MSE stays above a floor, `test_floor_sigmoid`. The baseline is the
mean chroma: a network that does not beat it has learned no colors. Trials are ranked by the error
in RGB because the losses of the two targets are not comparable.
Compared: the two targets are groups of their own with a best network each; `best --across-groups`
ranks both by the error in RGB. C000-9 is judged for each target, because their losses have
different scales.
Duration on 2 CPU cores: 21 minutes with `--budget cpu`. The full budget was not run.
"""

from ray import tune

from cae import (
    Adam,
    BetterThan,
    Cifar10,
    Colorize,
    Compares,
    ConvAutoencoder,
    NotTestable,
    Sweep,
    Trial,
)

sweep = Sweep(
    title="CIFAR-10 colorization of report 000",
    base=Trial(
        dataset=Cifar10(split="pooled", val_images=6_000, test_images=6_000),
        task=Colorize(target="rgb"),
        arch=ConvAutoencoder(encoder_filters=(32, 32, 32), decoder_filters=(64,), kernel_size=7),
        optimizer=Adam(lr=1e-3),
        batch_size=32,
        epochs=10,
    ),
    space=[
        {"task.target": "rgb"},
        {"task.target": "iq", "arch.output_activation": tune.grid_search(["sigmoid", "tanh"])},
    ],
    metric="val_rgb_mse",
    seeds=3,
    budgets={
        "cpu": {
            "dataset.train_images": 3_000,
            "dataset.val_images": 1_000,
            "dataset.test_images": 1_000,
            "epochs": 4,
            "seeds": 3,
        }
    },
    published="published/cifar_colorize.csv",
    provenance={
        "task.target": {"stated": ["rgb", "iq"]},
        "arch.output_activation": {"stated": ["sigmoid", "tanh"]},
    },
    claims=[
        BetterThan(
            id="C000-8",
            text="For I and Q, tanh is better than sigmoid.",
            metric="val_loss",
            this={"arch.output_activation": "tanh"},
            that={"arch.output_activation": "sigmoid"},
            where={"task.target": "iq"},
        ),
        NotTestable(
            id="C000-7",
            text="I and Q converge faster than RGB.",
            reason="the losses of the two targets have different scales",
        ),
        Compares(
            id="C000-9",
            text="The colorization network overfits: its training loss is below its validation "
            "loss.",
            left="last_train_loss",
            op="<",
            right="last_val_loss",
        ),
    ],
)
