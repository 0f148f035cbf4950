"""The names of one bank's queues on a queue manager of IBM MQ.  Pure.

    main    <PREFIX><BANK>        control    <PREFIX><BANK>.CTL
    backout <PREFIX><BANK>.BO     answers    <PREFIX><BANK>.REPLY…

Names are in capitals, because MQSC folds what is not in quotes; at most 48 characters, as everywhere in MQ.
"""

from typing import NamedTuple

NAME_CHARACTERS_MAX = 48


class IbmmqNames(NamedTuple):
    """The queues that belong to one bank."""

    main: str
    control: str
    backout: str
    reply: str

    def may_reply_to(self, name: str) -> bool:
        """Say whether a reply of ours may go there: to a queue of this bank."""
        return name == self.reply or name.startswith(self.reply + ".")


def ibmmq_names(prefix: str, bank: str) -> IbmmqNames:
    """Return the names of a bank under a site's prefix; raises ValueError for one that MQ does not take."""
    main = (prefix + bank).upper()
    names = IbmmqNames(main, f"{main}.CTL", f"{main}.BO", f"{main}.REPLY")
    longest = max(names, key=len)
    if len(longest) > NAME_CHARACTERS_MAX:
        raise ValueError(f"a queue's name has at most {NAME_CHARACTERS_MAX} characters, found {longest!r}")
    return names
