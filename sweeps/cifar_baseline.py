"""CIFAR-10 autoencoder, baseline: report 000 (Onghena & Hilt), exercise 1.

A small convolutional autoencoder with 3x3 kernels. Its latent code has 8 x 8 x 16 = 1,024 values;
an image has 3,072.

Varied: nothing; this is a single trial.
Stated in the report: the layers, 10 epochs, a "test error" of 20.48 %.
From the assignment: all 60,000 images, split into 48,000 / 6,000 / 6,000.
Inferred: a seeded shuffle before the split, mean squared error, Adam with a learning rate of 1e-3,
batches of 32, a sigmoid output.

Expected: a test MSE of about 0.0045 (24 dB) with the full budget. The published 20.48 % is most
likely 1 - Keras's `accuracy`. With three channels, that accuracy is the share of pixels whose
brightest channel is correct. The number is therefore compared with `test_channel_argmax_error`
(20.8 %) and with no other metric. Guessing red for every pixel already has an accuracy of about
51 %.
Duration on 2 CPU cores: 17 minutes for three seeds (`--set seeds=3`), half a minute with
`--budget cpu`.
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
            text="In epochs 9 and 10 the training loss is below the validation loss: the network "
            "overfits.",
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
