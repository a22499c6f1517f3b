"""HTTP: what is sent is taken in within limits, answered by the live model, and told of in one line."""
