// The passwords suite: crypt(3) known answers. A hash must take its password and no other.

#include "tests/conformance/suite.h"
#include <fstream>
#include <sstream>

#include "gtest/gtest.h"

#include "lib/core/base/strings.h"
#include "lib/core/policy/password.h"

namespace postern::policy {
namespace {

// Field returns the string value of `name` in the lines of one flat JSON object, one field a line.
std::optional<std::string> Field(const std::string& line, const std::string& name) {
  const std::string front = StrCat("\"", name, "\": \"");
  const size_t at = line.find(front);
  if (at == std::string::npos) return std::nullopt;
  const size_t start = at + front.size();
  return line.substr(start, line.find('"', start) - start);
}

TEST(PasswordsSuite, CryptKnownAnswers) {
  const std::optional<std::string> folder = conformance::Folder("passwords");
  if (!folder) GTEST_SKIP() << conformance::kSkipped;
  conformance::Tally tally("passwords/crypt");
  for (const char* file :
       {"crypt-bcrypt.json", "crypt-bcrypt_a.json", "crypt-bcrypt_y.json", "crypt-sha256crypt.json",
        "crypt-sha512crypt.json", "crypt-yescrypt.json", "bcrypt-pyca_test_vectors.json",
        "bcrypt-pyca_2y_test_vectors.json"}) {
    std::ifstream in(StrCat(*folder, "/", file));
    std::string hash;
    std::string password_hex;
    int number = 0;
    for (std::string line; std::getline(in, line);) {
      if (const auto value = Field(line, "hash")) hash = *value;
      if (const auto value = Field(line, "password_hex")) password_hex = *value;
      if (line.find('}') == std::string::npos || hash.empty()) continue;
      const std::optional<std::string> password = HexDecode(password_hex);
      ++number;
      const bool takes = password && VerifyPassword(hash, *password);
      // Every eighth also against a password that differs; each check costs what the hash asks for.
      const bool refuses =
          number % 8 != 0 || !VerifyPassword(hash, StrCat("x", password.value_or("")));
      tally.Count(StrCat(file, ":", number), takes && refuses, StrCat(hash, " ", password_hex));
      hash.clear();
      password_hex.clear();
    }
  }
  tally.Finish();
}

}  // namespace
}  // namespace postern::policy
