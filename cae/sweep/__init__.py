"""Many trials: from a sweep file to a finished run. The only package that imports ray."""

from cae.sweep.ray_environment import set_ray_environment

set_ray_environment()  # Ray reads these variables when it is imported.
