"""What a model learned from, as its package carries it."""

from segline.common.documents import Document
from segline.inference.familiarity.domains import Domain


class LearnedDomain(Document):
    """What the model of one plan learned from, and how far from it is too far.

    It names no case and holds no image: of each case there are its spacing, a few percentiles and a few
    hundred block means.
    """

    kind = "a record of what was learned from"
    stage = "train"

    plan_digest: str
    domain: Domain
