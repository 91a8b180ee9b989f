#include "lib/core/milter/packet.h"

#include "tests/unit/core/milter/packets.h"

#include <gtest/gtest.h>

namespace postern::milter {
namespace {

TEST(MilterPacket, IsWrittenToTheByte) {
  std::string out = "before";
  PacketWriter(&out, 'C').Text("a.test").Octet('4').Uint16(0x1234).Text("10.0.0.1");
  EXPECT_EQ(out,
            "before\0\0\0\x14"
            "Ca.test\0004\x12\x34"
            "10.0.0.1\0"s);
  out.clear();
  PacketWriter(&out, 'm').Uint32(0x01020304).Octets("rest");
  EXPECT_EQ(out, "\0\0\0\x09m\1\2\3\4rest"s);
}

TEST(MilterPacket, ANulBeginsNoOtherField) {
  std::string out;
  PacketWriter(&out, 'L').Text("a\0b"s).Text("\0"s);
  EXPECT_EQ(out, Pk('L', "ab\0\0"s));
}

TEST(MilterPacket, IsReadHoweverItIsCut) {
  const std::string wire = Pk('c') + Pk('y', "550 no\0"s) + Pk('p');
  for (size_t piece = 1; piece <= wire.size(); ++piece) {
    PacketReader reader(64);
    std::string seen;
    for (size_t at = 0; at < wire.size(); at += piece) {
      std::string_view rest = std::string_view(wire).substr(at, piece);
      while (!rest.empty()) {
        rest.remove_prefix(reader.Feed(rest));
        Packet packet;
        while (reader.Next(&packet) == PacketReader::Found::kPacket) {
          seen.push_back(packet.code);
          seen.append(packet.data);
        }
      }
    }
    EXPECT_EQ(seen, "cy550 no\0p"s) << piece;
    EXPECT_FALSE(reader.has_input());
  }
}

TEST(MilterPacket, TooLongAndEmptyAreFaultsThatLast) {
  struct Row {
    std::string wire;
    PacketReader::Found found;
  };
  const Row rows[] = {
      {Be32(0), PacketReader::Found::kEmpty},
      {Be32(9), PacketReader::Found::kTooLong},
      {Be32(0xffffffff), PacketReader::Found::kTooLong},
      {Pk('c', "1234567"), PacketReader::Found::kPacket},
  };
  for (const Row& row : rows) {
    PacketReader reader(8);
    reader.Feed(row.wire);
    Packet packet;
    EXPECT_EQ(reader.Next(&packet), row.found);
    if (row.found == PacketReader::Found::kPacket) continue;
    EXPECT_EQ(reader.Feed(Pk('c')), 5u);
    EXPECT_EQ(reader.Next(&packet), row.found);
  }
}

TEST(MilterPacket, TheBufferIsBounded) {
  PacketReader reader(8);
  EXPECT_EQ(reader.Feed(std::string(100, '\1')), 12u);
}

TEST(MilterPacket, AFieldThatIsCutOffIsNotRead) {
  std::string_view text;
  uint32_t wide = 7;
  uint16_t narrow = 7;
  char octet = 7;
  EXPECT_FALSE(FieldReader("abc").Text(&text));
  EXPECT_FALSE(FieldReader("abc").Uint32(&wide));
  EXPECT_FALSE(FieldReader("a").Uint16(&narrow));
  EXPECT_FALSE(FieldReader("").Octet(&octet));
  EXPECT_EQ(wide, 7u);
  EXPECT_TRUE(FieldReader(std::string_view("\0", 1)).Text(&text));
  EXPECT_EQ(text, "");
}

}  // namespace
}  // namespace postern::milter
