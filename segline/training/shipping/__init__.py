"""What a training ships: one network or the mean of several, with the plan that came of it."""
