"""Where alerts and reports go: the `channel` table, one model for each kind."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, HttpUrl

from runlake.config.alerting import Name, Patterns, Severity, Table
from runlake.connector import BaseUrl
from runlake.secret import Secret

Address = Annotated[str, Field(pattern=r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9.-]+$", max_length=254)]
"""Of a mailbox, in ASCII and without a name: nothing in it ends a header or begins another recipient."""


class Channel(Table):
    """Where alerts go. `kind` says how."""

    takes_reports: ClassVar[bool] = True

    name: Name = Field(description="What you call the channel; unique.")
    kind: str = Field(description="How it is reached.")
    severity: Severity = Field(default=Severity.INFO, description="Only what is at least as severe.")
    owners: Patterns = Field(default_factory=list, description="Only what is theirs: patterns. Default: all.")
    rules: Patterns = Field(default_factory=list, description="Only of these rules: patterns. Default: all.")
    per_hour: int = Field(
        default=60, ge=1, le=10_000, description="Messages in an hour; what is beyond waits, and shares the next."
    )
    digest: bool = Field(default=True, description="Whether it gets the daily digest.")


class Apprise(Channel):
    """Slack, Teams, Telegram, mail and a hundred others, by an Apprise URL."""

    kind: Literal["apprise"]
    url: Secret = Field(description="As Apprise documents it for the service, such as mailtos://user:password@host.")


class Mail(Channel):
    """Mail by an SMTP server of yours, encrypted: reports with their pictures, and alerts."""

    kind: Literal["mail"]
    url: Secret = Field(
        description="smtps://user:password@host:465, or smtp://user:password@host:587, which has to offer STARTTLS."
    )
    sender: Address = Field(description="Whom it is from.")
    to: list[Address] = Field(min_length=1, max_length=100, description="Who gets it: all see each other.")


class Webhook(Channel):
    """A JSON body to an address of yours, signed where there is a secret."""

    kind: Literal["webhook"]
    url: Secret = Field(description="Where to POST.")
    secret: Secret | None = Field(default=None, description="Signs as Standard Webhooks do. Default: unsigned.")


class Alertmanager(Channel):
    """Alertmanager's API v2, which groups and routes by itself."""

    takes_reports = False

    kind: Literal["alertmanager"]
    url: BaseUrl = Field(description="Its address, without /api.")
    token: Secret | None = Field(default=None, description="A bearer token. Default: none.")


class PagerDuty(Channel):
    """PagerDuty's Events API v2."""

    takes_reports = False

    kind: Literal["pagerduty"]
    routing_key: Secret = Field(description="The integration key of a service.")
    url: BaseUrl = Field(
        default=HttpUrl("https://events.pagerduty.com"), description="In the EU: https://events.eu.pagerduty.com."
    )


AnyChannel = Annotated[Apprise | Mail | Webhook | Alertmanager | PagerDuty, Field(discriminator="kind")]
