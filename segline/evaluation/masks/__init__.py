"""What is counted in two masks of a case: overlap, surface distances, confusion."""
