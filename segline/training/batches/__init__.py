"""What a training step is given: patches, augmented, cut ahead of the step."""
