"""What this machine has and can do: devices, memory, the GPU's meter, with the reason for each no.

Knows nothing of plans, volumes or models.
"""
