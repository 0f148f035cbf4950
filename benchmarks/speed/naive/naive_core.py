"""The core of the naive implementation: SQLAlchemy, one transaction for each recharge, eight at a time.

python naive_core.py PORT DATABASE_URL
"""

import sys
from typing import Any

import sqlalchemy as sa
from jsonpipe import JsonLine, serve
from sqlalchemy.exc import IntegrityError
from twisted.internet import reactor
from twisted.internet.threads import deferToThread

CONNECTIONS = 8

TABLES = sa.MetaData()
ACCOUNTS = sa.Table(
    "naive_accounts",
    TABLES,
    sa.Column("phone", sa.Text, primary_key=True),
    sa.Column("balance_fen", sa.BigInteger, nullable=False),
)
JOURNAL = sa.Table(
    "naive_journal",
    TABLES,
    sa.Column("space", sa.Text, primary_key=True),
    sa.Column("business_date", sa.Text, primary_key=True),
    sa.Column("serial", sa.Text, primary_key=True),
    sa.Column("phone", sa.Text, nullable=False),
    sa.Column("amount_fen", sa.BigInteger, nullable=False),
    sa.Column("order_number", sa.BigInteger, sa.Identity(), nullable=False),
)
ENTRIES = sa.Table(
    "naive_entries",
    TABLES,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("phone", sa.Text, nullable=False),
    sa.Column("amount_fen", sa.BigInteger, nullable=False),
    sa.Column("order_number", sa.BigInteger, nullable=False),
)


class InterfaceLine(JsonLine):
    """The interface layer's connection."""

    def on_json(self, message: dict[str, Any]) -> None:
        """Carry a request out in a thread, then answer."""
        deferToThread(recharge, message).addCallback(self.send_json)


def recharge(message: dict[str, Any]) -> dict[str, Any]:
    """Carry out one recharge in a transaction of its own."""
    try:
        with ENGINE.begin() as connection:
            row = connection.execute(
                sa.insert(JOURNAL)
                .values(
                    space=message["space"],
                    business_date=message["date"],
                    serial=message["serial"],
                    phone=message["phone"],
                    amount_fen=message["amount_fen"],
                )
                .returning(JOURNAL.c.order_number)
            ).one()
            balance = connection.execute(
                sa.update(ACCOUNTS)
                .where(ACCOUNTS.c.phone == message["phone"])
                .values(balance_fen=ACCOUNTS.c.balance_fen + message["amount_fen"])
                .returning(ACCOUNTS.c.balance_fen)
            ).one()
            connection.execute(
                sa.insert(ENTRIES).values(
                    phone=message["phone"], amount_fen=message["amount_fen"], order_number=row.order_number
                )
            )
    except IntegrityError:
        return {"id": message["id"], "result": "94"}
    return {
        "id": message["id"],
        "result": "00",
        "order": f"{row.order_number:012d}",
        "balance_fen": balance.balance_fen,
    }


ENGINE = sa.create_engine(sys.argv[2], pool_size=CONNECTIONS, max_overflow=0)
reactor.suggestThreadPoolSize(CONNECTIONS)
serve(int(sys.argv[1]), InterfaceLine)
