#include "lib/core/dns/zone.h"

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"

namespace postern::dns {
namespace {

constexpr std::string_view kZone = R"(
; a zone
$ORIGIN example.com.
$TTL 1h
@       IN SOA ns hostmaster (
            1      ; serial
            2h 3 4 5 )
        300 IN MX 10 mx1
        MX 20 mx2.example.net.
mx1     A 192.0.2.1
        AAAA 2001:db8::1
*.wild  A 192.0.2.9
b.c.wild TXT "one" "t\"w\\o\065" three
alias   CNAME mx1
loop    CNAME loop
dangling CNAME nowhere
null    MX 0 .
broken  SERVFAIL
slow    TIMEOUT
forged  BOGUS
$ORIGIN net.
mx2.example A 192.0.2.2
_25._tcp.mx2.example TLSA 3 1 1 ( aabb
   ccdd )
)";

class ZoneTest : public ::testing::Test {
 protected:
  void SetUp() override {
    StatusOr<ZoneData> zone = ZoneData::Parse(kZone);
    ASSERT_TRUE(zone.ok()) << zone.status();
    zone_ = *std::move(zone);
  }
  Answer Ask(std::string_view name, Type type) { return zone_.Query(*Name::Parse(name), type); }
  ZoneData zone_;
};

// Zones of the wild have times with units and types that nobody here asks for.
TEST_F(ZoneTest, TakesZonesOfTheWild) {
  const SoaData soa = std::get<SoaData>(Ask("example.com", Type::kSoa).records.at(0).data);
  EXPECT_EQ(soa.refresh, 7200u);
  EXPECT_EQ(soa.minimum, 5u);
  const StatusOr<ZoneData> zone = ZoneData::Parse(
      "$ORIGIN example.com.\n"
      "@ IN SOA ns host 2024010101 1d 2h 4w 1h30m\n"
      "@ IN SPF \"v=spf1 -all\"\n"
      "@ IN TXT \"v=spf1 mx -all\"\n"
      "@ 300 IN CAA 0 issue \"ca.example\"\n"
      "key IN DNSKEY 257 3 13 ( mdsswUyr3DPW132mOi8V9xESWE8jTo0d\n xCjjnopKl+GqJxpVXckHAeF+ )\n"
      "odd TYPE65280 \\# 3 abcdef\n");
  ASSERT_TRUE(zone.ok()) << zone.status();
  EXPECT_EQ(zone->Query(*Name::Parse("example.com"), Type::kTxt).records.size(), 1u);
  EXPECT_EQ(zone->Query(*Name::Parse("key.example.com"), Type::kTxt).kind, Answer::Kind::kNoData);
  EXPECT_EQ(zone->Query(*Name::Parse("no.example.com"), Type::kTxt).kind, Answer::Kind::kNxDomain);
  EXPECT_FALSE(ZoneData::Parse("a.example. NONSENSE x\n").ok());
  EXPECT_FALSE(ZoneData::Parse("a.example. SOA a b 1 2x 3 4 5\n").ok());
}

TEST_F(ZoneTest, AnswersWhatIsThere) {
  const Answer mx = Ask("Example.COM", Type::kMx);
  ASSERT_TRUE(mx.ok());
  ASSERT_EQ(mx.records.size(), 2u);
  EXPECT_EQ(std::get<MxData>(mx.records[0].data).exchange.ToString(), "mx1.example.com");
  EXPECT_EQ(std::get<MxData>(mx.records[1].data).exchange.ToString(), "mx2.example.net");
  EXPECT_EQ(mx.ttl_s, 300u);
  EXPECT_EQ(Ask("mx2.example.net", Type::kA).records.size(), 1u);
  EXPECT_EQ(
      HexEncode(std::get<TlsaData>(Ask("_25._tcp.mx2.example.net", Type::kTlsa).records[0].data)
                    .association),
      "aabbccdd");
  EXPECT_TRUE(
      std::get<MxData>(Ask("null.example.com", Type::kMx).records[0].data).exchange.is_root());
  EXPECT_EQ(std::get<TxtData>(Ask("b.c.wild.example.com", Type::kTxt).records[0].data).Joined(),
            "onet\"w\\oAthree");
}

TEST_F(ZoneTest, TellsNxDomainFromNoData) {
  EXPECT_EQ(Ask("mx1.example.com", Type::kMx).kind, Answer::Kind::kNoData);
  EXPECT_EQ(Ask("nobody.example.com", Type::kMx).kind, Answer::Kind::kNxDomain);
  EXPECT_EQ(Ask("_tcp.mx2.example.net", Type::kA).kind, Answer::Kind::kNoData)
      << "an empty non-terminal";
  EXPECT_EQ(Ask("other.org", Type::kA).kind, Answer::Kind::kNxDomain);
}

TEST_F(ZoneTest, Wildcards) {
  const Answer a = Ask("x.y.wild.example.com", Type::kA);
  ASSERT_TRUE(a.ok());
  EXPECT_EQ(a.records[0].name.ToString(), "x.y.wild.example.com");
  EXPECT_EQ(Ask("x.wild.example.com", Type::kMx).kind, Answer::Kind::kNoData);
  // RFC 4592 §2.2.1: c.wild exists (as an empty non-terminal), so nothing below it is covered by
  // *.wild.
  EXPECT_EQ(Ask("a.c.wild.example.com", Type::kA).kind, Answer::Kind::kNxDomain);
}

TEST_F(ZoneTest, FollowsCnames) {
  const Answer a = Ask("alias.example.com", Type::kA);
  ASSERT_TRUE(a.ok());
  EXPECT_EQ(a.name.ToString(), "mx1.example.com");
  EXPECT_EQ(Ask("loop.example.com", Type::kA).kind, Answer::Kind::kServFail);
  EXPECT_EQ(Ask("dangling.example.com", Type::kA).kind, Answer::Kind::kNxDomain);
  EXPECT_TRUE(Ask("alias.example.com", Type::kCname).ok());
}

TEST_F(ZoneTest, Failures) {
  EXPECT_EQ(Ask("broken.example.com", Type::kA).kind, Answer::Kind::kServFail);
  EXPECT_EQ(Ask("slow.example.com", Type::kMx).kind, Answer::Kind::kTimeout);
  EXPECT_EQ(Ask("forged.example.com", Type::kA).security, Answer::Security::kBogus);
}

// RFC 6672: what is below the owner moves, the owner itself does not.
TEST(DnsZone, ObeysDnames) {
  const StatusOr<ZoneData> zone = ZoneData::Parse(
      "old.example. DNAME new.example.\nold.example. MX 10 mx.example.\n"
      "a.b.new.example. A 192.0.2.1\nloop.example. DNAME x.loop.example.\n");
  ASSERT_TRUE(zone.ok()) << zone.status();
  const auto ask = [&](std::string_view name, Type type) {
    return zone->Query(*Name::Parse(name), type);
  };
  const Answer moved = ask("a.b.old.example", Type::kA);
  ASSERT_TRUE(moved.ok());
  EXPECT_EQ(moved.name.ToString(), "a.b.new.example");
  EXPECT_TRUE(ask("old.example", Type::kMx).ok());
  EXPECT_EQ(ask("old.example", Type::kA).kind, Answer::Kind::kNoData);
  EXPECT_EQ(ask("nx.old.example", Type::kA).kind, Answer::Kind::kNxDomain);
  EXPECT_FALSE(ask("y.loop.example", Type::kA).ok());
}

TEST(DnsZone, ErrorsNameTheLine) {
  struct Row {
    std::string_view text, what;
  };
  const Row rows[] = {
      {"a. A 192.0.2.1\nb. A nonsense\n", "line 2: A: \"nonsense\""},
      {"a. A 192.0.2.1\na. CNAME b.\n", "line 2: a CNAME stands alone"},
      {"a. CNAME b.\na. TXT x\n", "line 2: a CNAME stands alone"},
      {"a. CNAME b.\na. CNAME c.\n", "line 2: a CNAME stands alone"},
      {"  A 192.0.2.1\n", "line 1: a record without owner"},
      {"a. MX ( 10\n", "line 1: \"(\" without \")\""},
      {"a. TXT \"x\n", "line 1: a quote"},
      {"\n\na. WHAT x\n", "line 3: \"WHAT\" is no record type"},
      {"a.\n", "line 1: a record type is missing"},
      {"$INCLUDE x\n", "line 1: \"$INCLUDE\""},
      {"a. MX 10\n", "line 1: MX wants 2 fields, found 1"},
      {") a\n", "line 1: \")\""},
  };
  for (const Row& row : rows) {
    StatusOr<ZoneData> zone = ZoneData::Parse(row.text);
    ASSERT_FALSE(zone.ok()) << row.text;
    EXPECT_EQ(Message(zone.status()).substr(0, row.what.size()), row.what);
  }
}

}  // namespace
}  // namespace postern::dns
