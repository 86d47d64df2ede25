"""The files of a run: paths, journal, records, status and ranking. Neither torch nor ray."""
