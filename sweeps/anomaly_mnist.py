"""Anomaly detection on MNIST: the DCAE of Deep One-Class Classification (Ruff et al., ICML 2018).

How well does the reconstruction error of an autoencoder that was trained on one digit separate this
digit from the other nine? The paper's table 1 has the mean AUC over 10 seeds, with its standard
deviation, for each digit: the column DCAE.

Varied: the normal class, 0 to 9. Each is a task of its own: trials of different classes are not
compared, and the paper reports a number for each.
From the authors' code (github.com/lukasruff/Deep-SVDD, mnist_cae.sh, datasets/mnist.py,
opt/sgd/updates.py): the network (two modules of 8 and 4 filters, 5 x 5, batch normalization, leaky
ReLU, max-pooling; 32 latent values; no biases; a mirrored decoder), global contrast normalization
with the L1 norm, scaling to [0, 1] by the smallest and the largest value of the normal training
images, the mean over images of the summed squared error, Adam with a learning rate of 1e-4, divided
by 10 once, batches of 200, a sixth of the training file for validation, all 10,000 test images.
CONTRAST_RANGES are those of the training file; the constants of github.com/lukasruff/Deep-SVDD-
PyTorch (datasets/mnist.py) are the same.
Inferred: 350 epochs, the learning rate divided by 10 after 250. The script of MNIST divides it
after 150 and leaves the number of epochs to the caller; that of CIFAR-10 divides it after 250.

Settings that differ from the report's: the first convolution starts from random weights, theirs
from a dictionary learned on patches; the last batch of an epoch is smaller, theirs is left out; the
validation images are not training images, theirs are (their code selects both from the same array).
Our loss is a mean over pixels: with 784 pixels per image, the penalty of their code, 0.5 / 1000
times the squared weights, is a weight decay of 1 / (1000 x 784), and Adam's eps is 1e-8 / 784. The
weights are those of the epoch with the lowest validation loss, theirs those of the last epoch.
No AUC of table 1 is in sweeps/published: no source for them could be read when this file was
written. To compare, add rows with value, published_sd, published_runs=10, unit=percent,
metric=test_auroc and trials such as task.normal_classes=3: they are means of several runs.

Expected: an AUC above 0.9 for 0 and 1, and lower ones for digits with many shapes, such as 2, 5 and
8. The distance from the nearest training image and the reconstruction error of PCA with 32
components are strong baselines on MNIST.
Duration, estimated from 1.1 s of one CPU core per epoch: 65 minutes for one seed; 5 minutes of
training with `--budget cpu`, which trains 10 epochs with a larger learning rate and three seeds and
is not comparable with the paper.
"""

from cae import Adam, DetectAnomalies, LenetAutoencoder, Mnist, StepDecay, Sweep, Trial

PIXELS = 28 * 28
NORMAL = "task.normal_classes"
CONTRAST_RANGES = [
    (-0.88266, 9.00155),
    (-0.66615, 20.10806),
    (-0.78205, 11.66510),
    (-0.76458, 12.89505),
    (-0.72539, 12.68324),
    (-0.76985, 13.10328),
    (-0.77842, 10.45784),
    (-0.71298, 12.05778),
    (-0.82804, 10.58154),
    (-0.73700, 10.69704),
]
"""Smallest and largest value of the normalized training images, by digit."""
SPACE = []
for digit, contrast_range in enumerate(CONTRAST_RANGES):
    SPACE.append({NORMAL: (digit,), "task.contrast_range": contrast_range})

sweep = Sweep(
    title="Anomaly detection on MNIST: the DCAE of Deep One-Class Classification",
    base=Trial(
        dataset=Mnist(split="holdout", val_images=10_000),
        task=DetectAnomalies(normal_classes=(0,), contrast_range=CONTRAST_RANGES[0]),
        arch=LenetAutoencoder(filters=(8, 4), latent_units=32),
        optimizer=Adam(lr=1e-4, eps=1e-8 / PIXELS, weight_decay=1 / (1000 * PIXELS)),
        schedule=StepDecay(every=250, factor=0.1),
        batch_size=200,
        epochs=350,
    ),
    space=SPACE,
    budgets={
        "cpu": {
            "epochs": 10,
            "schedule.every": 8,
            "optimizer.lr": 2e-3,
            "seeds": 3,
        },
    },
    published="published/anomaly_mnist.csv",
    provenance={NORMAL: {"stated": [[number] for number in range(10)]}},
)
