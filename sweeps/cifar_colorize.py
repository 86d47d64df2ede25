"""CIFAR-10 colourisation: report 000 (Onghena & Hilt), exercise 3, with the best network of its
grid.

Asked: grey to RGB (3.1), and grey Y to the chroma I and Q with a sigmoid or a tanh at the end,
merged with Y (3.2). Stated: both targets, both activations, kernel 7 and filters 32-32-32-64 from
exercise 2. Inferred: mean MSE, Adam at 1e-3, batches of 32, 10 epochs, TensorFlow's YIQ weights.
Nothing was published in numbers.

Expect: I is negative in some 39 % of the pixels and Q in 61 %; a sigmoid cannot say so, and its MSE
stays above a floor that is printed (`test_floor_sigmoid`). Predicting the mean chroma is the
baseline: a network that does not beat it has learnt nothing. All are ranked by the error in RGB,
for the losses of the two targets are not comparable.
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
    title="CIFAR-10 colourisation of report 000",
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
    origins={
        "task.target": {"stated": ["rgb", "iq"]},
        "arch.output_activation": {"stated": ["sigmoid", "tanh"]},
    },
    claims=[
        BetterThan(
            id="C000-8",
            text="For I and Q, tanh beats sigmoid.",
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
            text="The colour network overfits.",
            left="last_train_loss",
            op="<",
            right="last_val_loss",
        ),
    ],
)
