"""Does the lowest loss have the best code? Depths of the autoencoder on MNIST.

The networks are those of report 002: batch normalization after each ReLU, pooling after layers 1
and 2, a mirrored decoder, RMSprop. Their latent codes have 49 values per filter of the last layer,
more than the 784 pixels of an image. No published number is reproduced; the claims are our own
questions.

Varied: the number of layers, 3 to 6, with filters that double from layer to layer (16, 32, ...) as
in the report, and with 32 filters per layer, because depth also widens the code otherwise.
Expected: deeper networks have higher losses after as many epochs. A code of more than 784 values
compresses nothing, and the pixels themselves are a strong floor on MNIST.
Duration on 2 CPU cores: 10 minutes of training with `--budget cpu`, which trains on 2,400 images
for 3 epochs. The full budget was not run.
"""

from cae import (
    Compares,
    ConvAutoencoder,
    CorrelatesWith,
    Mnist,
    Reconstruct,
    RMSprop,
    Sweep,
    Trial,
)


def network(encoder_filters: list[int]) -> dict[str, object]:
    """An encoder with these filters, and its mirrored decoder."""
    layers = len(encoder_filters)
    return {
        "arch.encoder_filters": encoder_filters,
        "arch.decoder_filters": encoder_filters[::-1],
        "arch.upsample_after": [layers - 1, layers],
    }


sweep = Sweep(
    title="Depths of the autoencoder on MNIST",
    base=Trial(
        dataset=Mnist(split="holdout", split_seed=13, val_images=12_000),
        task=Reconstruct(loss="mse"),
        arch=ConvAutoencoder(
            encoder_filters=(16, 32, 64),
            decoder_filters=(64, 32, 16),
            upsample_after=(2, 3),
            batch_norm="after_activation",
        ),
        optimizer=RMSprop(lr=1e-3),
        batch_size=64,
        epochs=20,
    ),
    space=[
        network([16, 32, 64]),
        network([16, 32, 64, 128]),
        network([16, 32, 64, 128, 256]),
        network([16, 32, 64, 128, 256, 512]),
        network([32] * 3),
        network([32] * 4),
        network([32] * 5),
        network([32] * 6),
    ],
    seeds=3,
    budgets={
        "cpu": {
            "dataset.train_images": 2_400,
            "dataset.val_images": 2_000,
            "dataset.test_images": 2_000,
            "epochs": 3,
            # PyTorch's. With Keras's, the running means need 500 steps; this budget has 114.
            "arch.batch_norm_momentum": 0.1,
        }
    },
    claims=[
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
