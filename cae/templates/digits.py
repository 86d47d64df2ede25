"""Which small autoencoder reconstructs handwritten digits best?

The first line is the title of the report. The images come with scikit-learn.
"""

from ray import tune

from cae import ASHA, Adam, ConvAutoencoder, Digits, Reconstruct, Sweep, Trial

sweep = Sweep(
    # One complete trial. `cae-sweep describe` explains every component and parameter.
    base=Trial(
        dataset=Digits(size=16),
        task=Reconstruct(loss="mse"),
        arch=ConvAutoencoder(encoder_filters=(8, 4), decoder_filters=(8,)),
        optimizer=Adam(lr=1e-3),
        batch_size=32,
        epochs=6,
    ),
    # What varies. Each name is that of a parameter above; a number is an element of a tuple.
    space={
        "arch.kernel_size": tune.grid_search([3, 5]),
        "arch.encoder_filters.2": tune.grid_search([2, 4, 8]),
        "optimizer.lr": tune.grid_search([1e-3, 3e-3]),
    },
    # Trials that are far behind the others at the same epoch are stopped.
    scheduler=ASHA(grace_epochs=1),
    # Another set of settings, for `--budget quick`.
    budgets={"quick": {"epochs": 2, "max_trials": 4}},
)
