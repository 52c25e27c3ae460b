"""The only importer of httpx: signing, budget, retry, caps and redaction for one source's requests.

What a connector gets is `VendorHttp`. Every way in which an exchange can end badly becomes one of the errors of
`errors.py`; nothing of httpx leaves this folder. A request goes to the configured origin (scheme, host, port) or
nowhere: absolute links and redirects to any other are refused before a byte is sent. What alerting sends goes by
`post`, to the address that the user wrote and to no other.
"""

from runlake.http.address import path
from runlake.http.answer import brief, cause_of, redact
from runlake.http.budget import Budget, Claim, claim
from runlake.http.client import HttpLimits, Traffic, VendorHttp, asked, first_asked, unreadable
from runlake.http.control import DaemonClient, control_path
from runlake.http.post import is_web, pieces, ping, post
from runlake.http.sign import Login, Sign, api_key, bearer
from runlake.http.tls import tls

__all__ = [
    "Budget",
    "Claim",
    "DaemonClient",
    "HttpLimits",
    "Login",
    "Sign",
    "Traffic",
    "VendorHttp",
    "api_key",
    "asked",
    "bearer",
    "brief",
    "cause_of",
    "claim",
    "control_path",
    "first_asked",
    "is_web",
    "path",
    "pieces",
    "ping",
    "post",
    "redact",
    "tls",
    "unreadable",
]
