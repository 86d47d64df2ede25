"""Which network removes noise best: report 004's, residual blocks, or U-Net skips?

The task and the plain network are those of report 004 at noise 0.5. The others have the same
filters, with a residual block per layer, with skips from encoder to decoder, or with both. No
published number is reproduced; the claims are our own questions.

Varied: residual blocks and skips, four networks.
Expected: skips help most, because the decoder gets the positions of edges that pooling loses.
Duration: about 3 hours on 2 CPU cores, 5 minutes with `--budget cpu`, which trains on 10,000
images for 8 epochs with three seeds.
"""

from ray import tune

from cae import Adam, BetterThan, ConvAutoencoder, Denoise, Mnist, Sweep, Trial

BLOCKS = "arch.residual_blocks"
SKIPS = "arch.skips"

sweep = Sweep(
    title="Networks that remove noise from MNIST digits",
    base=Trial(
        dataset=Mnist(split="test_as_validation", val_images=10_000),
        task=Denoise(loss="bce", noise_factor=0.5),
        arch=ConvAutoencoder(
            encoder_filters=(16, 16),
            decoder_filters=(16, 16),
            pool_after=(1, 2),
            upsample_after=(1, 2),
        ),
        optimizer=Adam(lr=1e-3),
        batch_size=128,
        epochs=30,
    ),
    space={
        BLOCKS: tune.grid_search([0, 1]),
        SKIPS: tune.grid_search([False, True]),
    },
    seeds=3,
    budgets={"cpu": {"dataset.train_images": 10_000, "epochs": 8}},
    claims=[
        BetterThan(
            id="residual",
            text="Residual blocks raise the PSNR of the validation images.",
            metric="val_psnr",
            this={BLOCKS: 1, SKIPS: False},
            that={BLOCKS: 0, SKIPS: False},
        ),
        BetterThan(
            id="skips",
            text="Skips raise the PSNR of the validation images.",
            metric="val_psnr",
            this={BLOCKS: 0, SKIPS: True},
            that={BLOCKS: 0, SKIPS: False},
        ),
        BetterThan(
            id="both",
            text="Residual blocks raise the PSNR of a network with skips, too.",
            metric="val_psnr",
            this={BLOCKS: 1, SKIPS: True},
            that={BLOCKS: 0, SKIPS: True},
        ),
    ],
)
