"""Work: what is asked of a model, waiting its turn, computed, kept until it is fetched, and gone."""
