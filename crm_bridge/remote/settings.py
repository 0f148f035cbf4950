"""The table [core.remote] of a site: where the remote core is, and how long and how often it is asked.

Data only; what types cannot say is said by `problems`.
"""

from typing import Annotated
from urllib.parse import urlsplit

from annotated_types import Ge, Le, MinLen

from qianzhi.runtime.problems import Problem
from qianzhi.runtime.table import table


@table
class RemoteTable:
    """[core.remote]: the HTTP core that moves the money when [core] kind is "remote".

    `url` is what stands before the paths of docs/REMOTE_CORE.md; `token` is the reference of the bearer
    token, never the token; `tls` names a table of [tls], which https needs and http refuses.  `batch_max` is
    how many calls go into one batch call (0: the core offers none, single calls go side by side); `window`
    is how many HTTP calls are under way at once.  After `breaker_failures` failures in a row nothing is
    forwarded until the core has answered a probe, which is tried every `breaker_seconds`.
    """

    url: Annotated[str, MinLen(1)]
    token: str = ""
    tls: str = ""
    batch_max: Annotated[int, Ge(0), Le(1_000)] = 100
    window: Annotated[int, Ge(1), Le(256)] = 8
    connect_seconds: Annotated[int, Ge(1), Le(60)] = 2
    call_seconds: Annotated[int, Ge(1), Le(60)] = 3
    idle_seconds: Annotated[int, Ge(1), Le(600)] = 4
    breaker_failures: Annotated[int, Ge(1), Le(1_000)] = 3
    breaker_seconds: Annotated[int, Ge(1), Le(600)] = 2


def problems(remote: RemoteTable, file: str = "site.toml", at: str = "core.remote") -> list[Problem]:
    """Return everything that is wrong with the table beyond its types."""
    found = []
    try:
        parts = urlsplit(remote.url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return [Problem(file, f"{at}.url", "no URL", "http:// or https://, a host, and a port if any")]
    if not usable or parts.query or parts.fragment:
        expected = "http:// or https://, a host, perhaps a port and a path"
        found.append(Problem(file, f"{at}.url", parts.scheme + ":…", expected))
    if parts.username or parts.password:
        found.append(Problem(file, f"{at}.url", "a user or password", "a reference in token instead"))
    if remote.tls and parts.scheme == "http":
        found.append(Problem(file, f"{at}.tls", repr(remote.tls), "no tls, or an url that begins https://"))
    if parts.scheme == "https" and not remote.tls:
        found.append(Problem(file, f"{at}.tls", "nothing", "the name of a table of [tls], for https"))
    if remote.token and remote.token.partition(":")[0] not in ("test", "file", "env"):
        found.append(Problem(file, f"{at}.token", "another text", "test:TEXT, file:PATH or env:NAME"))
    return found
