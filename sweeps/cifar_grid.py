"""CIFAR-10 autoencoder grid: report 000 (Onghena & Hilt), exercise 2.

Asked: which of kernel size, stride, padding and the filters of four layers matter for the validation loss. Stated: the seven
axes and the best network (kernel 7, stride 1, same, 32/32/32/64; val loss 0.001836). Inferred: the other values of each axis,
10 epochs, Adam at 1e-3, batches of 32. Layer 3 is the code; layer 4 the first of the decoder; the fifth has three outputs.

Two spaces, because without padding only kernels 3 and 5 at stride 1 fit 32 x 32 pixels through two poolings: 1,536 points in
all. Run a seeded sample of them: --max-trials 24 (48 begin with the same 24). Strides above 1 are undone by the upsampling.

Expect: stride 2 and padding `valid` to be stopped early (their codes hold 8 to 1,024 values where `same` at stride 1 holds 512
to 4,096); wide codes to lead, against the published claim that fewer code filters are better. The cpu budget trains on 6,000
images for 4 epochs: good for an order of configurations, not for a comparison with 0.001836.
"""

from ray import tune

from cae import ASHA, Adam, Cifar10, ConvAutoencoder, Reconstruct, Sweep, Trial

filters = {
    "arch.encoder_filters.1": tune.grid_search([8, 16, 32]),
    "arch.encoder_filters.2": tune.grid_search([8, 12, 16, 32]),
    "arch.encoder_filters.3": tune.grid_search([8, 16, 32, 64]),
    "arch.decoder_filters.1": tune.grid_search([12, 16, 32, 64]),
}
same = {"arch.padding": "same", "arch.kernel_size": tune.grid_search([3, 5, 7]), "arch.stride": tune.grid_search([1, 2])}
valid = {"arch.padding": "valid", "arch.kernel_size": tune.grid_search([3, 5]), "arch.stride": 1}

sweep = Sweep(
    title="CIFAR-10 autoencoder grid of report 000",
    base=Trial(
        dataset=Cifar10(split="pooled", val_images=6_000, test_images=6_000),
        task=Reconstruct(loss="mse"),
        arch=ConvAutoencoder(encoder_filters=(8, 12, 16), decoder_filters=(12,)),
        optimizer=Adam(lr=1e-3),
        batch_size=32,
        epochs=10,
    ),
    space=[same | filters, valid | filters],
    scheduler=ASHA(grace_epochs=1, reduction_factor=3),
    budgets={"cpu": {"dataset.train_images": 6_000, "dataset.val_images": 2_000, "dataset.test_images": 2_000, "epochs": 4}},
    published="published/cifar_grid.csv",
)
