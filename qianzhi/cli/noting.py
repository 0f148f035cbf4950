"""What the command did without a second operator, noted for the audit chain: drains and promotions."""

from typing import TYPE_CHECKING, Any

from qianzhi.cli.daemons import folder_of_sockets
from qianzhi.cli.output import say

if TYPE_CHECKING:
    from qianzhi.link.tables import Site

LATER = "noted; the audit chain has it as soon as a bridge takes it up"


def note(site: "Site", who: str, what: str, detail: dict[str, Any]) -> None:
    """Leave a note that a bridge, of whatever machine, puts into the audit chain within seconds.

    What has been done stands, also when it cannot be noted: that is said.
    """
    from crm_bridge.operators.notes.store import NotesError, new_note, notes_of
    from qianzhi.runtime import clock
    from qianzhi.runtime.secrets import KeyReferenceError

    try:
        notes_of(site).write(new_note(clock.now().wall_us, f"os:{who}", what, detail))
    except (NotesError, KeyReferenceError) as error:
        say(f"NOT noted for the audit chain: {error}")
        return
    if not any((folder_of_sockets(site) / f"{name}.sock").exists() for name in site.bridges):
        say(LATER)
