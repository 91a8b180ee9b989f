#include "lib/core/queue/envelope.h"

#include <gtest/gtest.h>

namespace postern::queue {
namespace {

Envelope Full() {
  Envelope e;
  e.sender.address = mail::Address{"a\"b\r\n", "example.org"};
  e.sender.body = mail::BodyType::k8BitMime;
  e.sender.smtputf8 = true;
  e.sender.declared_size_bytes = 12345;
  e.sender.dsn_return = mail::DsnReturn::kFull;
  e.sender.dsn_envelope_id = std::string("x\0y", 3);
  e.sender.auth = "<>";
  e.recipient = mail::Address{"rcpt", "example.com"};
  e.destination = mail::Address{"dest", "example.net"};
  e.dsn_notify = mail::kNotifySuccess | mail::kNotifyDelay;
  e.dsn_original_recipient = "rfc822;rcpt@example.com";
  e.kind = Envelope::Kind::kRelay;
  e.action = "outbound";
  e.local_kind = Envelope::LocalKind::kCommand;
  e.user = "u";
  e.sub_address = "tag";
  e.path_or_command = "/bin/x";
  e.run_as_daemon = true;
  e.session = "0123456789abcdef";
  e.helo = "he\nlo";
  e.client_name = "<unknown>";
  e.client = Endpoint{*IpAddress::Parse("2001:db8::1"), 4711, ""};
  e.username = "login";
  e.tag = "T";
  e.server_name = "mx.example.org";
  e.authenticated = e.internal = e.bounce = e.expanded = true;
  e.created = absl::FromUnixMicros(1700000000123456);
  e.ttl = absl::Hours(4);
  e.attempts = 3;
  e.last_attempt = absl::FromUnixSeconds(1700000100);
  e.last_status = mail::EnhancedStatus{4, 4, 1};
  e.last_error = "553-a\n553 b";
  e.last_host = "mx";
  e.delay_notices = 1;
  return e;
}

TEST(Envelope, ComesBackAsItWasStoredWhateverStrangersWroteIntoIt) {
  const Envelope e = Full();
  const StatusOr<Envelope> back = DecodeEnvelope(EncodeEnvelope(e));
  ASSERT_TRUE(back.ok()) << Text(back.status());
  EXPECT_EQ(EncodeEnvelope(*back), EncodeEnvelope(e));
  EXPECT_EQ(Describe(*back), Describe(e));
  EXPECT_EQ(back->sender.address, e.sender.address);
  EXPECT_EQ(back->sender.dsn_envelope_id, e.sender.dsn_envelope_id);
  EXPECT_EQ(back->client, e.client);
  EXPECT_EQ(back->created, e.created);
  EXPECT_EQ(back->last_error, e.last_error);
  EXPECT_TRUE(back->bounce);
  EXPECT_TRUE(back->expanded);
}

TEST(Envelope, APartOfOneIsRefused) {
  const std::string whole = EncodeEnvelope(Full());
  for (size_t n = 0; n < whole.size(); ++n) {
    EXPECT_FALSE(DecodeEnvelope(std::string_view(whole).substr(0, n)).ok()) << n;
  }
  EXPECT_FALSE(DecodeEnvelope(whole + "x").ok());
}

TEST(Envelope, IdsAreHexadecimal) {
  EXPECT_EQ(EnvelopeIdText(MakeEnvelopeId(0xabc, 1)), "00000abc00000001");
  EXPECT_EQ(ParseEnvelopeId("00000ABC00000001"), MakeEnvelopeId(0xabc, 1));
  EXPECT_EQ(ParseMessageId("ffffffff"), MessageId{0xffffffff});
  for (const char* bad : {"", "0", "00000000", "0000000g", "ffffffff0"})
    EXPECT_EQ(ParseMessageId(bad), std::nullopt) << bad;
}

TEST(Envelope, DescriptionKeepsOneLineForEachField) {
  const std::string text = Describe(Full());
  EXPECT_NE(text.find("errorline: 553-a\\n553 b\n"), std::string::npos) << text;
}

// What Debian's smtpctl printed of an envelope, but for the ttl, which 6.8 leaves to the action.
TEST(Envelope, IsDescribedAsSmtpctlDoes) {
  Envelope e;
  e.action = "slow";
  e.server_name = "host.example.test";
  e.helo = "client.example";
  e.client_name = "localhost";
  e.client.address = IpAddress::V4(127, 0, 0, 1);
  e.recipient = e.destination = mail::Address{"alice", "slow.test"};
  e.created = absl::FromUnixSeconds(1795313681);
  e.user = "alice";
  EXPECT_EQ(Describe(e),
            "version: 3\ndispatcher: slow\ntype: mda\nsmtpname: host.example.test\n"
            "helo: client.example\nhostname: localhost\nsockaddr: 127.0.0.1\nsender: @\n"
            "rcpt: alice@slow.test\ndest: alice@slow.test\nctime: 1795313681\nlast-try: 0\n"
            "last-bounce: 0\nttl: 345600\nretry: 0\ndsn-notify: 0\nmda-user: alice\n");
}

TEST(Envelope, RelaysToOneDomainShareTheirDestination) {
  Envelope a = Full(), b = Full();
  b.destination.local_part = "other";
  EXPECT_EQ(DestinationKey(a), DestinationKey(b));
  b.destination.domain = "other.example";
  EXPECT_NE(DestinationKey(a), DestinationKey(b));
}

}  // namespace
}  // namespace postern::queue
