#include "lib/core/policy/password.h"

#include <algorithm>
#include <argon2.h>
#include <crypt.h>
#include <memory>

#include "lib/core/base/strings.h"

namespace postern::policy {
namespace {

// A bcrypt hash of usual cost that no password is known for.
constexpr std::string_view kDummyHash =
    "$2b$10$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";

// The schemes of Dovecot that name what the text behind them says itself.
constexpr std::string_view kSchemes[] = {"{CRYPT}",        "{BLF-CRYPT}", "{SHA256-CRYPT}",
                                         "{SHA512-CRYPT}", "{ARGON2ID}",  "{ARGON2I}"};

std::string_view WithoutScheme(std::string_view hash) {
  for (const std::string_view scheme : kSchemes) {
    if (StartsWithIgnoreCase(hash, scheme)) return hash.substr(scheme.size());
  }
  return hash;
}

// Argon2 takes the memory that its hash asks for: one that asks for more than this fits no
// password.
constexpr uint64_t kMostArgon2Kibibytes = 1 << 20;
constexpr size_t kMostArgon2Bytes = 512;

struct Argon2Row {
  std::string_view prefix;
  argon2_type type;
};
constexpr Argon2Row kArgon2Rows[] = {
    {"$argon2id$", Argon2_id}, {"$argon2i$", Argon2_i}, {"$argon2d$", Argon2_d}};

const Argon2Row* FindArgon2(std::string_view hash) {
  if (hash.size() > kMostArgon2Bytes) return nullptr;
  for (const Argon2Row& row : kArgon2Rows) {
    if (!hash.starts_with(row.prefix)) continue;
    // "$argon2id$v=19$m=65536,t=3,p=4$salt$hash"; the version may be missing.
    const size_t memory = hash.find("$m=");
    if (memory == std::string_view::npos) return nullptr;
    const std::string_view digits = hash.substr(memory + 3, hash.find(',', memory) - memory - 3);
    const std::optional<uint64_t> kibibytes = ParseUint(digits);
    const bool whole = std::count(hash.begin(), hash.end(), '$') >= 4;
    return kibibytes && *kibibytes <= kMostArgon2Kibibytes && whole ? &row : nullptr;
  }
  return nullptr;
}

// EqualInConstantTime compares without telling by its time where two strings differ.
bool EqualInConstantTime(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  unsigned char difference = 0;
  for (size_t i = 0; i < a.size(); ++i) difference |= static_cast<unsigned char>(a[i] ^ b[i]);
  return difference == 0;
}

}  // namespace

bool VerifyPassword(std::string_view hash, std::string_view password) {
  hash = WithoutScheme(hash);
  if (password.size() > kMaxPasswordBytes || password.find('\0') != std::string_view::npos)
    return false;
  if (const std::optional<sasl::ScramSecret> secret = sasl::ParseScramSecret(hash))
    return sasl::ScramPasswordFits(*secret, password);
  if (hash.starts_with("$argon2")) {
    const Argon2Row* const row = FindArgon2(hash);
    return row != nullptr && argon2_verify(std::string(hash).c_str(), password.data(),
                                           password.size(), row->type) == ARGON2_OK;
  }
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
  const bool usable = IsPasswordHash(sample_hash);
  VerifyPassword(usable ? sample_hash : kDummyHash, password);
  return false;
}

bool IsPasswordHash(std::string_view text) {
  constexpr size_t kDesBytes = 13;  // two of salt, eleven of hash
  text = WithoutScheme(text);
  if (sasl::ParseScramSecret(text).has_value() || FindArgon2(text) != nullptr) return true;
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

std::optional<PasswordKind> FindPasswordKind(std::string_view name) {
  struct Row {
    std::string_view name;
    PasswordKind kind;
  };
  constexpr Row kRows[] = {{"bcrypt", PasswordKind::kBcrypt},
                           {"sha256", PasswordKind::kSha256},
                           {"sha512", PasswordKind::kSha512},
                           {"yescrypt", PasswordKind::kYescrypt},
                           {"argon2id", PasswordKind::kArgon2id},
                           {"scram-sha-1", PasswordKind::kScramSha1},
                           {"scram-sha-256", PasswordKind::kScramSha256}};
  for (const Row& row : kRows) {
    if (row.name == name) return row.kind;
  }
  return std::nullopt;
}

StatusOr<std::string> HashPassword(PasswordKind kind, std::string_view password,
                                   std::string_view salt) {
  if (password.empty()) return InvalidArgument("the password is empty");
  if (password.size() > kMaxPasswordBytes)
    return InvalidArgument(StrCat("the password has more than ", kMaxPasswordBytes, " octets"));
  if (password.find('\0') != std::string_view::npos)
    return InvalidArgument("the password has a NUL octet");
  if (salt.size() != kPasswordSaltOctets)
    return InvalidArgument(StrCat("the salt has ", salt.size(), " octets"));
  // RFC 7677 §4 asks for 4096 and more as machines get faster.
  constexpr uint32_t kScramIterations = 4096;
  // RFC 9106 §4, the second recommendation: 64 MiB, three passes.
  constexpr uint32_t kArgon2Passes = 3;
  constexpr uint32_t kArgon2Kibibytes = 64 * 1024;
  constexpr uint32_t kArgon2Lanes = 1;
  constexpr size_t kArgon2HashOctets = 32;
  const char* prefix = nullptr;
  switch (kind) {
    case PasswordKind::kScramSha1:
    case PasswordKind::kScramSha256:
      return sasl::FormatScramSecret(sasl::DeriveScramSecret(
          kind == PasswordKind::kScramSha1 ? sasl::ScramHash::kSha1 : sasl::ScramHash::kSha256,
          password, salt, kScramIterations));
    case PasswordKind::kArgon2id: {
      char text[kMostArgon2Bytes];
      const int failure = argon2id_hash_encoded(kArgon2Passes, kArgon2Kibibytes, kArgon2Lanes,
                                                password.data(), password.size(), salt.data(),
                                                salt.size(), kArgon2HashOctets, text, sizeof text);
      if (failure != ARGON2_OK) return Unavailable(argon2_error_message(failure));
      return std::string(text);
    }
    case PasswordKind::kBcrypt: prefix = "$2b$"; break;
    case PasswordKind::kSha256: prefix = "$5$"; break;
    case PasswordKind::kSha512: prefix = "$6$"; break;
    case PasswordKind::kYescrypt: prefix = "$y$"; break;
  }
  char setting[CRYPT_GENSALT_OUTPUT_SIZE];
  if (crypt_gensalt_rn(prefix, 0, salt.data(), static_cast<int>(salt.size()), setting,
                       sizeof setting) == nullptr) {
    return Unimplemented("this machine's crypt(3) cannot make such a hash");
  }
  const auto scratch = std::make_unique<crypt_data>();
  const char* result = crypt_r(std::string(password).c_str(), setting, scratch.get());
  if (result == nullptr || result[0] == '*')
    return Unimplemented("this machine's crypt(3) cannot make such a hash");
  return std::string(result);
}

StatusOr<std::optional<sasl::ScramSecret>> FindScramSecret(Table& table, std::string_view user,
                                                           sasl::ScramHash hash) {
  if (user.empty() || user.find('\0') != std::string_view::npos)
    return std::optional<sasl::ScramSecret>();
  StatusOr<std::optional<std::string>> found = table.Lookup(Service::kCredentials, user);
  if (!found.ok()) return found.status();
  if (!found->has_value()) return std::optional<sasl::ScramSecret>();
  std::optional<sasl::ScramSecret> secret =
      sasl::ParseScramSecret(ParseCredentials(user, **found).secret);
  if (secret && secret->hash != hash) secret.reset();
  return secret;
}

std::optional<sasl::ScramSecret> SampleScramSecret(Table& table, sasl::ScramHash hash) {
  std::optional<sasl::ScramSecret> sample;
  table.EachValue(Service::kCredentials, [&](std::string_view value) {
    std::optional<sasl::ScramSecret> secret =
        sasl::ParseScramSecret(ParseCredentials("", value).secret);
    // The entries come in no order: the least of them is the same each time.
    if (secret && secret->hash == hash && (!sample || secret->stored_key < sample->stored_key))
      sample = std::move(secret);
  });
  return sample;
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
