"""MNIST digits from variational autoencoders: report 004, tasks 4 and 5.

Asked: what a VAE generates that was trained on all, 1,000, 100 or 10 images of a digit, as a
classifier sees it. Stated: the sizes, the digits 2, 3 and 8, latents at extremes. Inferred: the
network of Keras's `vae` example, Adam, batches of 128, 30 epochs, a loss of summed cross-entropy
plus KL, "all" as all images of that digit, the scales of the latents; the judge is ours, and run
first.

Expect: with 10 images, equal epochs are one step each, so arms of equal steps stand beside them;
the training loss can be *lower* there, by memory: the bound of held-out images (`test_elbo`)
decides. "More data, more diverse outputs" and "diversity is the same" both stand in the report:
`test_diversity_*` and `test_vendi_*` measure it, at each scale of the latents.
"""

from typing import Any

from ray import tune

from cae import (
    Adam,
    BetterThan,
    Classifier,
    Classify,
    Mnist,
    NoDifference,
    NotTestable,
    Sweep,
    Threshold,
    Trial,
    Vae,
    VariationalAutoencoder,
)

SIZES = [10, 100, 1_000, None]
STEPS = 30 * 47
"""Gradient steps of 30 epochs of all images of a digit."""
JUDGE = Trial(
    dataset=Mnist(split="holdout", val_images=10_000),
    task=Classify(loss="cross_entropy"),
    arch=Classifier(encoder_filters=(32, 64), fc_units=128),
    optimizer=Adam(lr=1e-3),
    batch_size=128,
    epochs=6,
)
DIGITS: dict[str, Any] = {"dataset.classes": tune.grid_search([[2], [3], [8]])}

sweep = Sweep(
    title="MNIST digits from variational autoencoders, report 004",
    base=Trial(
        dataset=Mnist(split="test_as_validation", val_images=None, classes=(2,)),
        task=Vae(judge=JUDGE),
        arch=VariationalAutoencoder(),
        optimizer=Adam(lr=1e-3),
        batch_size=128,
        epochs=30,
    ),
    space=[
        DIGITS | {"dataset.train_images": tune.grid_search(SIZES)},
        DIGITS | {"dataset.train_images": 10, "epochs": STEPS},
        DIGITS | {"dataset.train_images": 100, "epochs": STEPS},
        {
            "arch.latent_dim": tune.grid_search([8, 16]),
            "dataset.train_images": tune.grid_search(SIZES),
        },
    ],
    budgets={
        "cpu": {
            "epochs": 10,
            "task.judge.dataset.train_images": 10_000,
            "task.judge.epochs": 3,
            "task.generated": 500,
        }
    },
    published="published/mnist_vae.csv",
    origins={
        "dataset.classes": {"stated": [[2], [3], [8]]},
        "dataset.train_images": {"stated": SIZES},
        "arch.latent_dim": {},
        "epochs": {},
    },
    claims=[
        Threshold(
            id="C004-3",
            text="A VAE of 10 images gives digits that are taken for another class.",
            metric="test_recognised_4",
            op="<",
            bound=1.0,
            where={"dataset.train_images": 10},
        ),
        Threshold(
            id="C004-4",
            text="With 100 images or more none is.",
            metric="test_recognised_4",
            op=">=",
            bound=1.0,
            where={"dataset.train_images": 100},
        ),
        BetterThan(
            id="C004-5",
            text="Eights are mistaken more often than twos.",
            metric="test_recognised_4",
            mode="max",
            this={"dataset.classes": [2]},
            that={"dataset.classes": [8]},
            where={"dataset.train_images": 10, "arch.latent_dim": 2},
        ),
        BetterThan(
            id="C004-6",
            text="More training images lower the loss.",
            metric="test_elbo",
            mode="max",
            this={"dataset.train_images": 1_000},
            that={"dataset.train_images": 10},
            where={"arch.latent_dim": 2},
        ),
        BetterThan(
            id="C004-7",
            text="More training images give more diverse outputs.",
            metric="test_vendi_2",
            mode="max",
            this={"dataset.train_images": 1_000},
            that={"dataset.train_images": 10},
            where={"arch.latent_dim": 2},
        ),
        NotTestable(
            id="C004-8",
            text="Twos fall into two modes, with a loop and without.",
            reason="no label states which twos have a loop",
        ),
        NoDifference(
            id="C004-9",
            text="Diversity is the same whatever the size of the data.",
            metric="test_vendi_2",
            margin=0.5,
            this={"dataset.train_images": 1_000},
            that={"dataset.train_images": 10},
            where={"arch.latent_dim": 2},
        ),
    ],
)
