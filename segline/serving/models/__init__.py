"""Models at work: opened, proven, shared by many volumes, and changed for the next one while they answer."""
