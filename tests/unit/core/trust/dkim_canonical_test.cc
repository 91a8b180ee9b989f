#include "lib/core/trust/dkim_canonical.h"

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"

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
