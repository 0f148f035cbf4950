"""`qianzhi docs`: the interface document for a bank's engineers, on standard output."""

from typing import TYPE_CHECKING

from qianzhi.cli.output import USAGE, CommandError, say
from qianzhi.runtime.problems import ConfigError

if TYPE_CHECKING:
    from qianzhi.cli.chosen import Chosen
    from qianzhi.cli.document.page import Language
    from qianzhi.link.tables import Site

FORMATS = ("md", "html")
LANGUAGES: "tuple[Language, ...]" = ("en", "zh")


def docs_command(chosen: "Chosen", bank: str, form: str, lang: str) -> None:
    """Print a bank's document; raises CommandError for a bank, format or language that there is not."""
    from frontends.profile import load_profile
    from qianzhi.cli.document.document import document
    from qianzhi.cli.document.places import where_of

    language = next((one for one in LANGUAGES if one == lang), None)
    if language is None:
        raise CommandError(USAGE, f"no language {lang!r}", f"one of {', '.join(LANGUAGES)}")
    if form not in FORMATS:
        raise CommandError(USAGE, f"no format {form!r}", f"one of {', '.join(FORMATS)}")
    names = sorted(path.stem for path in (chosen.config / "banks").glob("*.toml"))
    if bank not in names:
        raise CommandError(USAGE, f"there is no bank {bank!r}", f"there are {', '.join(names)}")
    site = _site(chosen, bank)
    profile, problems = load_profile(chosen.config, bank, site, with_keys=False)
    if profile is None:
        raise ConfigError(problems)
    text = document(profile, language, where_of(site, profile) if site is not None else None)
    if form == "html":
        from qianzhi.cli.document.html import to_html

        text = to_html(text, language)
    say(text.rstrip("\n"))


def _site(chosen: "Chosen", bank: str) -> "Site | None":
    """Return the site whose addresses the document tells, None where there is none: the default site cannot
    be read, or the site does not serve this bank.

    Raises ConfigError for a site that was asked for and cannot be read.
    """
    from qianzhi.link.site import load_site

    site, problems = load_site(chosen.config, chosen.site or None)
    if site is None and chosen.site:
        raise ConfigError(problems)
    return site if site is not None and bank in site.banks else None
