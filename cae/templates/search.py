"""Which of many networks is best? A search chooses the trials by the results so far."""

from ray import tune

from cae import ASHA, Adam, ConvAutoencoder, Digits, ModelBased, Reconstruct, Sweep, Trial

sweep = Sweep(
    base=Trial(
        dataset=Digits(size=16),
        task=Reconstruct(loss="mse"),
        arch=ConvAutoencoder(encoder_filters=(8, 4), decoder_filters=(8,)),
        optimizer=Adam(lr=1e-3),
        batch_size=32,
        epochs=9,
    ),
    space={
        "arch.kernel_size": tune.choice([3, 5, 7]),
        "arch.encoder_filters.1": tune.randint(4, 33),
        "arch.encoder_filters.2": tune.grid_search([2, 4, 8]),
        "optimizer.lr": tune.loguniform(1e-4, 1e-1),
    },
    # Without `search`: random points. second_objective="parameters" looks for small networks, too.
    search=ModelBased(),
    # How many trials to run; `--max-trials` overrides it.
    samples=24,
    scheduler=ASHA(grace_epochs=1),
    # The sweep ends when twelve trials in a row have not been better.
    plateau=12,
    budgets={"quick": {"epochs": 2, "max_trials": 6}},
)
