"""An entry of store-and-forward as operators see it, whichever daemon owns it.  Pure."""

from typing import Any

from qianzhi.saf.rows import Entry


def shown_entry(entry: Entry) -> dict[str, Any]:
    """Return an entry as operators see it."""
    request = entry.request
    return {
        "id": entry.id,
        "destination": entry.destination,
        "kind": request.kind.name.lower(),
        "key": request.key.text,
        "phone": request.phone,
        "amount_fen": request.amount_fen,
        "reason": request.reason,
        "state": entry.state.value,
        "tries": entry.tries,
        "result": entry.result.name.lower() if entry.result is not None else "",
        "why": entry.why,
        "act": entry.act,
        "made_us": entry.made_us,
        "deadline_us": entry.deadline_us,
        "ended_us": entry.ended_us,
    }
