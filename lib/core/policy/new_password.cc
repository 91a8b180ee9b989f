#include "lib/core/policy/new_password.h"

#include <crypt.h>
#include <memory>

#include "lib/core/base/strings.h"

namespace postern::policy {
namespace {

constexpr unsigned long kCost = 10;  // as a logarithm: a tenth of a second

}  // namespace

StatusOr<std::string> HashPassword(std::string_view password, std::string_view salt) {
  if (password.find('\0') != std::string_view::npos)
    return InvalidArgument("a password has no NUL in it");
  if (password.size() > kMaxBcryptBytes)
    return InvalidArgument(StrCat("of a password of more than ", kMaxBcryptBytes,
                                  " octets bcrypt reads only the first: take a shorter one"));
  char setting[CRYPT_GENSALT_OUTPUT_SIZE];
  if (crypt_gensalt_rn("$2b$", kCost, salt.data(), static_cast<int>(salt.size()), setting,
                       sizeof setting) == nullptr)
    return Unavailable("this machine's crypt(3) makes no bcrypt hashes");
  const auto data = std::make_unique<crypt_data>();
  const std::string text(password);
  const char* const hash = crypt_rn(text.c_str(), setting, data.get(), sizeof(crypt_data));
  if (hash == nullptr) return Unavailable("this machine's crypt(3) makes no bcrypt hashes");
  return std::string(hash);
}

}  // namespace postern::policy
