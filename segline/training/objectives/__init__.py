"""What a network learns of its cases, and how well it has: one class for each kind of task."""
