"""Made-up patients, so that the whole line runs without network or patients: an abdomen in CT, brains in MR."""
