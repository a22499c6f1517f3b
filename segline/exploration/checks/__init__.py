"""What looks wrong in a data set: a module a subject, each finding with its case, number and remedy."""
