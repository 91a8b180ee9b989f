#include "lib/service/smtp/received.h"

#include <gtest/gtest.h>

namespace postern::service {
namespace {

SmtpSessionFacts Facts() {
  auto options = std::make_shared<smtp::ServerOptions>();
  options->hostname = "mx.example.org";
  auto listener = std::make_shared<SmtpListener>();
  listener->options = options;
  SmtpSessionFacts facts;
  facts.listener = listener;
  facts.remote = Endpoint{*IpAddress::Parse("2001:db8::7"), 4711, ""};
  facts.helo = "client.example.net";
  facts.extended = true;
  return facts;
}

const WallTime kWhen = absl::FromUnixSeconds(1'700'000'000);  // Tue, 14 Nov 2023 22:13:20 UTC

TEST(FormatReceived, TellsWhoGaveWhatToWhom) {
  SmtpSessionFacts facts = Facts();
  EXPECT_EQ(FormatReceived(facts, false, "0badcafe", "a@b.example", kWhen, 60),
            "Received: from client.example.net (<unknown> [IPv6:2001:db8::7])\r\n"
            "\tby mx.example.org (Postern) with ESMTP id 0badcafe\r\n"
            "\tfor <a@b.example>;\r\n"
            "\tTue, 14 Nov 2023 23:13:20 +0100\r\n");
}

TEST(FormatReceived, NamesTheLoginAndTlsWhenAsked) {
  SmtpSessionFacts facts = Facts();
  auto listener = std::make_shared<SmtpListener>(*facts.listener);
  listener->mask_source = true;
  listener->received_auth = true;
  facts.listener = listener;
  facts.auth_user = "alice";
  facts.tls =
      rt::TlsInfo{.version = "TLSv1.3", .cipher = "TLS_AES_128_GCM_SHA256", .cipher_bits = 128};
  EXPECT_EQ(FormatReceived(facts, true, "0badcafe", "", kWhen, 0),
            "Received: by mx.example.org (Postern) with UTF8SMTPSA id 0badcafe "
            "(TLSv1.3:TLS_AES_128_GCM_SHA256:128:NO) auth=yes user=alice;\r\n"
            "\tTue, 14 Nov 2023 22:13:20 +0000\r\n");
}

TEST(FormatReceived, NothingFromOutsideEndsTheField) {
  SmtpSessionFacts facts = Facts();
  facts.extended = false;
  facts.helo = "evil\r\nX-Injected: 1 (";
  EXPECT_EQ(FormatReceived(facts, false, "1", "", kWhen, 0),
            "Received: from evil??X-Injected: 1 ? (<unknown> [IPv6:2001:db8::7])\r\n"
            "\tby mx.example.org (Postern) with SMTP id 1;\r\n"
            "\tTue, 14 Nov 2023 22:13:20 +0000\r\n");
}

}  // namespace
}  // namespace postern::service
