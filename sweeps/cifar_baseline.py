"""CIFAR-10 autoencoder, baseline: report 000 (Onghena & Hilt), exercise 1.

Asked: a small convolutional autoencoder, 3x3 kernels, 8 and 12 filters, a code of 8 x 8 x 16 =
1,024 values for the 3,072 of the image, 10 epochs. Stated: layers, epochs, the "test error" of
20.48 %. From the assignment: all 60,000 images cut into 48,000 / 6,000 / 6,000. Inferred: shuffling
with a seed, mean MSE, Adam at 1e-3, batches of 32, a sigmoid output.

Expect: a test MSE of about 0.0045 (24 dB) at the full budget. The published 20.48 % is most likely
1 - Keras's `accuracy`, which for three channels is the share of pixels whose brightest channel is
right: it stands beside our `test_channel_argmax_error` (20.8 %) and beside nothing else. Guessing
red for every pixel already scores about 51 % right.
"""

from cae import Adam, Cifar10, Compares, ConvAutoencoder, Reconstruct, Sweep, Threshold, Trial

sweep = Sweep(
    title="CIFAR-10 autoencoder, the baseline of report 000",
    base=Trial(
        dataset=Cifar10(split="pooled", val_images=6_000, test_images=6_000),
        task=Reconstruct(loss="mse"),
        arch=ConvAutoencoder(encoder_filters=(8, 12, 16), decoder_filters=(12,), kernel_size=3),
        optimizer=Adam(lr=1e-3),
        batch_size=32,
        epochs=10,
    ),
    budgets={"cpu": {"dataset.train_images": 12_000, "epochs": 5}},
    published="published/cifar_baseline.csv",
    claims=[
        Compares(
            id="C000-1a",
            text="In epochs 1 to 8 the training loss (a mean over the epoch) is above the "
            "validation loss.",
            left="train_loss",
            op=">",
            right="val_loss",
            epochs=(1, 8),
        ),
        Compares(
            id="C000-1b",
            text="In epochs 9 and 10 it is below: the network overfits.",
            left="train_loss",
            op="<",
            right="val_loss",
            epochs=(9, 10),
        ),
        Threshold(
            id="C000-2",
            text="Reconstructions are blurry: they have less gradient energy than the images.",
            metric="test_gradient_energy",
            op="<",
            bound=1.0,
        ),
    ],
)
