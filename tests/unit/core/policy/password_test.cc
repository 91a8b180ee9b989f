#include "lib/core/policy/password.h"

#include "gtest/gtest.h"

#include "lib/core/base/strings.h"

namespace postern::policy {
namespace {

// The hash of "xVQVbwa1S0M8r".
const std::string& Hash() {
  static const std::string hash = "$2b$04$SQe9knOzepOVKoYXo9xTteNYr6MBwVz4tpriJVe3PNgYufGIsgKcW";
  return hash;
}

class CountingTable final : public Table {
 public:
  StatusOr<std::optional<std::string>> Lookup(Service service, std::string_view key) override {
    EXPECT_EQ(service, Service::kCredentials);
    if (key == "down") return Unavailable("gone");
    if (key == "bob") return std::optional<std::string>(Hash());
    if (key == "pair") return std::optional<std::string>(StrCat("pair:", Hash()));
    return std::optional<std::string>();
  }
  StatusOr<std::optional<std::string>> Fetch(Service) override {
    return std::optional<std::string>();
  }
  std::string SampleValue() override {
    ++samples;
    return Hash();
  }
  int samples = 0;
};

TEST(Password, Verify) {
  EXPECT_TRUE(VerifyPassword(Hash(), "xVQVbwa1S0M8r"));
  EXPECT_FALSE(VerifyPassword(Hash(), "xVQVbwa1S0M8s"));
  EXPECT_FALSE(VerifyPassword(Hash(), ""));
  EXPECT_FALSE(VerifyPassword(Hash(), std::string_view("xVQVbwa1S0M8r\0", 14)));
  EXPECT_FALSE(VerifyPassword("", ""));
  EXPECT_FALSE(VerifyPassword("*", "x"));
  EXPECT_FALSE(VerifyPassword("*0", "x"));
  EXPECT_FALSE(VerifyPassword(StrCat("!", Hash()), "xVQVbwa1S0M8r"));
  EXPECT_FALSE(VerifyPassword("$9$nonsense", "x"));
  EXPECT_FALSE(VerifyPassword("x", "x"));
  EXPECT_FALSE(VerifyPassword(Hash(), std::string(512, 'a')));
  EXPECT_FALSE(VerifyNoPassword("", "x"));
}

TEST(Password, CheckLogin) {
  CountingTable table;
  EXPECT_TRUE(*CheckLogin(table, "bob", "xVQVbwa1S0M8r"));
  EXPECT_TRUE(*CheckLogin(table, "pair", "xVQVbwa1S0M8r"));
  EXPECT_FALSE(*CheckLogin(table, "bob", "wrong"));
  EXPECT_EQ(table.samples, 0);
  // An unknown login costs the check of a known one.
  EXPECT_FALSE(*CheckLogin(table, "nobody", "xVQVbwa1S0M8r"));
  EXPECT_EQ(table.samples, 1);
  EXPECT_FALSE(CheckLogin(table, "down", "x").ok());
  EXPECT_FALSE(*CheckLogin(table, "", "x"));
}

constexpr char kSalt[] = "0123456789abcdef";

TEST(Password, EveryKindThatIsMadeFits) {
  for (const char* name :
       {"bcrypt", "sha256", "sha512", "yescrypt", "argon2id", "scram-sha-1", "scram-sha-256"}) {
    const std::optional<PasswordKind> kind = FindPasswordKind(name);
    ASSERT_TRUE(kind.has_value()) << name;
    const StatusOr<std::string> hash = HashPassword(*kind, "pencil", kSalt);
    ASSERT_TRUE(hash.ok()) << name << " " << Message(hash.status());
    EXPECT_TRUE(IsPasswordHash(*hash)) << *hash;
    EXPECT_TRUE(VerifyPassword(*hash, "pencil")) << *hash;
    EXPECT_FALSE(VerifyPassword(*hash, "pencils")) << *hash;
    EXPECT_FALSE(VerifyPassword(*hash, "")) << *hash;
    EXPECT_EQ(hash->find_first_of(" \t\n#"), std::string::npos) << *hash;
    EXPECT_FALSE(HashPassword(*kind, "", kSalt).ok());
    EXPECT_FALSE(HashPassword(*kind, "pencil", "short").ok());
    EXPECT_FALSE(HashPassword(*kind, std::string_view("a\0b", 3), kSalt).ok());
  }
  EXPECT_FALSE(FindPasswordKind("md5").has_value());
}

TEST(Password, Argon2AsOthersWriteIt) {
  const StatusOr<std::string> made = HashPassword(PasswordKind::kArgon2id, "password", kSalt);
  ASSERT_TRUE(made.ok());
  EXPECT_EQ(made->substr(0, 31), "$argon2id$v=19$m=65536,t=3,p=1$");
  EXPECT_TRUE(VerifyPassword(StrCat("{ARGON2ID}", *made), "password"));
  // A test vector of the reference implementation (test.c), version 0x13.
  EXPECT_TRUE(
      VerifyPassword("$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$"
                     "nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
                     "password"));
  EXPECT_FALSE(
      VerifyPassword("$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$"
                     "nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
                     "Password"));
  // One that asks for 4 TiB is not even tried.
  const std::string huge =
      "$argon2id$v=19$m=4294967295,t=2,p=1$c29tZXNhbHQ$"
      "nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
  EXPECT_FALSE(IsPasswordHash(huge));
  EXPECT_FALSE(VerifyPassword(huge, "password"));
}

TEST(Password, SchemesOfDovecot) {
  EXPECT_TRUE(VerifyPassword(StrCat("{BLF-CRYPT}", Hash()), "xVQVbwa1S0M8r"));
  EXPECT_TRUE(VerifyPassword(StrCat("{CRYPT}", Hash()), "xVQVbwa1S0M8r"));
  EXPECT_FALSE(VerifyPassword(StrCat("{PLAIN}", Hash()), Hash()));
  EXPECT_TRUE(IsPasswordHash(StrCat("{BLF-CRYPT}", Hash())));
}

TEST(Password, WhatATableHasForScram) {
  const std::string stored = *HashPassword(PasswordKind::kScramSha256, "pencil", kSalt);
  std::vector<TableEntry> entries;
  for (const auto& [key, value] :
       {std::pair<const char*, std::string>{"fred", stored}, {"bob", Hash()}}) {
    TableEntry entry;
    entry.key = key;
    entry.value = value;
    entries.push_back(std::move(entry));
  }
  TableBuildOptions options;
  options.services = {Service::kCredentials};
  options.check_hashes = true;
  Diagnostics diagnostics;
  StaticTable table(TableContents::Build(std::move(entries), options, &diagnostics));
  EXPECT_TRUE(diagnostics.empty());
  const auto found = FindScramSecret(table, "fred", sasl::ScramHash::kSha256);
  ASSERT_TRUE(found.ok() && found->has_value());
  EXPECT_EQ(sasl::FormatScramSecret(**found), stored);
  EXPECT_FALSE(FindScramSecret(table, "fred", sasl::ScramHash::kSha1)->has_value());
  EXPECT_FALSE(FindScramSecret(table, "bob", sasl::ScramHash::kSha256)->has_value());
  EXPECT_FALSE(FindScramSecret(table, "nobody", sasl::ScramHash::kSha256)->has_value());
  EXPECT_TRUE(SampleScramSecret(table, sasl::ScramHash::kSha256).has_value());
  EXPECT_FALSE(SampleScramSecret(table, sasl::ScramHash::kSha1).has_value());
  // The same secret serves a password in the clear.
  EXPECT_TRUE(*CheckLogin(table, "fred", "pencil"));
  EXPECT_FALSE(*CheckLogin(table, "fred", "pencils"));
}

}  // namespace
}  // namespace postern::policy
