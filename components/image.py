"""The image that the components run in."""

from segline import __version__

BASE_IMAGE = f"segline-base:{__version__}"
