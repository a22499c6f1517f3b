"""A probe of the machine that trains, which picks patch, batch, rate and schedule for a budget."""
