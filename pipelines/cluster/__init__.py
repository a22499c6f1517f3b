"""What Kubernetes must offer: the names that everything goes by there, the API, and what is missing."""
