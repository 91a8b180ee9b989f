#include "lib/core/mail/message_id.h"

#include <cstdint>

#include "lib/core/base/strings.h"

namespace postern::mail {

std::string MakeMessageId(std::string_view random_octets, std::string_view domain) {
  // Five bits a character in an alphabet without look-alikes: dot-atom text whatever the octets.
  static constexpr char kDigits[] = "0123456789abcdefghjkmnpqrstvwxyz";
  std::string left;
  uint32_t bits = 0;
  int count = 0;
  for (const char octet : random_octets) {
    bits = bits << 8 | static_cast<unsigned char>(octet);
    for (count += 8; count >= 5; count -= 5) left.push_back(kDigits[bits >> (count - 5) & 31]);
    bits &= (1u << count) - 1;
  }
  if (count > 0) left.push_back(kDigits[bits << (5 - count) & 31]);
  return StrCat("<", left, "@", domain, ">");
}

}  // namespace postern::mail
