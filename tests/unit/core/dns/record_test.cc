#include "lib/core/dns/record.h"

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"

namespace postern::dns {
namespace {

struct Row {
  Type type;
  std::vector<std::string> fields;
  std::string wire_hex;
};
const std::vector<Row>& Rows() {
  static const std::vector<Row> rows = {
      {Type::kA, {"192.0.2.1"}, "c0000201"},
      {Type::kAaaa, {"2001:db8::1"}, "20010db8000000000000000000000001"},
      {Type::kAaaa, {"::ffff:192.0.2.1"}, "00000000000000000000ffffc0000201"},
      {Type::kMx, {"10", "mx.x."}, "000a026d78017800"},
      {Type::kMx, {"0", "."}, "000000"},
      {Type::kCname, {"a."}, "016100"},
      {Type::kTxt, {"hi", ""}, "02686900"},
      {Type::kSoa,
       {"a.", "b.", "1", "2", "3", "4", "5"},
       "016100016200"
       "00000001"
       "00000002"
       "00000003"
       "00000004"
       "00000005"},
      {Type::kSrv, {"1", "2", "993", "a."}, "0001000203e1016100"},
      {Type::kTlsa, {"3", "1", "1", "aa", "bb"}, "030101aabb"},
      {static_cast<Type>(4711), {"\\#", "2", "0a0b"}, "0a0b"},
  };
  return rows;
}

TEST(DnsRecord, TextAndWireAgree) {
  for (const Row& row : Rows()) {
    SCOPED_TRACE(TypeName(row.type));
    StatusOr<Data> data = ParseRdataText(row.type, row.fields, Name());
    ASSERT_TRUE(data.ok()) << data.status();
    const std::string wire = RdataToWire(row.type, *data);
    EXPECT_EQ(HexEncode(wire), row.wire_hex);
    std::optional<Data> back = ParseRdata(row.type, wire, 0, wire.size());
    ASSERT_TRUE(back.has_value());
    EXPECT_EQ(*back, *data);
    EXPECT_EQ(RdataToText(row.type, *back), RdataToText(row.type, *data));
  }
}

// reliability.md row 30: every length from nothing to one too many, in a buffer that ends there and
// in one that goes on.
TEST(DnsRecord, EveryOtherLengthIsRefused) {
  for (const Row& row : Rows()) {
    const std::string wire = *HexDecode(row.wire_hex);
    for (size_t length = 0; length <= wire.size() + 1; ++length) {
      SCOPED_TRACE(StrCat(TypeName(row.type), " length ", length));
      const std::string exact = (wire + '\x05').substr(0, length);
      const std::string longer = exact + std::string(40, '\x01');
      const bool cut = ParseRdata(row.type, exact, 0, length).has_value();
      EXPECT_EQ(ParseRdata(row.type, longer, 0, length).has_value(), cut);
      EXPECT_FALSE(ParseRdata(row.type, exact, 0, length + 1).has_value())
          << "past the end of the message";
      // TXT cut between its strings is whole; TLSA and unknown types have data of any length.
      const bool open = (row.type == Type::kTxt && length == 3) ||
                        (row.type == Type::kTlsa && length >= 4) ||
                        static_cast<int>(row.type) == 4711;
      EXPECT_EQ(cut, length == wire.size() || open);
    }
  }
}

TEST(DnsRecord, RefusesBadText) {
  struct Bad {
    Type type;
    std::vector<std::string> fields;
  };
  const Bad rows[] = {
      {Type::kA, {"1.2.3"}},
      {Type::kA, {"2001:db8::1"}},
      {Type::kAaaa, {"192.0.2.1"}},
      {Type::kMx, {"mx."}},
      {Type::kMx, {"70000", "x."}},
      {Type::kTxt, {}},
      {Type::kTlsa, {"3", "1", "1"}},
      {Type::kTlsa, {"3", "1", "1", "xy"}},
      {Type::kSrv, {"1", "2", "x", "a."}},
      {Type::kA, {"\\#", "3", "010203"}},
      {Type::kTxt, {std::string(256, 'x')}},
      {static_cast<Type>(4711), {"x"}},
  };
  for (const Bad& bad : rows)
    EXPECT_FALSE(ParseRdataText(bad.type, bad.fields, Name()).ok()) << TypeName(bad.type);
}

TEST(DnsRecord, TypeNames) {
  EXPECT_EQ(*ParseType("mx"), Type::kMx);
  EXPECT_EQ(*ParseType("TYPE52"), Type::kTlsa);
  EXPECT_EQ(TypeName(static_cast<Type>(300)), "TYPE300");
  EXPECT_FALSE(ParseType("TYPE65536").has_value());
  EXPECT_FALSE(ParseType("NONE").has_value());
}

}  // namespace
}  // namespace postern::dns
