#include "lib/core/control/metrics.h"

#include "lib/core/base/strings.h"

namespace postern::control {
namespace {

// A row is one series. Rows of one family stand together; the first says what it is.
struct Row {
  const char* stat;    // the name in the book
  const char* family;  // without "postern_"
  const char* labels;  // as they stand in the text
  const char* help;
  bool counter;
};

constexpr Row kRows[] = {
    {"smtp.session", "smtp_sessions", "", "SMTP sessions now", false},
    {"smtp.session.inet4", "smtp_connections", "{source=\"inet4\"}", "SMTP sessions begun", true},
    {"smtp.session.inet6", "smtp_connections", "{source=\"inet6\"}", "", true},
    {"smtp.session.local", "smtp_connections", "{source=\"local\"}", "", true},
    {"smtp.tls.ok", "smtp_tls_handshakes", "{result=\"ok\"}", "TLS handshakes with clients", true},
    {"smtp.tls.failed", "smtp_tls_handshakes", "{result=\"failed\"}", "", true},
    {"smtp.message.accepted", "smtp_messages", "{result=\"accepted\"}",
     "Messages that clients sent whole", true},
    {"smtp.message.refused", "smtp_messages", "{result=\"refused\"}", "", true},
    {"smtp.command.refused", "smtp_commands_refused", "",
     "Commands that were answered with 4xx or 5xx", true},
    {"smtp.auth.ok", "smtp_logins", "{result=\"ok\"}", "Logins over SMTP", true},
    {"smtp.auth.permfail", "smtp_logins", "{result=\"refused\"}", "", true},
    {"smtp.auth.tempfail", "smtp_logins", "{result=\"failed\"}", "", true},
    {"filter.refused", "filter_refusals", "", "Steps of clients that a filter refused", true},
    {"filter.failed", "filter_failures", "", "Questions that a milter did not answer", true},
    {"filter.slow", "filter_slow_answers", "", "Answers that a filter program owes past its time",
     true},
    {"filter.ended", "filter_programs_ended", "", "Filter programs that ended or were given up",
     true},
    {"imap.session", "imap_sessions", "", "IMAP sessions now", false},
    {"imap.session.total", "imap_connections", "", "IMAP sessions begun", true},
    {"imap.auth.ok", "imap_logins", "{result=\"ok\"}", "Logins over IMAP", true},
    {"imap.auth.failed", "imap_logins", "{result=\"refused\"}", "", true},
    {"mda.delivery.ok", "deliveries", "{by=\"mda\",result=\"ok\"}", "Delivery attempts", true},
    {"mda.delivery.tempfail", "deliveries", "{by=\"mda\",result=\"tempfail\"}", "", true},
    {"mda.delivery.permfail", "deliveries", "{by=\"mda\",result=\"permfail\"}", "", true},
    {"mta.delivery.ok", "deliveries", "{by=\"mta\",result=\"ok\"}", "", true},
    {"mta.delivery.tempfail", "deliveries", "{by=\"mta\",result=\"tempfail\"}", "", true},
    {"mta.delivery.permfail", "deliveries", "{by=\"mta\",result=\"permfail\"}", "", true},
    {"scheduler.envelope.expired", "envelopes_expired", "", "Envelopes whose time was up", true},
    {"scheduler.envelope.removed", "envelopes_removed", "", "Envelopes that the operator removed",
     true},
    {"queue.bounce", "notices", "", "Notices queued to senders", true},
    {"queue.message", "queue_messages", "", "Messages in the queue", false},
    {"scheduler.envelope", "queue_envelopes", "", "Envelopes in the queue", false},
    {"scheduler.envelope.inflight", "queue_envelopes_in_flight", "", "Envelopes being delivered",
     false},
    {"queue.held", "queue_envelopes_held", "", "Envelopes that the operator paused", false},
    {"queue.parked", "queue_envelopes_parked", "", "Envelopes set aside for damage on the disk",
     false},
    {"queue.commit", "queue_commits", "", "Messages committed to the queue", true},
    {"queue.commit.failed", "queue_commits_failed", "", "Messages that could not be committed",
     true},
    {"queue.transaction", "queue_transactions", "", "Synced transactions of the queue", true},
    {"queue.healthy", "queue_healthy", "", "1 when the queue's last write went well", false},
    {"mta.session", "mta_sessions", "", "Connections to other servers now", false},
    {"control.session", "control_sessions", "", "Sessions on the control socket now", false},
    {"uptime", "uptime_seconds", "", "Seconds since the start", false},
};

void WriteHead(std::string* out, std::string_view family, std::string_view type,
               std::string_view help) {
  StrAppend(*out, "# TYPE postern_", family, " ", type, "\n# HELP postern_", family, " ", help,
            "\n");
}

void WriteHistogram(std::string* out, std::string_view by, const Histogram& histogram) {
  for (size_t i = 0; i < Histogram::kBounds.size(); ++i) {
    StrAppend(*out, "postern_delivery_delay_seconds_bucket{by=\"", by, "\",le=\"",
              Histogram::kBounds[i], ".0\"} ", histogram.buckets[i], "\n");
  }
  StrAppend(*out, "postern_delivery_delay_seconds_bucket{by=\"", by, "\",le=\"+Inf\"} ",
            histogram.count, "\n");
  StrAppend(*out, "postern_delivery_delay_seconds_count{by=\"", by, "\"} ", histogram.count, "\n");
  StrAppend(*out, "postern_delivery_delay_seconds_sum{by=\"", by, "\"} ", histogram.sum_seconds,
            "\n");
}

}  // namespace

std::string OpenMetrics(const StatBook& book) {
  std::string out;
  std::string_view family;
  for (const Row& row : kRows) {
    if (family != row.family) {
      family = row.family;
      WriteHead(&out, family, row.counter ? "counter" : "gauge", row.help);
    }
    StrAppend(out, "postern_", family, row.counter ? "_total" : "", row.labels, " ",
              book.Get(row.stat), "\n");
  }
  WriteHead(&out, "delivery_delay_seconds", "histogram",
            "Seconds from the 250 to the delivery, of what was delivered");
  WriteHistogram(&out, "mda", book.local_delay);
  WriteHistogram(&out, "mta", book.relay_delay);
  out += "# EOF\n";
  return out;
}

}  // namespace postern::control
