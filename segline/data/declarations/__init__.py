"""What a folder declares to hold: in its dataset.json, or by the names of its folders."""
