"""How does the weight of the Kullback-Leibler divergence change a variational autoencoder?

beta weights the divergence (Higgins et al. 2017, beta-VAE): a larger one leaves fewer units of the
latent code active, and reconstructs less. No published number is reproduced; the claims are our own
questions.

Varied: beta.
Expected: the number of active units falls with beta, and the error of the reconstruction rises.
Compared: the objectives of different beta are different losses, so each beta is a group of its own;
the claims use metrics that have the same formula in all.
Duration: 20 minutes on 2 CPU cores, 4 minutes with `--budget cpu`, which trains on 10,000 images.
"""

from ray import tune

from cae import Adam, FallsWith, Mnist, RisesWith, Sweep, Trial, Vae, VariationalAutoencoder

BETA = "task.beta"

sweep = Sweep(
    title="beta-VAE on MNIST",
    base=Trial(
        dataset=Mnist(split="test_as_validation", val_images=2_000),
        task=Vae(),
        arch=VariationalAutoencoder(latent_dim=16),
        optimizer=Adam(lr=1e-3),
        batch_size=128,
        epochs=10,
    ),
    space={BETA: tune.grid_search([0.25, 1.0, 4.0])},
    seeds=3,
    budgets={"cpu": {"dataset.train_images": 10_000}},
    claims=[
        FallsWith(
            id="active",
            text="The number of active units falls with beta.",
            metric="test_active_units",
            axis=BETA,
        ),
        RisesWith(
            id="error",
            text="The squared error of the reconstruction rises with beta.",
            metric="val_mse",
            axis=BETA,
        ),
    ],
)
