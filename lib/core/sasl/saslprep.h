// SASLprep (RFC 4013): names and passwords in the one form that both sides compare.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace postern::sasl {

// SaslPrep maps `utf8` by RFC 4013 (compatibility forms, other blanks, what is invisible). nullopt
// when it is no UTF-8, or has what the profile prohibits: control characters, mixed directions,
// code points that Unicode 3.2 does not assign. The caller wipes it where it is a secret.
std::optional<std::string> SaslPrep(std::string_view utf8);

}  // namespace postern::sasl
