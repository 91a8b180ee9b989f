#include "lib/core/policy/password.h"

#include <algorithm>
#include <crypt.h>
#include <memory>

#include "lib/core/base/strings.h"

namespace postern::policy {
namespace {

// A bcrypt hash of usual cost that no password is known for.
constexpr std::string_view kDummyHash =
    "$2b$10$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";

// EqualInConstantTime compares without telling by its time where two strings differ.
bool EqualInConstantTime(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  unsigned char difference = 0;
  for (size_t i = 0; i < a.size(); ++i) difference |= static_cast<unsigned char>(a[i] ^ b[i]);
  return difference == 0;
}

}  // namespace

bool VerifyPassword(std::string_view hash, std::string_view password) {
  if (hash.empty() || hash.size() >= CRYPT_OUTPUT_SIZE || password.size() > kMaxPasswordBytes)
    return false;
  if (hash.find('\0') != std::string_view::npos || password.find('\0') != std::string_view::npos)
    return false;
  // "*" and "!" in front lock an account; crypt also uses "*0" for its failures.
  if (hash[0] == '*' || hash[0] == '!') return false;
  const std::string phrase(password);
  const std::string setting(hash);
  const auto scratch = std::make_unique<crypt_data>();  // 32 KiB: not on a pool thread's stack
  const char* result = crypt_r(phrase.c_str(), setting.c_str(), scratch.get());
  if (result == nullptr || result[0] == '*') return false;
  return EqualInConstantTime(result, hash);
}

bool VerifyNoPassword(std::string_view sample_hash, std::string_view password) {
  const bool usable = sample_hash.size() > 3 && sample_hash[0] == '$';
  VerifyPassword(usable ? sample_hash : kDummyHash, password);
  return false;
}

bool IsPasswordHash(std::string_view text) {
  constexpr size_t kDesBytes = 13;  // two of salt, eleven of hash
  if (text.empty() || text.size() >= CRYPT_OUTPUT_SIZE) return false;
  if (text.find_first_of(" \t:") != std::string_view::npos || text.find('\0') != text.npos)
    return false;
  if (text[0] != '$' && text[0] != '_') {
    return text.size() == kDesBytes && std::all_of(text.begin(), text.end(), [](char c) {
             return IsAsciiAlnum(c) || c == '.' || c == '/';
           });
  }
  // A setting alone ("$6$salt") has no hash behind its last '$'; bcrypt's salt and hash are one.
  const size_t last = text.rfind('$');
  constexpr size_t kShortestHashBytes = 20;
  if (text.size() - (last == text.npos ? 0 : last + 1) < kShortestHashBytes - 1) return false;
  const int kind = crypt_checksalt(std::string(text).c_str());
  return kind != CRYPT_SALT_INVALID && kind != CRYPT_SALT_METHOD_DISABLED;
}

StatusOr<bool> CheckLogin(Table& table, std::string_view user, std::string_view password) {
  if (user.find('\0') != std::string_view::npos || user.empty())
    return VerifyNoPassword("", password);
  const StatusOr<std::optional<bool>> checked = table.CheckPassword(user, password);
  if (!checked.ok()) return checked.status();
  if (checked->has_value()) return **checked;
  StatusOr<std::optional<std::string>> found = table.Lookup(Service::kCredentials, user);
  if (!found.ok()) return found.status();
  if (!found->has_value()) {
    const std::string sample = table.SampleValue();
    return VerifyNoPassword(ParseCredentials("", sample).secret, password);
  }
  return VerifyPassword(ParseCredentials(user, **found).secret, password);
}

}  // namespace postern::policy
