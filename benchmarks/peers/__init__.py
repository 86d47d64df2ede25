"""The same 24 trials by other runners, each as its own documentation writes it. Every file is a
program."""
