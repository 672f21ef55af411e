"""The models that may be chosen."""

from django.http import HttpRequest
from ninja import Field, Router, Schema

from chat.api.auth import SignedIn
from chat.api.paging import Page
from chat.assistant.model_config import configured
from chat.models.token import Scope

router = Router(tags=["models"], auth=SignedIn(Scope.CHAT))


class ModelReply(Schema):
    """A model that a thread may be given."""

    name: str
    label: str
    is_default: bool = Field(description="Whether it answers where no other is chosen.")


class ModelPage(Page[ModelReply]):
    """A part of a list."""


@router.get("", response=ModelPage)
def list_models(request: HttpRequest) -> Page[ModelReply]:
    """List the models, the default first; none if the offline model answers."""
    models = [
        ModelReply(name=model.name, label=model.label or model.name, is_default=place == 0)
        for place, model in enumerate(configured())
    ]
    return Page[ModelReply](items=models, has_more=False, after=None)
