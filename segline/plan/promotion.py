"""When a newly trained model takes the champion's place."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class PromotionRule(BaseModel):
    """When a newly trained model takes the champion's place; no part of what it was trained under."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    rule: Literal["better", "not_worse_and_faster"] = "better"
    """``not_worse_and_faster`` promotes a better one too."""
    margin: float = Field(default=0.002, ge=0, le=1)
    """Of the mean Dice, by which one that is faster may be worse."""
    faster_by: float = Field(default=0.05, ge=0, lt=1)
    """Share of the champion's time that a faster one must save; repeated timings differ by a few percent."""
    tail_margin: float = Field(default=0.05, ge=0, le=1)
    """Dice that a case of the lower tail may lose."""
    tail_share: float = Field(default=0.1, ge=0, le=1)
    """Of the cases, rounded up and at least one: each model's worst ones are the lower tail."""
    min_cases: int = Field(default=6, ge=2)
    """That a comparison needs. Of five equal models one in 32 is better in every case by chance alone."""
