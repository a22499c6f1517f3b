"""Charts, slices and the turning view of a report."""
