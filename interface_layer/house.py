"""What a node does on the house's own account: charges, and the entries of store-and-forward.

Pure.  `House` has the stores' side (`on_stored`, `on_loaded`, `on_lost`), the peers' side through
`node.Node`, which joins it to the dispatcher, and the operators' side:

    charge      bank, phone, amount_fen, order (unique, for ever: asked again it says how it stands), number="",
                agreement="", wait=true   → {"order", "key", "state", "result", "reason", "work_order", …}
    charges     order="", state="", bank="", limit=100          → {"charges": [...], "counts": {state: n}}
    saf_list    destination="", state="", limit=100             → {"entries": [...], "lanes": {...}}
    saf_show    id                                              → the entry, with its request
    saf_retry   id, act, deadline_minutes=0    a manual or quarantined entry is open again
    saf_expire  id, act, why=""                an open entry's time is over now: it is manual
    saf_settle  id, act, why=""                a manual or quarantined entry was settled by hand: ended, mended
    saf_export  destination, date              manual and quarantined entries as a file → {"path", "entries",
                                               "amount_fen", "sha256"}

`act` is the number of the operators' act: the same act is carried out once, and says the same again.  A node
that does not own the entry refuses, and the other one of the group is asked.

A destination is what a front registers as its bank, under the terms of its hello; it is ready while a front
of it is connected and has not said that it drains.  A front whose bank is signed off says DrainNotice(True):
its entries wait then without being tried.
"""
