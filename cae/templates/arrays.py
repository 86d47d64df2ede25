"""Which autoencoder compresses my arrays best?

The file is .npy, .npz, .safetensors or .tif, with any number of channels.
"""

from ray import tune

from cae import ASHA, Adam, Arrays, ConvAutoencoder, Reconstruct, Sweep, Trial

sweep = Sweep(
    base=Trial(
        # Channels, height and width; the values of black and white (of 12 bits: 0 and 4095).
        # `cae-sweep data show FILE` prints what a file contains.
        dataset=Arrays(path="IMAGES", shape=(1, 64, 64), value_range=(0, 65535)),
        task=Reconstruct(loss="mse"),
        arch=ConvAutoencoder(encoder_filters=(16, 8), decoder_filters=(16,)),
        optimizer=Adam(lr=1e-3),
        batch_size=32,
        epochs=20,
    ),
    space={
        "arch.kernel_size": tune.grid_search([3, 5]),
        "arch.encoder_filters.2": tune.grid_search([2, 4, 8]),
        "optimizer.lr": tune.grid_search([1e-3, 3e-3]),
    },
    scheduler=ASHA(grace_epochs=1),
    budgets={"quick": {"dataset.train_images": 200, "epochs": 3, "max_trials": 4}},
)
