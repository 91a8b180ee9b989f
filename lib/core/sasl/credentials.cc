#include "lib/core/sasl/credentials.h"

#include <utility>

namespace postern::sasl {

void WipeString(std::string& s) {
  // The whole capacity: a string that was longer once leaves its tail there. A volatile pointer
  // keeps the stores.
  s.resize(s.capacity());
  volatile char* const octets = s.data();
  for (size_t i = 0; i < s.size(); ++i) octets[i] = 0;
  s.clear();
}

Credentials::Credentials(Credentials&& other) noexcept { *this = std::move(other); }

Credentials& Credentials::operator=(Credentials&& other) noexcept {
  if (this == &other) return *this;
  Wipe();
  // Swapping hands the heap blocks over; short strings live inside the object and are copied, so
  // the source is wiped too.
  authorization_id.swap(other.authorization_id);
  authentication_id.swap(other.authentication_id);
  password.swap(other.password);
  other.Wipe();
  return *this;
}

void Credentials::Wipe() {
  WipeString(authorization_id);
  WipeString(authentication_id);
  WipeString(password);
}

}  // namespace postern::sasl
