"""Sentences about the results of cae.report.statistics, which returns numbers and enums.

One module per answer. The sections of the page and the exporters print these sentences.
"""
