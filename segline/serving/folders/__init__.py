"""A model at work on a whole folder: every image below it answered, whatever is wrong with some of them."""
