"""Does the lowest loss have the best code? Widths of the latent code on CIFAR-10.

The network is that of report 000 with 32 filters per layer; the filters of its third layer are the
channels of the latent code. No published number is reproduced; the claims are our own questions.

Varied: the filters of the latent code, and the stride. With stride 1 the code has 512 to 4,096
values, with stride 2 it has 8 to 64; an image has 3,072.
Expected: the loss falls with the size of the code. Linear probe and nearest neighbours need not
follow: an autoencoder keeps what restores pixels, not what tells classes apart. The floors to look
at are the same network with random weights, and principal components of as many values.
The claim `probe_width` was added after the first run: most of the correlation over all networks
comes from the stride.
Duration on 2 CPU cores: 15 minutes of training with `--budget cpu`, which trains on 6,000 images
for 4 epochs. The full budget was not run.
"""

from ray import tune

from cae import Adam, Cifar10, Compares, ConvAutoencoder, CorrelatesWith, Reconstruct, Sweep, Trial

sweep = Sweep(
    title="Widths of the latent code on CIFAR-10",
    base=Trial(
        dataset=Cifar10(split="pooled", val_images=6_000, test_images=6_000),
        task=Reconstruct(loss="mse"),
        arch=ConvAutoencoder(encoder_filters=(32, 32, 32), decoder_filters=(64,)),
        optimizer=Adam(lr=1e-3),
        batch_size=32,
        epochs=10,
    ),
    space={
        "arch.encoder_filters.3": tune.grid_search([8, 16, 32, 64]),
        "arch.stride": tune.grid_search([1, 2]),
    },
    seeds=3,
    budgets={
        "cpu": {
            "dataset.train_images": 6_000,
            "dataset.val_images": 2_000,
            "dataset.test_images": 2_000,
            "epochs": 4,
        }
    },
    claims=[
        CorrelatesWith(
            id="size",
            text="Larger codes have lower losses.",
            metric="test_loss",
            other="latent_values",
            sign="negative",
        ),
        CorrelatesWith(
            id="probe",
            text="A linear probe is more accurate on the codes of networks with lower losses.",
            metric="test_probe_accuracy",
            other="test_loss",
            sign="negative",
        ),
        CorrelatesWith(
            id="neighbours",
            text="Nearest neighbours are more accurate on the codes of networks with lower losses.",
            metric="test_knn_accuracy",
            other="test_loss",
            sign="negative",
        ),
        CorrelatesWith(
            id="probe_width",
            text="The same among networks that differ only in the filters of the code.",
            metric="test_probe_accuracy",
            other="test_loss",
            sign="negative",
            where={"arch.stride": 1},
        ),
        Compares(
            id="pca",
            text="A linear probe is more accurate on the code than on as many principal "
            "components.",
            left="test_probe_accuracy",
            op=">",
            right="test_probe_accuracy_pca",
        ),
        Compares(
            id="random",
            text="A linear probe is more accurate on the code than on that of the same network "
            "with random weights.",
            left="test_probe_accuracy",
            op=">",
            right="test_probe_accuracy_random_encoder",
        ),
    ],
)
