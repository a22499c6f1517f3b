"""The parts of the page; each is left out where the data set has nothing for it."""
