"""What a folder declares to hold in its dataset.json, in the wording of the Decathlon or of nnU-Net."""
