"""Made-up patients, for want of real ones: abdomens in CT with a spleen, chests and brains in MR."""
