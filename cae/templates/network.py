"""Is my own network better than a plain one?

Components that are defined here are used like the built-in ones. Their source code is part of each
trial: after a change, the trials are trained anew.
"""

from ray import tune
from torch import nn

from cae import Adam, Architecture, Digits, Reconstruct, Sweep, Trial


class TwoLayerAutoencoder(Architecture):
    """An autoencoder of fully connected layers."""

    hidden: int = 64
    """Values of the hidden layers."""
    latent: int = 16
    """Values of the latent code."""

    def build(self, input_shape, output_shape):
        """Return a network from images x `input_shape` to images x `output_shape`."""
        inputs = input_shape[0] * input_shape[1] * input_shape[2]
        outputs = output_shape[0] * output_shape[1] * output_shape[2]
        network = nn.Sequential()
        # The layer that is named `encoder` gives the size of the latent code.
        network.encoder = nn.Sequential(
            nn.Flatten(),
            nn.Linear(inputs, self.hidden),
            nn.ReLU(),
            nn.Linear(self.hidden, self.latent),
        )
        network.decoder = nn.Sequential(
            nn.Linear(self.latent, self.hidden),
            nn.ReLU(),
            nn.Linear(self.hidden, outputs),
            nn.Sigmoid(),
            nn.Unflatten(1, output_shape),
        )
        return network


sweep = Sweep(
    base=Trial(
        dataset=Digits(size=16),
        task=Reconstruct(loss="mse"),
        arch=TwoLayerAutoencoder(),
        optimizer=Adam(lr=1e-3),
        batch_size=32,
        epochs=6,
    ),
    # A list of search spaces is a union: each part has parameters of its own.
    space=[
        {"arch.latent": tune.grid_search([8, 16, 32])},
        {
            "arch": "conv_autoencoder",
            "arch.encoder_filters": (8, 4),
            "arch.decoder_filters": (8,),
        },
    ],
    # Differences between trainings of one configuration show how large chance is.
    seeds=2,
    budgets={"quick": {"epochs": 2, "seeds": 1}},
)
