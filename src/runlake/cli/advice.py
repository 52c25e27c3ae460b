"""What a person can do about an error of a source."""

from __future__ import annotations

from runlake.config import Source


def advice(source: Source, error_class: str | None) -> str | None:
    """One sentence, or None where the error says it all."""
    match error_class:
        case "AuthenticationError":
            secrets = secret_places(source)
            return (
                f"renew {' and '.join(secrets) or 'the secret'} of source {source.name}, or its rights at the vendor; "
                f"then: runlake check {source.name}"
            )
        case "RateLimited":
            return (
                f"the vendor's quota is used up: the next sync goes on; to stay below it, give source {source.name} "
                "`requests_per_hour` or a longer `every`"
            )
        case "Unavailable" | "Unreachable":
            return (
                f"the next sync tries again; if it lasts, check `base_url` of source {source.name} and the vendor's "
                "status page"
            )
        case "NotFound":
            return f"check the ids in the settings of source {source.name}"
        case "UnexpectedResponse":
            return (
                "the vendor's answers are not as documented: check `base_url`; if that is right, the connector needs a "
                "change"
            )
    return None


def secret_places(source: Source) -> list[str]:
    """Where each secret of a source is kept: ``token (env ACME_TOKEN)``. Never a value."""
    return [
        f"{key} ({kind} {value[kind]})"
        for key, value in source.settings.items()
        if isinstance(value, dict) and len(value) == 1
        for kind in value
        if kind in ("env", "file")
    ]
