"""The measures of the latent code. A new module in this package is a new kind of measure."""
