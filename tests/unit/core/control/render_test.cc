#include "lib/core/control/render.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "lib/core/control/metrics.h"

namespace postern::control {
namespace {

queue::Envelope Example() {
  queue::Envelope envelope;
  envelope.id = 0x7c53a2d1a25d1d4full;
  envelope.kind = queue::Envelope::Kind::kRelay;
  envelope.sender.address = *mail::ParseAddress("gilles@opensmtpd.org");
  envelope.recipient = *mail::ParseAddress("chl@example.com");
  envelope.destination = envelope.recipient;
  envelope.client.address = IpAddress::V4(192, 0, 2, 7);
  envelope.authenticated = true;
  envelope.created = absl::FromUnixSeconds(1333036231);
  envelope.ttl = absl::Hours(96);
  envelope.next_attempt = absl::FromUnixSeconds(1333036631);
  envelope.last_error = "Network error on destination MXs";
  return envelope;
}

// The listing of the tutorials: expire is ctime + four days, and last-try 0 before any.
TEST(QueueLines, AreSmtpctls) {
  queue::Envelope envelope = Example();
  QueueRow row;
  row.now = absl::FromUnixSeconds(1333036251);
  EXPECT_EQ(QueueLine(envelope, row),
            "7c53a2d1a25d1d4f|inet4|mta|auth|gilles@opensmtpd.org|chl@example.com|chl@example.com|"
            "1333036231|1333381831|0|0|pending|380|Network error on destination MXs\n");
  row.state = QueueRow::State::kInFlight;
  row.started = absl::FromUnixSeconds(1333036250);
  envelope.attempts = 2;
  envelope.bounce = true;
  envelope.held = true;
  envelope.sender.address = mail::Address();
  EXPECT_EQ(QueueLine(envelope, row),
            "7c53a2d1a25d1d4f|inet4|bounce|bounce,auth,suspend|@|chl@example.com|chl@example.com|"
            "1333036231|1333381831|1333036250|2|inflight|1|Network error on destination MXs\n");
  row.state = QueueRow::State::kOffline;
  EXPECT_NE(QueueLine(envelope, row).find("|offline||"), std::string::npos);
}

TEST(QueueLines, StayOneLineOfFourteenFieldsWhateverAServerSays) {
  queue::Envelope envelope = Example();
  envelope.last_error = "550 a|b\r\n\x1b]0;title\x07";
  const std::string line = QueueLine(envelope, QueueRow());
  EXPECT_EQ(std::count(line.begin(), line.end(), '|'), 13);
  EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1);
  EXPECT_EQ(line.find('\x1b'), std::string::npos);
  EXPECT_EQ(line.find('\r'), std::string::npos);
}

TEST(Stats, ComeByKeyAndTheUptimeLast) {
  StatBook book;
  book.Add("smtp.session", 1);
  book.Add("control.session", 1);
  EXPECT_EQ(StatsText(book, 9 * 86400 + 4 * 60 + 21),
            "control.session=1\nsmtp.session=1\nuptime=777861\nuptime.human=9d4m21s\n");
  EXPECT_EQ(UptimeText(3600), "1h");
}

LogRecord Record(std::string_view subsystem, std::string event, std::vector<LogField> fields) {
  LogRecord record;
  record.subsystem = subsystem;
  record.event = std::move(event);
  record.fields = std::move(fields);
  return record;
}

TEST(Stats, AreWhatTheRecordsTell) {
  StatBook book;
  book.Count(Record("smtp", "connected", {{"address", "192.0.2.1"}}));
  book.Count(Record("smtp", "connected", {{"address", "local"}}));
  book.Count(Record("smtp", "disconnected", {}));
  book.Count(Record("smtp", "authentication", {{"result", "permfail"}}));
  book.Count(Record("smtp", "failed-command", {{"command", "message"}}));
  book.Count(Record("mta", "delivery", {{"delay", "1h2s"}, {"result", "Ok"}}));
  book.Count(Record("mda", "delivery", {{"result", "PermFail"}, {"stat", "Loop detected"}}));
  EXPECT_EQ(book.Get("smtp.session"), 1);
  EXPECT_EQ(book.Get("smtp.session.inet4"), 1);
  EXPECT_EQ(book.Get("smtp.session.local"), 1);
  EXPECT_EQ(book.Get("smtp.auth.permfail"), 1);
  EXPECT_EQ(book.Get("smtp.message.refused"), 1);
  EXPECT_EQ(book.Get("scheduler.delivery.ok"), 1);
  EXPECT_EQ(book.Get("scheduler.delivery.loop"), 1);
  EXPECT_EQ(book.relay_delay.sum_seconds, 3602);
  EXPECT_EQ(book.local_delay.count, 0u);
}

TEST(Metrics, AreOpenMetrics) {
  StatBook book;
  book.Add("smtp.session.inet4", 3);
  book.Add("mta.delivery.tempfail", 2);
  book.relay_delay.Add(30);
  const std::string text = OpenMetrics(book);
  EXPECT_NE(text.find("# TYPE postern_smtp_connections counter\n"), std::string::npos);
  EXPECT_NE(text.find("postern_smtp_connections_total{source=\"inet4\"} 3\n"), std::string::npos);
  EXPECT_NE(text.find("postern_deliveries_total{by=\"mta\",result=\"tempfail\"} 2\n"),
            std::string::npos);
  EXPECT_NE(text.find("postern_delivery_delay_seconds_bucket{by=\"mta\",le=\"60.0\"} 1\n"),
            std::string::npos);
  EXPECT_NE(text.find("postern_delivery_delay_seconds_bucket{by=\"mta\",le=\"10.0\"} 0\n"),
            std::string::npos);
  EXPECT_EQ(text.substr(text.size() - 6), "# EOF\n");
  // Each family is described once.
  EXPECT_EQ(text.find("# TYPE postern_deliveries "), text.rfind("# TYPE postern_deliveries "));
}

TEST(Monitor, HasTheColumnsOfTheTutorials) {
  StatBook before, now;
  now.Set("smtp.session", 2);
  now.Set("smtp.session.total", 5);
  now.Set("scheduler.envelope", 7);
  now.Set("scheduler.delivery.ok", 1);
  now.Set("queue.bounce", 1);
  const std::string header = MonitorHeader();
  EXPECT_EQ(header,
            "--- client ---  -- envelope --   ---- relay/delivery --- ------- misc -------\n"
            "curr conn disc  curr  enq  deq   ok tmpfail prmfail loop expire remove bounce\n");
  const std::string line = MonitorLine(before, now);
  EXPECT_EQ(line,
            "   2    5    3     7    0    0    1       0       0    0      0      0      1\n");
  EXPECT_EQ(line.size(), header.size() / 2);
}

TEST(LfLinesTest, HaveNoCrWhereverTheyAreCut) {
  const std::string text = "a\r\nb\rc\r\r\n\nd\r";
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    LfLines lines;
    std::string out = lines.Take(text.substr(0, cut));
    out += lines.Take(text.substr(cut));
    EXPECT_EQ(out + lines.End(), "a\nb\rc\r\n\nd\r") << cut;
  }
}

}  // namespace
}  // namespace postern::control
