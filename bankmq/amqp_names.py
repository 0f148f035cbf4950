"""The names of one bank's queues, exchange and user on RabbitMQ, and who may do what with them.  Pure.

    bank-<bank> ──▶ <prefix><bank>.in ──┬─▶ <prefix><bank>       main          expired, or failed too often:
                    (direct exchange)   └─▶ <prefix><bank>.ctl   control   ──▶ <prefix><bank>.dlq
                                                                   our front ─▶ <prefix><bank>.bo
    our replies ──▶ default exchange ─────▶ <prefix><bank>.reply…

The default exchange cannot be limited to one bank's queues, so a bank never publishes to it: its user may
write to its own exchange alone, and read and make only queues of its own that begin with `….reply`.
"""

import re
from typing import NamedTuple

from bankmq.amqp_messages import DIRECT_REPLY, Queue, Topology
from bankmq.queue import CONTROL_SUFFIX


class User(NamedTuple):
    """A user of the broker with its permission patterns, as RabbitMQ takes them."""

    name: str
    configure: str
    write: str
    read: str


class BankNames(NamedTuple):
    """The names that belong to one bank; the main and the control queue are routing keys too."""

    main: str
    control: str
    backout: str
    dead: str
    exchange: str
    reply: str
    user: str

    def may_reply_to(self, name: str) -> bool:
        """Say whether a reply of ours may go there: to a queue of this bank, or to its connection."""
        direct = name == DIRECT_REPLY or name.startswith(DIRECT_REPLY + ".")
        return direct or name.startswith(self.reply)


def bank_names(prefix: str, bank: str) -> BankNames:
    """Return the names of a bank under a site's prefix."""
    main = prefix + bank
    return BankNames(
        main=main,
        control=main + CONTROL_SUFFIX,
        backout=main + ".bo",
        dead=main + ".dlq",
        exchange=main + ".in",
        reply=main + ".reply",
        user=f"bank-{bank}",
    )


def bank_topology(names: BankNames, delivery_limit: int, one_queue: bool = False) -> Topology:
    """Return what our front declares: quorum queues, durable, with at-least-once dead-lettering."""
    served = (names.main,) if one_queue else (names.main, names.control)
    arguments: dict[str, str | int] = {
        "x-queue-type": "quorum",
        "x-delivery-limit": delivery_limit,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": names.dead,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }
    kept: dict[str, str | int] = {"x-queue-type": "quorum"}
    return Topology(
        exchanges=(names.exchange,),
        queues=(
            Queue(names.backout, kept),
            Queue(names.dead, kept),
            *(Queue(queue, arguments) for queue in served),
        ),
        bindings=tuple((queue, names.exchange, queue) for queue in served),
    )


def reply_topology(names: BankNames, suffix: str) -> Topology:
    """Return what a bank declares: a durable queue for its replies."""
    return Topology(queues=(Queue(names.reply + suffix, {"x-queue-type": "quorum"}),))


def bank_user(names: BankNames) -> User:
    """Return the bank's own user: it makes and reads its reply queues, and writes to its exchange alone."""
    replies = f"^{re.escape(names.reply)}.*$"
    return User(names.user, replies, f"^{re.escape(names.exchange)}$", replies)


def our_user(name: str) -> User:
    """Return our fronts' user, which declares and serves everything in its virtual host."""
    return User(name, ".*", ".*", ".*")
