"""Of predicted classes: figures, confusion and calibration, and what errors look like."""
