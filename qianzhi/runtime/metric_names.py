"""Every metric that a daemon may count, declared once; counting anything else is a programmer's error.

Labels are few and bounded (bank, kind, result, reason, …), never a card, phone, key or serial.
"""

from typing import NamedTuple


class Metric(NamedTuple):
    """A metric's meaning, the names of its labels, and for a histogram the upper bounds of its buckets."""

    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)

COUNTERS: dict[str, Metric] = {
    "qianzhi_requests_total": Metric("Requests answered.", ("bank", "kind", "result")),
    "qianzhi_frames_total": Metric("Whole frames or queue messages.", ("bank", "direction")),
    "qianzhi_bad_frames_total": Metric("Frames refused before they were understood.", ("bank", "reason")),
    "qianzhi_alarms_total": Metric("Alarms raised.", ("name",)),
    "qianzhi_connections_total": Metric("Connections accepted or made.", ("listener",)),
    "qianzhi_connections_closed_total": Metric("Connections closed, by reason.", ("listener", "reason")),
    "qianzhi_connections_refused_total": Metric(
        "Connections refused at once, by reason.", ("listener", "reason")
    ),
    "qianzhi_reconnects_total": Metric("Times that a connection of ours is to be made again.", ("listener",)),
    "qianzhi_link_messages_total": Metric("Messages on link.", ("peer", "direction", "what")),
    "qianzhi_link_resends_total": Metric("Requests sent again to a partner.", ("peer",)),
    "qianzhi_link_late_answers_total": Metric(
        "Answers that came after their request was settled.", ("peer",)
    ),
    "qianzhi_link_refused_total": Metric("Link peers refused, by reason.", ("reason",)),
    "qianzhi_late_replies_total": Metric("Replies from further in that came too late to be sent.", ("bank",)),
    "qianzhi_unmatched_replies_total": Metric("Replies of a bank to nothing that we asked.", ("bank",)),
    "qianzhi_outward_total": Metric("Requests that we sent to banks.", ("bank", "kind", "result")),
    "qianzhi_repeats_joined_total": Metric("Repeats that joined their request in flight.", ("bank",)),
    "qianzhi_routed_total": Metric("Requests routed, by where to or why not.", ("bank", "result")),
    "qianzhi_queue_messages_total": Metric("Queue messages, by what became of them.", ("queue", "what")),
    "qianzhi_files_total": Metric("Files of a bank, by what became of them.", ("bank", "what")),
    "qianzhi_session_events_total": Metric("Sign-ons, echoes and key exchanges.", ("bank", "what")),
    "qianzhi_core_results_total": Metric("Requests that the core answered.", ("kind", "result")),
    "qianzhi_core_refusals_total": Metric("Requests that the core did not take, by status.", ("status",)),
    "qianzhi_tls_handshakes_total": Metric("TLS connections that came about.", ("tls", "version")),
    "qianzhi_tls_refused_total": Metric("TLS connections that did not, by reason.", ("tls", "reason")),
    "qianzhi_tls_reloads_total": Metric("Certificates read anew, by what came of it.", ("tls", "what")),
    "qianzhi_remote_calls_total": Metric("Calls to a remote core, by how they ended.", ("call", "outcome")),
    "qianzhi_saf_sends_total": Metric(
        "Entries of store-and-forward that were sent, by first time or repeat.", ("destination", "what")
    ),
    "qianzhi_saf_ended_total": Metric(
        "Entries of store-and-forward by what became of them.", ("destination", "what")
    ),
    "qianzhi_charges_total": Metric("Charges of ours, by what became of them.", ("bank", "what")),
    "qianzhi_core_retries_total": Metric("Batches executed again, by reason.", ("reason",)),
}

GAUGES: dict[str, Metric] = {
    "qianzhi_connections_open": Metric("Connections open now.", ("listener",)),
    "qianzhi_in_flight": Metric("Requests waiting for an answer.", ("bank",)),
    "qianzhi_waiting": Metric("Requests waiting for a writer.", ("writer",)),
    "qianzhi_core_ready": Metric("1 while the bridge's database can be used."),
    "qianzhi_rows_without_part": Metric("Rows of the core whose date has no part of its own."),
    "qianzhi_peers_up": Metric("Link peers that are ready.", ("role",)),
    "qianzhi_remote_open": Metric("1 while requests are forwarded to the remote core.", ()),
    "qianzhi_remote_overdue": Metric("Outcomes of the remote core that stay unknown.", ()),
    "qianzhi_signed_on": Metric("1 while the bank is signed on.", ("bank",)),
    "qianzhi_certificate_expires_seconds": Metric(
        "Time until the first of our certificates (own), authorities (ca) or revocation lists (crl) ends.",
        ("tls", "what"),
    ),
    "qianzhi_broker_ready": Metric("1 while the queue broker can be consumed from and published to."),
    "qianzhi_queue_depth": Metric("Messages waiting in a queue when it was last counted.", ("queue",)),
    "qianzhi_draining": Metric("1 while this daemon drains.", ()),
}

HISTOGRAMS: dict[str, Metric] = {
    "qianzhi_request_seconds": Metric("From first byte read to answer written.", ("bank", "kind"), SECONDS),
    "qianzhi_commit_seconds": Metric("Time of one batch in the core's database.", (), SECONDS),
    "qianzhi_batch_size": Metric("Requests in one batch of the core.", (), SIZES),
    "qianzhi_list_size": Metric("Items that one wake-up completed.", ("stage",), SIZES),
}
