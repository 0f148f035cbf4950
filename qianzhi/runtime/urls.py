"""Database URLs: a password put in for a connection, and taken out again for whoever reads messages.

No URL that stands in a file holds a password (it is a reference beside it), and no message shows one.
"""

from urllib.parse import quote, unquote, urlsplit, urlunsplit

POSTGRES = ("postgresql", "postgres")


def is_postgres(url: str) -> bool:
    """Say whether a URL names a PostgreSQL database."""
    return urlsplit(url).scheme in POSTGRES


def with_user(url: str, user: str = "", password: str = "") -> str:
    """Return a PostgreSQL URL for this user (its own, where none is given) with this password."""
    parts = urlsplit(url)
    account, _, hosts = parts.netloc.rpartition("@")
    name, _, held = account.partition(":")
    name, held = (quote(user, safe=""), "") if user else (name, held)
    if password:
        held = quote(password, safe="")
    account = f"{name}:{held}@" if held else f"{name}@" if name else ""
    return urlunsplit(parts._replace(netloc=account + hosts))


def with_database(url: str, database: str) -> str:
    """Return the same URL for another database of the server."""
    return urlunsplit(urlsplit(url)._replace(path="/" + quote(database, safe="")))


def database_of(url: str) -> str:
    """Return the name of the database that a PostgreSQL URL leads to."""
    return unquote(urlsplit(url).path.removeprefix("/"))


def user_of(url: str) -> str:
    """Return the user that a URL names, empty where it names none."""
    return unquote(urlsplit(url).netloc.rpartition("@")[0].partition(":")[0])


def password_of(url: str) -> str:
    """Return the password that stands in a URL, empty where none does."""
    return unquote(urlsplit(url).netloc.rpartition("@")[0].partition(":")[2])


def hosts_of(url: str) -> list[str]:
    """Return the HOST:PORT (or HOST) of each server that a URL names."""
    return [host for host in urlsplit(url).netloc.rpartition("@")[2].split(",") if host]


def with_hosts(url: str, *hosts: str) -> str:
    """Return the same URL for other servers, each HOST or HOST:PORT."""
    parts = urlsplit(url)
    account, at, _ = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=account + at + ",".join(hosts)))


def shown(url: str) -> str:
    """Return a URL without its password and its parameters, for messages."""
    parts = urlsplit(url)
    if not password_of(url) and not parts.query:
        return url
    account, at, hosts = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=account.partition(":")[0] + at + hosts, query=""))
