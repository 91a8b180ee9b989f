#include "lib/core/trust/dkim_canonical.h"

#include <vector>

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"
#include "lib/core/trust/header_fields.h"

namespace postern::trust {
namespace {

std::string Field(Canonicalization kind, std::string_view raw) {
  std::string out;
  AppendCanonicalField(kind, raw, out);
  return out;
}

// Body feeds `text` in pieces of `step` octets.
std::string Body(Canonicalization kind, std::string_view text, size_t step = 1 << 20) {
  CanonicalBody body(kind);
  std::string out;
  const auto sink = [&out](std::string_view octets) { out += octets; };
  for (size_t at = 0; at < text.size(); at += step) body.Feed(text.substr(at, step), sink);
  body.Finish(sink);
  return out;
}

constexpr auto kSimple = Canonicalization::kSimple;
constexpr auto kRelaxed = Canonicalization::kRelaxed;

// RFC 6376 §3.4.5.
TEST(DkimCanonical, Fields) {
  EXPECT_EQ(Field(kRelaxed, "A: X"), "a:X");
  EXPECT_EQ(Field(kRelaxed, "B : Y\t\r\n\tZ  "), "b:Y Z");
  EXPECT_EQ(Field(kSimple, "B : Y\t\r\n\tZ  "), "B : Y\t\r\n\tZ  ");
  EXPECT_EQ(Field(kRelaxed, "Subject:"), "subject:");
  EXPECT_EQ(Field(kRelaxed, "Subject: \r\n "), "subject:");
  EXPECT_EQ(Field(kRelaxed, "X:a\rb\nc"), "x:a\rb\nc");
  EXPECT_EQ(Field(kRelaxed, "no field"), "no field");
}

TEST(DkimCanonical, Bodies) {
  struct Row {
    const char* body;
    const char* simple;
    const char* relaxed;
  };
  const Row rows[] = {
      {"", "\r\n", ""},
      {"\r\n\r\n", "\r\n", ""},
      {" C \r\nD \t E\r\n\r\n\r\n", " C \r\nD \t E\r\n", " C\r\nD E\r\n"},
      {"a", "a\r\n", "a\r\n"},
      {"a\r\n", "a\r\n", "a\r\n"},
      {"a\r\n\r\nb", "a\r\n\r\nb\r\n", "a\r\n\r\nb\r\n"},
      {" \r\n", " \r\n", ""},
      {"\r\n \t\r\n", "\r\n \t\r\n", ""},
      {"a \r\n \r\n", "a \r\n \r\n", "a\r\n"},
      {"a  \rb", "a  \rb\r\n", "a \rb\r\n"},
      {"a\r", "a\r\r\n", "a\r\r\n"},
      {"a\r\r\n", "a\r\r\n", "a\r\r\n"},
      {"a\n\r\n", "a\n\r\n", "a\n\r\n"},
      {"\r\n\r\na", "\r\n\r\na\r\n", "\r\n\r\na\r\n"},
      {"a \t", "a \t\r\n", "a\r\n"},
      {"\r\n\r", "\r\n\r\r\n", "\r\n\r\r\n"},
  };
  for (const Row& row : rows) {
    for (const size_t step : {1, 2, 3, 7, 100}) {
      EXPECT_EQ(Body(kSimple, row.body, step), row.simple) << Escape(row.body) << " by " << step;
      EXPECT_EQ(Body(kRelaxed, row.body, step), row.relaxed) << Escape(row.body) << " by " << step;
    }
  }
}

// However the body is cut, what comes out is the same; long lines, many empty ones and long runs of
// blanks pass through the buffers.
TEST(DkimCanonical, PiecesDoNotMatter) {
  std::string body;
  uint32_t seed = 7;
  for (int i = 0; i < 30000; ++i) {
    seed = seed * 1103515245 + 12345;
    static constexpr const char* kPieces[] = {"a",  "word",     " ",           "  ",
                                              "\t", "\r\n",     "\r\n",        "\r",
                                              "\n", "\r\n\r\n", "longer word", "\xff"};
    body += kPieces[(seed >> 16) % std::size(kPieces)];
    if (i % 5000 == 0) body.append(9000, i % 2 == 0 ? 'x' : ' ');
    if (i % 7000 == 0) {
      for (int j = 0; j < 700; ++j) body += "\r\n";
    }
  }
  for (const Canonicalization kind : {kSimple, kRelaxed}) {
    const std::string whole = Body(kind, body);
    for (const size_t step : {1, 13, 4096, 65536}) EXPECT_EQ(Body(kind, body, step), whole) << step;
    // What is canonical stays so.
    EXPECT_EQ(Body(kind, whole), whole);
  }
}

// Plain makes the relaxed form of a field in the words of RFC 6376 §3.4.2, one step after another.
std::string Plain(std::string_view raw) {
  const size_t colon = raw.find(':');
  if (colon == std::string_view::npos) return std::string(raw);
  const auto blank = [](char c) { return c == ' ' || c == '\t'; };
  std::string name = AsciiLower(raw.substr(0, colon));
  while (!name.empty() && blank(name.back())) name.pop_back();
  std::string unfolded;
  for (size_t i = colon + 1; i < raw.size(); ++i) {
    if (raw.substr(i, 2) == "\r\n") {
      ++i;
    } else {
      unfolded += raw[i];
    }
  }
  std::string value;
  for (const char c : unfolded) {
    if (!blank(c)) {
      value += c;
    } else if (!value.empty() && value.back() != ' ') {
      value += ' ';
    }
  }
  if (!value.empty() && value.back() == ' ') value.pop_back();
  return StrCat(name, ":", value);
}

// The quick ways take many octets at a time; where something stands among them must not matter.
TEST(DkimCanonical, AgreesWithThePlainForm) {
  uint32_t seed = 11;
  const auto chance = [&seed](uint32_t below) {
    seed = seed * 1103515245 + 12345;
    return (seed >> 16) % below;
  };
  static constexpr std::string_view kOdd[] = {" ",  "  ",    "\t",       "\r\n", "\r\n ", "\r",
                                              "\n", " \r\n", "\r\n\r\n", "\x01", ":",     "\x80"};
  for (int i = 0; i < 20'000; ++i) {
    const uint32_t rare = uint32_t{2} << chance(7);
    std::string text;
    const size_t size = chance(300);
    while (text.size() < size)
      text += chance(rare) == 0 ? kOdd[chance(std::size(kOdd))]
                                : std::string_view("word").substr(chance(4));
    const std::string field = StrCat("Subject", text.substr(0, chance(3)), ":", text);
    // In places of exactly that size, so that nothing is read or written beside them.
    const std::vector<char> raw(field.begin(), field.end());
    std::vector<char> out(raw.size());
    const size_t written =
        WriteCanonicalField(kRelaxed, std::string_view(raw.data(), raw.size()), out.data());
    ASSERT_EQ(std::string_view(out.data(), written), Plain(field)) << Escape(field);
    ASSERT_EQ(Body(kRelaxed, text), Body(kRelaxed, text, 1)) << Escape(text);
    ASSERT_EQ(Body(kRelaxed, text), Body(kRelaxed, text, 67)) << Escape(text);
  }
}

TEST(HeaderFields, FindsWhatASearchFinds) {
  static constexpr std::string_view kNames[] = {
      "From",         "FROM",         "Fro",       "Received", "received", "Received-S",
      "RECEIVED-SPF", "Received-SPF", "X-Receive", "[at]{}",   "Subject",  "subjecta"};
  uint32_t seed = 3;
  for (const size_t fields : {1, 5, 40, 1000}) {
    std::string text;
    for (size_t i = 0; i < fields; ++i) {
      seed = seed * 1103515245 + 12345;
      StrAppend(text, kNames[(seed >> 16) % std::size(kNames)], ": x\r\n");
    }
    const HeaderFields header(text, 10'000);
    ASSERT_EQ(header.fields().size(), fields);
    for (const std::string_view name : kNames) {
      std::vector<uint32_t> wanted;
      for (uint32_t i = 0; i < fields; ++i)
        if (EqualsIgnoreCase(header.fields()[i].name, name)) wanted.push_back(i);
      const HeaderFields::Range range = header.Indexes(name);
      std::vector<uint32_t> found;
      for (const uint32_t index : range) found.push_back(index);
      EXPECT_EQ(found, wanted) << name << " in " << fields;
      if (!wanted.empty()) {
        EXPECT_EQ(range[range.size() - 1], wanted.back());
      }
    }
    EXPECT_EQ(header.Indexes("Receive").size(), 0U);
    EXPECT_EQ(header.Indexes("Received-SPFX").size(), 0U);
    EXPECT_EQ(header.Indexes("").size(), 0U);
  }
}

TEST(BodyHasher, LimitsShareOnePass) {
  const std::string body = "Hello  world \r\nagain\r\n\r\n";
  const std::string relaxed = Body(kRelaxed, body);
  const auto hash_of = [](std::string_view octets) {
    Sha256 hash;
    hash.Update(octets);
    return hash.Finish();
  };
  BodyHasher hasher;
  const int whole = hasher.Want(kRelaxed);
  const int five = hasher.Want(kRelaxed, 5);
  const int zero = hasher.Want(kRelaxed, 0);
  const int simple = hasher.Want(kSimple, 7);
  const int exact = hasher.Want(kRelaxed, relaxed.size());
  const int over = hasher.Want(kRelaxed, relaxed.size() + 1);
  EXPECT_EQ(hasher.Want(kRelaxed, 5), five);
  for (const char& c : body) hasher.Feed(std::string_view(&c, 1));
  hasher.Finish();
  EXPECT_EQ(*hasher.digest(whole), hash_of(relaxed));
  EXPECT_EQ(*hasher.digest(five), hash_of(relaxed.substr(0, 5)));
  EXPECT_EQ(*hasher.digest(zero), hash_of(""));
  EXPECT_EQ(*hasher.digest(simple), hash_of(body.substr(0, 7)));
  EXPECT_EQ(*hasher.digest(exact), hash_of(relaxed));
  EXPECT_EQ(hasher.digest(over), nullptr);
  EXPECT_EQ(hasher.canonical_bytes(five), relaxed.size());
}

TEST(BodyHasher, NoBody) {
  BodyHasher hasher;
  const int simple = hasher.Want(kSimple);
  const int relaxed = hasher.Want(kRelaxed);
  hasher.Finish();
  // The values that RFC 6376 §3.4.3 and §3.4.4 print are for SHA-1 and SHA-256 of these.
  Sha256 line_end, nothing;
  line_end.Update("\r\n");
  EXPECT_EQ(*hasher.digest(simple), line_end.Finish());
  EXPECT_EQ(*hasher.digest(relaxed), nothing.Finish());
}

}  // namespace
}  // namespace postern::trust
