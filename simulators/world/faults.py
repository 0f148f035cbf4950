"""Faults as data: what goes wrong, where, from when to when and how strongly.

Pure.  A plan is a list of these; a run applies each to its target when its time comes, and takes it back at
its end.  Every part of the world that can fail has `begin(fault)` and `end(fault)`.
"""

from typing import NamedTuple, Protocol


class Fault(NamedTuple):
    """One fault: `strength` is in a thousand where it happens by chance, else what the kind says.

    `target` names a part of the world: a process, "network", "disk/NAME", "database", "broker".
    `other` is the second end of a cut; empty for everybody.
    """

    kind: str
    target: str
    at_us: int
    for_us: int
    strength: int = 0
    other: str = ""

    @property
    def text(self) -> str:
        """The fault in words, for timelines."""
        where = f"{self.target}→{self.other}" if self.other else self.target
        much = f" {self.strength}" if self.strength else ""
        return f"{self.kind}{much} at {where} for {self.for_us / 1_000_000:.3f} s"


class Part(Protocol):
    """A part of the world that can fail."""

    def begin_fault(self, fault: Fault) -> None:
        """Let a fault begin."""

    def end_fault(self, fault: Fault) -> None:
        """Let it be over; called once for each `begin_fault`, also where the run heals all at once."""


# By target: the kinds that a part must know.  The plan draws from this table, so a row here is a promise of
# the part's owner.  `strength` is per mille of operations where not said otherwise.
PROCESS_FAULTS = {
    "kill": "dies between two effects and starts again after for_us; strength: how many effects it lives on",
    "freeze": "stands still for for_us; strength: how many effects it lives on",
    "clock_jump": "its wall clock jumps by strength seconds (also below 0), back at the end",
    "drain": "is drained (stand_by) and comes back",
}
OUTWARD_FAULTS = {
    "signed_off": "a network that we ask for money closes its line for for_us",
    "deaf": "it stands still for for_us, which no healing ends",
}
NETWORK_FAULTS = {
    "slow": "bytes take up to strength ms longer",
    "lossy": "so many in a thousand writes are lost on the way, so that they come a second or more late",
    "split": "writes arrive in pieces, down to a byte at a time",
    "cut": "no byte passes between target and other in either direction",
    "cut_one_way": "no byte passes from target to other",
    "reset": "connections of target break; strength: of a thousand, per second",
    "bank_frames_lost": "a bank's frame, either way, never arrives",
    "bank_frames_twice": "a bank's frame arrives twice",
    "bank_frames_late": "a bank's frame arrives up to 90 s late, after others",
    "bank_frames_broken": "a byte of a bank's frame is another one, or some are missing or too many",
}
DISK_FAULTS = {
    "disk_full": "nothing can be written",
    "disk_slow": "a store's write takes up to strength ms longer",
    "torn": "what is being written when a process dies is there in part, rows of a store whole; per death",
}
DATABASE_FAULTS = {
    "deadlock": "a transaction is rolled back as a deadlock's victim",
    "serialization": "a transaction fails to serialize",
    "commit_unknown_written": "a COMMIT's answer is lost, and it was written, at once or seconds later",
    "commit_unknown_lost": "a COMMIT's answer is lost, and nothing was written",
    "slow_database": "statements take up to strength ms longer",
    "database_restart": "all connections break, and nobody connects for for_us",
    "failover": "the primary is gone; a synchronous standby is promoted after for_us",
    "standby_cut": "the standby is not reached: COMMITs wait for it, and after 5 s are told as uncertain",
    "read_only": "nothing can be written",
    "database_full": "no room: OutOfSpaceError",
    "bad_row": "so many in a thousand requests for money load an account whose limit is not what it was",
    "bad_request": "so many in a thousand requests raise an unforeseen error when they are carried out",
}
BROKER_FAULTS = {
    "redelivery": "a delivery is given again although it was handled",
    "duplicate": "a message is there twice",
    "confirm_lost": "the broker has taken a publication and its confirm is lost",
    "nack": "the broker refuses a publication",
    "reply_queue_gone": "the bank's reply queue is deleted for for_us: replies come back as unroutable",
    "body_broken": "a message, either way, is damaged as a bank's frame is",
    "queue_gone": "the fronts' queues are deleted with all in them; each front declares its own again",
    "poison": "so many in a thousand messages end every front that handles them",
    "broker_restart": "all connections break, and nobody connects for for_us; durable messages stay",
    "broker_pause": "the broker delivers nothing for for_us",
}
