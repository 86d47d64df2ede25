"""MNIST denoising autoencoder: report 004, tasks 1 to 3, after the Keras blog's "Building autoencoders in Keras".

Asked: how the loss of a denoising autoencoder rises with the noise. Stated: the network (7,265 parameters), Adam, binary
cross-entropy, noise factors 0.5, 0.7 and 0.9, a loss of 0.10 at 0.5 and of 0.15 at 0.9. Inferred, from the blog: 100 epochs
in batches of 128, all 60,000 training images, the 10,000 test images as validation, noise drawn once before training.
Not stated: whether 0.10 and 0.15 are training or validation losses.

Expect: val_loss rising with the noise. Its floor is not 0: the pixels' own entropy is about 0.06 to 0.07 nats here. The code
has 7 x 7 x 16 = 784 values, as many as the image: nothing but the noise forces this network to learn the digits.
"""

from ray import tune

from cae import Adam, ConvAutoencoder, Denoise, Mnist, Sweep, Trial

sweep = Sweep(
    title="MNIST denoising autoencoder of report 004",
    base=Trial(
        dataset=Mnist(split="test_as_validation", val_images=10_000),
        task=Denoise(loss="bce"),
        arch=ConvAutoencoder(encoder_filters=(16, 16), decoder_filters=(16, 16), pool_after=(1, 2), upsample_after=(1, 2)),
        optimizer=Adam(lr=1e-3),
        batch_size=128,
        epochs=100,
    ),
    space={"task.noise_factor": tune.grid_search([0.5, 0.7, 0.9])},
    budgets={"cpu": {"dataset.train_images": 20_000, "epochs": 8}},
    published="published/mnist_denoise.csv",
)
