"""Made-up patients, for the whole line to run without network or patients: an abdomen in CT, brains in MR."""
