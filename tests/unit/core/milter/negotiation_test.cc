#include "lib/core/milter/negotiation.h"

#include "tests/unit/core/milter/packets.h"

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"

namespace postern::milter {
namespace {

Offer Ours() {
  Offer offer;
  offer.version = 6;
  offer.actions = kAllActions;
  offer.steps = kAllSteps;
  return offer;
}

TEST(MilterNegotiation, TheOfferToTheByte) {
  std::string out;
  WriteOffer(Ours(), &out);
  EXPECT_EQ(out, "\0\0\0\rO\0\0\0\6\0\0\1\xff\0\x1f\xff\xff"s);
}

TEST(MilterNegotiation, SymbolsAreReadAndWritten) {
  Offer offer = Ours();
  offer.symbols[2] = std::vector<std::string>{"i", "{auth_type}"};
  offer.symbols[5] = std::vector<std::string>();
  std::string out;
  WriteOffer(offer, &out);
  EXPECT_EQ(out, Optneg(6, 0x1ff, 0x1fffff, Be32(2) + "i {auth_type}\0"s + Be32(5) + "\0"s));
  const StatusOr<Offer> read = ReadOffer(out.substr(5), NegotiationLimits());
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(*read->symbols[2], (std::vector<std::string>{"i", "{auth_type}"}));
  EXPECT_TRUE(read->symbols[5]->empty());
  EXPECT_FALSE(read->symbols[0].has_value());
}

TEST(MilterNegotiation, WhatIsWrongIsSaid) {
  NegotiationLimits limits;
  limits.max_symbols = 2;
  limits.max_symbol_bytes = 4;
  const std::string head = Be32(6) + Be32(0) + Be32(0);
  struct Row {
    std::string data;
    std::string_view said;
  };
  const Row rows[] = {
      {head.substr(1), "cut off"},
      {head + Be32(0) + "i", "cut off"},
      {head + "\0"s, "cut off"},
      {head + Be32(7) + "i\0"s, "unknown stage 7"},
      {head + Be32(0) + "abcde\0"s, "too long"},
      {head + Be32(0) + "a b, c\0"s, "too many"},
  };
  for (const Row& row : rows) {
    const StatusOr<Offer> read = ReadOffer(row.data, limits);
    ASSERT_FALSE(read.ok()) << row.said;
    EXPECT_NE(Message(read.status()).find(row.said), std::string_view::npos)
        << Message(read.status());
  }
  EXPECT_TRUE(ReadOffer(head + Be32(0) + " a , b \0"s, limits).ok());
}

TEST(MilterNegotiation, WhatIsAgreed) {
  struct Row {
    uint32_t version, actions, steps;
    bool agreed;
    uint32_t agreed_steps;
    size_t chunk;
  };
  const Row rows[] = {
      {6, 0, 0, true, 0, 65'535},
      {2, 0x3f, 0x7f, true, 0x7f, 65'535},
      {6, 0x1ff, 0x1fffff, true, 0x1fffff, 65'535},
      {1, 0, 0, false, 0, 0},
      {7, 0, 0, false, 0, 0},
      {6, 0x200, 0, false, 0, 0},
      // what was not offered is passed over
      {6, 0, 0x40000001, true, 1, 65'535},
      {6, 0, kChunks256K, true, kChunks256K, 262'143},
      {6, 0, kChunks1M, true, kChunks1M, 1'048'575},
  };
  Offer ours = Ours();
  ours.steps = StepsOf(6);
  for (const Row& row : rows) {
    Offer theirs;
    theirs.version = row.version;
    theirs.actions = row.actions;
    theirs.steps = row.steps;
    const StatusOr<Agreement> agreement = Agree(ours, theirs);
    ASSERT_EQ(agreement.ok(), row.agreed) << row.version << " " << row.actions;
    if (!row.agreed) continue;
    EXPECT_EQ(agreement->version, row.version);
    EXPECT_EQ(agreement->steps, row.agreed_steps);
    EXPECT_EQ(agreement->max_chunk_bytes, row.chunk);
  }
}

TEST(MilterNegotiation, AFilterChoosesTheMacrosOfAStage) {
  Offer theirs;
  theirs.actions = theirs.steps = 0;
  theirs.symbols[0] = std::vector<std::string>{"j"};
  const StatusOr<Agreement> agreement = Agree(Ours(), theirs);
  ASSERT_TRUE(agreement.ok());
  EXPECT_EQ(agreement->symbols[0], std::vector<std::string>{"j"});
  EXPECT_EQ(agreement->symbols[2], DefaultSymbols()[2]);
}

TEST(MilterNegotiation, NobodyIsOfferedWhatCameLater) {
  EXPECT_EQ(StepsOf(2), 0x7fu);
  EXPECT_EQ(StepsOf(3), 0x1ffu);
  EXPECT_EQ(StepsOf(5), 0x3ffu);
  EXPECT_EQ(ActionsOf(5), 0x3fu);
  EXPECT_EQ(ActionsOf(6), 0x1ffu);
}

TEST(MilterMacros, ThePacketToTheByte) {
  MacroTable table;
  table.Set("i", "4f1");
  table.Set("{mail_addr}", "a@b.test");
  table.Set("{auth_type}", "");
  std::string out;
  WriteMacros(Command::kMail, DefaultSymbols()[2], table, &out);
  EXPECT_EQ(out, Pk('D', "Mi\0004f1\0{auth_type}\0\0{mail_addr}\0a@b.test\0"s));
  out.clear();
  WriteMacros(Command::kData, {"j"}, table, &out);
  EXPECT_EQ(out, "");
}

TEST(MilterMacros, BracesAreNoPartOfTheName) {
  MacroTable table;
  EXPECT_TRUE(table.Set("{client_addr}", "::1"));
  ASSERT_NE(table.Find("client_addr"), nullptr);
  EXPECT_TRUE(table.Set("i", "1"));
  ASSERT_NE(table.Find("{i}"), nullptr);
  EXPECT_EQ(table.size(), 2u);
  table.Unset("{i}");
  EXPECT_EQ(table.Find("i"), nullptr);
}

TEST(MilterMacros, AreBounded) {
  MacroTable table(2, 10);
  EXPECT_TRUE(table.Set("a", "1234"));
  EXPECT_FALSE(table.Set("b", "12345"));
  EXPECT_TRUE(table.Set("b", "1234"));
  EXPECT_FALSE(table.Set("c", ""));
  EXPECT_FALSE(table.Set("a", "12345"));
  EXPECT_TRUE(table.Set("a", "1"));
  table.Clear();
  EXPECT_TRUE(table.Set("c", "123456789"));
}

TEST(MilterMacros, WhatIsCutOffIsRefused) {
  for (const std::string& data : {""s, "Mi"s, "Mi\0"s, "Mi\0001"s}) {
    MacroTable table;
    char command = 0;
    EXPECT_FALSE(ReadMacros(data, &command, &table)) << Escape(data);
  }
  MacroTable table;
  char command = 0;
  EXPECT_TRUE(ReadMacros("M", &command, &table));
  EXPECT_TRUE(ReadMacros("Mi\0001\0"s, &command, &table));
  EXPECT_EQ(*table.Find("i"), "1");
}

}  // namespace
}  // namespace postern::milter
