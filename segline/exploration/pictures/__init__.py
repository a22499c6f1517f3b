"""Charts, slices and patches of a data set."""
