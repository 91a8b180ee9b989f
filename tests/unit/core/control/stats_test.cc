// What the book of counts makes of the log's records.
#include "lib/core/control/stats.h"

#include <gtest/gtest.h>

#include "lib/core/control/metrics.h"

namespace postern::control {
namespace {

LogRecord Of(std::string_view subsystem, std::string session, std::string event,
             std::vector<LogField> fields = {}) {
  LogRecord record;
  record.subsystem = subsystem;
  record.session = std::move(session);
  record.event = std::move(event);
  record.fields = std::move(fields);
  return record;
}

TEST(Stats, SessionsWithTlsAreThoseThatAreOpen) {
  StatBook book;
  book.Count(Of("smtp", "a", "tls", {{"ciphers", "x"}}));
  book.Count(Of("smtp", "b", "tls", {{"ciphers", "x"}, {"mode", "smtps"}}));
  book.Count(Of("smtp", "b", "tls", {{"ciphers", "x"}}));  // one session is one
  book.Count(Of("smtp", "c", "connected", {{"address", "192.0.2.1"}}));
  EXPECT_EQ(book.Get("smtp.tls"), 1);
  EXPECT_EQ(book.Get("smtp.smtps"), 1);
  for (const char* session : {"a", "c", "b", "b"})
    book.Count(Of("smtp", session, "disconnected", {{"reason", "quit"}}));
  EXPECT_EQ(book.Get("smtp.tls"), 0);
  EXPECT_EQ(book.Get("smtp.smtps"), 0);
  EXPECT_NE(OpenMetrics(book).find("postern_smtp_tls_handshakes_total{result=\"ok\"} 3\n"),
            std::string::npos);
}

TEST(Stats, FiltersThatEndAreLateOrRefuse) {
  StatBook book;
  book.Count(Of("filter", "", "program-ended", {{"filter", "f"}, {"reason", "exit 1"}}));
  book.Count(Of("filter", "", "slow", {{"filter", "f"}}));
  book.Count(Of("filter", "", "ready", {{"filter", "f"}}));
  book.Count(Of("smtp", "a", "filter-failed", {{"filter", "m"}}));
  book.Count(Of("smtp", "a", "failed-command", {{"command", "DATA"}, {"reason", "filter f"}}));
  book.Count(Of("smtp", "a", "failed-command", {{"command", "DATA"}, {"reason", "a rule"}}));
  const std::string text = OpenMetrics(book);
  for (const char* line :
       {"postern_filter_programs_ended_total 1\n", "postern_filter_slow_answers_total 1\n",
        "postern_filter_failures_total 1\n", "postern_filter_refusals_total 1\n"})
    EXPECT_NE(text.find(line), std::string::npos) << text;
}

}  // namespace
}  // namespace postern::control
