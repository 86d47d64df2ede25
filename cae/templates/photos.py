"""Which autoencoder compresses my photographs best?

The folder has images of any size and format; its subfolders are classes. Folders train, val and
test stay splits, otherwise the images are divided at random.
"""

from ray import tune

from cae import ASHA, Adam, ConvAutoencoder, ImageFolder, Reconstruct, Sweep, Trial

sweep = Sweep(
    base=Trial(
        # Large folders are read faster after `cae-sweep data import FOLDER NAME`.
        dataset=ImageFolder(path="IMAGES", size=64),
        task=Reconstruct(loss="mse"),
        # Two poolings: the latent code has 16 x 16 positions of the last number of filters.
        arch=ConvAutoencoder(encoder_filters=(16, 8), decoder_filters=(16,)),
        optimizer=Adam(lr=1e-3),
        batch_size=32,
        epochs=20,
    ),
    space={
        "arch.kernel_size": tune.grid_search([3, 5]),
        # Filters of the latent code: fewer compress more.
        "arch.encoder_filters.2": tune.grid_search([2, 4, 8]),
        "optimizer.lr": tune.grid_search([1e-3, 3e-3]),
    },
    scheduler=ASHA(grace_epochs=1),
    budgets={"quick": {"dataset.train_images": 200, "epochs": 3, "max_trials": 4}},
)
