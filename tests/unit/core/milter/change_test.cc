#include "lib/core/milter/change.h"

#include "tests/unit/core/milter/packets.h"

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"

namespace postern::milter {
namespace {

using Kind = Change::Kind;

TEST(MilterChange, HeaderFields) {
  struct Row {
    Response response;
    std::string data;
    bool leading_space;
    Kind kind;
    uint32_t index;
    std::string_view name;
    std::string_view value;
  };
  const Row rows[] = {
      {Response::kAddHeader, "X-A\0yes\0"s, false, Kind::kAddHeader, 0, "X-A", " yes"},
      {Response::kAddHeader, "X-A\0yes\0"s, true, Kind::kAddHeader, 0, "X-A", "yes"},
      {Response::kAddHeader, "X-A\0 yes\0"s, true, Kind::kAddHeader, 0, "X-A", " yes"},
      {Response::kAddHeader, "X-A\0\0"s, false, Kind::kAddHeader, 0, "X-A", " "},
      {Response::kInsertHeader, Be32(1) + "X-A\0a;\n\tb\0"s, false, Kind::kInsertHeader, 1, "X-A",
       " a;\r\n\tb"},
      {Response::kInsertHeader, Be32(0) + "X-A\0a;\r\n b\0"s, false, Kind::kInsertHeader, 0, "X-A",
       " a;\r\n b"},
      {Response::kChangeHeader, Be32(2) + "Subject\0new\0"s, false, Kind::kChangeHeader, 2,
       "Subject", " new"},
      // 0 is taken for 1, and an empty value deletes
      {Response::kChangeHeader, Be32(0) + "Subject\0\0"s, false, Kind::kChangeHeader, 1, "Subject",
       ""},
      {Response::kChangeHeader, Be32(1) + "Subject\0\0"s, true, Kind::kChangeHeader, 1, "Subject",
       ""},
  };
  for (const Row& row : rows) {
    const StatusOr<Change> change = ReadChange(row.response, row.data, row.leading_space);
    ASSERT_TRUE(change.ok()) << Escape(row.data);
    EXPECT_EQ(change->kind, row.kind);
    EXPECT_EQ(change->index, row.index) << Escape(row.data);
    EXPECT_EQ(change->name, row.name);
    EXPECT_EQ(change->value, row.value);
  }
}

TEST(MilterChange, AValueStaysOneField) {
  struct Row {
    std::string_view given;
    std::string_view value;
  };
  const Row rows[] = {
      {"a\nBcc: x", " a\r\n\tBcc: x"},
      {"a\r\n\r\nbody", " a\r\n\tbody"},
      {"a\n\n\n.", " a\r\n\t."},
      {"a\rb", " ab"},
      {"a\n \t\nb", " a\r\n\tb"},
      {"a\n", " a"},
      {"a\r\n", " a"},
      {"\nb", " \r\n\tb"},
  };
  for (const Row& row : rows) {
    const std::string data = "X\0"s + std::string(row.given) + '\0';
    const StatusOr<Change> change = ReadChange(Response::kAddHeader, data, false);
    ASSERT_TRUE(change.ok());
    EXPECT_EQ(change->value, row.value) << Escape(row.given);
  }
}

TEST(MilterChange, Addresses) {
  struct Row {
    Response response;
    std::string data;
    Kind kind;
    std::string_view address;
    std::string_view args;
  };
  const Row rows[] = {
      {Response::kAddRcpt, "<a@b.test>\0"s, Kind::kAddRcpt, "<a@b.test>", ""},
      {Response::kAddRcptWith, "<a@b.test>\0NOTIFY=NEVER\0"s, Kind::kAddRcpt, "<a@b.test>",
       "NOTIFY=NEVER"},
      {Response::kAddRcptWith, "<a@b.test>\0"s, Kind::kAddRcpt, "<a@b.test>", ""},
      {Response::kDeleteRcpt, "a@b.test\0"s, Kind::kDeleteRcpt, "a@b.test", ""},
      {Response::kChangeFrom, "<>\0"s, Kind::kChangeFrom, "<>", ""},
      {Response::kChangeFrom, "<a@b.test>\0SIZE=1\0"s, Kind::kChangeFrom, "<a@b.test>", "SIZE=1"},
  };
  for (const Row& row : rows) {
    const StatusOr<Change> change = ReadChange(row.response, row.data, false);
    ASSERT_TRUE(change.ok()) << Escape(row.data);
    EXPECT_EQ(change->kind, row.kind);
    EXPECT_EQ(change->address, row.address);
    EXPECT_EQ(change->args, row.args);
  }
}

TEST(MilterChange, WhatIsWrongIsRefused) {
  struct Row {
    Response response;
    std::string data;
  };
  const Row rows[] = {
      {Response::kAddHeader, ""},
      {Response::kAddHeader, "X"},
      {Response::kAddHeader, "X\0"s},
      {Response::kAddHeader, "X\0y"s},
      {Response::kAddHeader, "X\0y\0z"s},
      {Response::kAddHeader, "\0y\0"s},
      {Response::kAddHeader, "X:\0y\0"s},
      {Response::kAddHeader, "X Y\0y\0"s},
      {Response::kAddHeader, "X\r\nY\0y\0"s},
      {Response::kAddHeader, "\xc3\xa9\0y\0"s},
      {Response::kInsertHeader, "\0\0\0"s},
      {Response::kInsertHeader, Be32(1) + "X\0"s},
      {Response::kChangeHeader, "X\0y\0"s},
      {Response::kAddRcpt, ""},
      {Response::kAddRcpt, "a@b"},
      {Response::kAddRcpt, "a@b\0x\0"s},
      {Response::kAddRcpt, "a@b\r\nRCPT TO:<c@d>\0"s},
      {Response::kAddRcptWith, "a@b\0NOTIFY=NEVER\r\nDATA\0"s},
      {Response::kChangeFrom, "a@b\0x\0y\0"s},
      {Response::kQuarantine, "why"},
  };
  for (const Row& row : rows) {
    EXPECT_FALSE(ReadChange(row.response, row.data, false).ok())
        << static_cast<char>(row.response) << " " << Escape(row.data);
  }
}

TEST(MilterChange, IsWrittenAndReadBack) {
  for (const bool leading_space : {false, true}) {
    for (const Response response :
         {Response::kAddHeader, Response::kInsertHeader, Response::kChangeHeader,
          Response::kAddRcpt, Response::kAddRcptWith, Response::kDeleteRcpt, Response::kChangeFrom,
          Response::kReplaceBody, Response::kQuarantine}) {
      std::string data;
      switch (response) {
        case Response::kAddHeader: data = "X\0a\n\tb\0"s; break;
        case Response::kInsertHeader:
        case Response::kChangeHeader: data = Be32(3) + "X\0a\n\tb\0"s; break;
        case Response::kAddRcptWith:
        case Response::kChangeFrom: data = "<a@b>\0A=b\0"s; break;
        case Response::kReplaceBody: data = "a\0b\r\n"s; break;
        default: data = "<a@b>\0"s; break;
      }
      const StatusOr<Change> change = ReadChange(response, data, leading_space);
      ASSERT_TRUE(change.ok());
      std::string out;
      WriteChange(*change, leading_space, &out);
      EXPECT_EQ(out, Pk(static_cast<char>(response), data));
    }
  }
}

TEST(MilterChange, OneBlankBehindTheColonGoesAndNoTab) {
  EXPECT_EQ(OutgoingValue(" a", false), "a");
  EXPECT_EQ(OutgoingValue("  a", false), " a");
  EXPECT_EQ(OutgoingValue("\ta", false), "\ta");
  EXPECT_EQ(OutgoingValue("a", false), "a");
  EXPECT_EQ(OutgoingValue(" a", true), " a");
  EXPECT_EQ(OutgoingValue(" a\r\n b\r\n\tc", false), "a\n b\n\tc");
  EXPECT_EQ(OutgoingValue("", false), "");
}

}  // namespace
}  // namespace postern::milter
