"""The same 24 trials with several runners, each as in its documentation.

Every file but trials.py and the two sweep files is a program.
"""
