#include "lib/core/dns/message.h"

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"

namespace postern::dns {
namespace {

Name N(std::string_view text) { return *Name::Parse(text); }

// A reply to "example.com MX" with a CNAME to mail.net, whose MX points into the message
// (compressed), and its tail.
std::string Reply() {
  return *HexDecode(
      "1234"
      "8180"
      "0001"
      "0002"
      "0000"
      "0000"
      "076578616d706c6503636f6d00"
      "000f"
      "0001"  // 12: example.com
      "c00c"
      "0005"
      "0001"
      "00000e10"
      "000a"
      "046d61696c036e657400"  // CNAME mail.net at 41
      "c029"
      "000f"
      "0001"
      "0000003c"
      "0007"
      "000a"
      "026d78"
      "c029");
}

TEST(DnsMessage, FollowsCnamesAndCompression) {
  StatusOr<WireMessage> message = ParseMessage(Reply());
  ASSERT_TRUE(message.ok()) << message.status();
  const Answer answer = AnswerFrom(*message, N("EXAMPLE.com"), Type::kMx);
  ASSERT_TRUE(answer.ok()) << answer.detail;
  EXPECT_EQ(answer.name.ToString(), "mail.net");
  EXPECT_EQ(answer.ttl_s, 60u);
  ASSERT_EQ(answer.records.size(), 1u);
  EXPECT_EQ(std::get<MxData>(answer.records[0].data).exchange.ToString(), "mx.mail.net");
}

TEST(DnsMessage, EveryCutIsAnError) {
  const std::string reply = Reply();
  for (size_t length = 0; length < reply.size(); ++length) {
    EXPECT_FALSE(ParseMessage(std::string_view(reply).substr(0, length)).ok()) << length;
  }
}

TEST(DnsMessage, EveryOctetMayBeAnything) {
  // Nothing is asserted but that it ends and reads nothing out of bounds (the sanitizers look).
  std::string reply = Reply();
  for (size_t i = 0; i < reply.size(); ++i) {
    const char kept = reply[i];
    for (int value = 0; value < 256; ++value) {
      reply[i] = static_cast<char>(value);
      const std::unique_ptr<char[]> exact(new char[reply.size()]);
      std::copy(reply.begin(), reply.end(), exact.get());
      StatusOr<WireMessage> message = ParseMessage(std::string_view(exact.get(), reply.size()));
      if (message.ok()) AnswerFrom(*message, N("example.com"), Type::kMx);
    }
    reply[i] = kept;
  }
}

TEST(DnsMessage, PointersGoBackwardsOnly) {
  using namespace std::string_view_literals;
  struct Row {
    std::string_view octets;
    size_t at;
  };
  const Row rows[] = {
      {"\xc0\x00"sv, 0},  // to itself
      {"\x01"
       "a\xc0\x00"sv,
       0},  // into its own run
      {"\xc0\x02\x01"
       "a\x00"sv,
       0},                        // forward
      {"\xc0\x02\xc0\x00"sv, 2},  // two that chase each other
      {"\xc0"sv, 0},              // half a pointer
      {"\x40"sv, 0},              // a label type of RFC 2673
  };
  for (const Row& row : rows) {
    size_t at = row.at;
    EXPECT_FALSE(ReadName(row.octets, &at).has_value()) << HexEncode(row.octets);
  }
}

TEST(DnsMessage, WrongRepliesAreServFail) {
  StatusOr<WireMessage> message = ParseMessage(Reply());
  ASSERT_TRUE(message.ok());
  EXPECT_EQ(AnswerFrom(*message, N("other.com"), Type::kMx).kind, Answer::Kind::kServFail);
  EXPECT_EQ(AnswerFrom(*message, N("example.com"), Type::kA).kind, Answer::Kind::kServFail);
  message->rcode = 2;
  EXPECT_EQ(AnswerFrom(*message, N("example.com"), Type::kMx).kind, Answer::Kind::kServFail);
  message->rcode = 3;
  message->answers.clear();
  EXPECT_EQ(AnswerFrom(*message, N("example.com"), Type::kMx).kind, Answer::Kind::kNxDomain);
  message->rcode = 0;
  EXPECT_EQ(AnswerFrom(*message, N("example.com"), Type::kMx).kind, Answer::Kind::kNoData);
  // CNAME to itself.
  message->answers.push_back(
      Record{N("example.com"), Type::kCname, 60, NameData{N("example.com")}});
  EXPECT_EQ(AnswerFrom(*message, N("example.com"), Type::kMx).kind, Answer::Kind::kServFail);
}

}  // namespace
}  // namespace postern::dns
