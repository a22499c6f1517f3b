"""A made-up abdomen: CT-like cases with a spleen, so that the whole line runs without network or patients."""
