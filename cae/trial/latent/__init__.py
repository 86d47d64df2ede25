"""Measures of the latent code at the end of a trial, beside those of codes that need no training.

declaration.py  what a measure declares, and the names of its floors
sample.py       the images that are encoded, and what a measure receives
floors.py       the codes beside it: principal components, a random encoder, pixels
final.py        measuring a trained network
measures/       one module per kind of measure
"""
