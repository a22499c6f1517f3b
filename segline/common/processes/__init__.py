"""Processes that are segline's own: what they import, of what they are forks, and how they end."""
