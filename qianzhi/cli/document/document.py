"""A bank's interface document put together: the chapters in the order in which a stranger needs them."""

from typing import TYPE_CHECKING

from qianzhi.cli.document.asking import answers, asking, line_of_network, purpose_of_network
from qianzhi.cli.document.authentication import authentication
from qianzhi.cli.document.boundaries import framing
from qianzhi.cli.document.closing import checklist, glossary
from qianzhi.cli.document.codes import codes, limits
from qianzhi.cli.document.exchange import messages
from qianzhi.cli.document.facts import Facts, gather
from qianzhi.cli.document.opening import purpose
from qianzhi.cli.document.outcomes import outcomes
from qianzhi.cli.document.page import Language, Page
from qianzhi.cli.document.places import Where
from qianzhi.cli.document.reaching import transport
from qianzhi.cli.document.sequence import session
from qianzhi.cli.document.specimens import specimens
from qianzhi.cli.document.structure import structure

if TYPE_CHECKING:
    from frontends.profile import Profile

CHAPTERS = (
    purpose,
    transport,
    framing,
    structure,
    session,
    messages,
    asking,
    authentication,
    outcomes,
    codes,
    limits,
    specimens,
    checklist,
    glossary,
)
# Of a network that is only asked by us: what concerns the line, and what we ask.
ASKED_CHAPTERS = (
    purpose_of_network,
    line_of_network,
    framing,
    structure,
    asking,
    authentication,
    answers,
)


def document(profile: "Profile", language: Language, where: Where | None = None) -> str:
    """Return the interface document of a bank as Markdown; the same profile and place give the same bytes."""
    return written(gather(profile, where), language)


def written(facts: Facts, language: Language) -> str:
    """Return the document of facts that are gathered already."""
    page = Page(language)
    for chapter in CHAPTERS if facts.profile.table.transactions else ASKED_CHAPTERS:
        chapter(page, facts)
    return page.finished()
