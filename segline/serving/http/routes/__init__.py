"""Routes: what may be asked, each a few lines between a request and the service."""
