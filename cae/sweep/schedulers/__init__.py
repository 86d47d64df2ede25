"""Early stopping. A scheduler is one file: what a sweep file declares, and the judge that
decides."""
