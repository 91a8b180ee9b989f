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

}  // namespace
}  // namespace postern::policy
