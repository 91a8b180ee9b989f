#include "lib/core/trust/sha256.h"

#include <new>

#include <openssl/sha.h>

namespace postern::trust {
namespace {
SHA256_CTX* Context(unsigned char* state) {
  return std::launder(reinterpret_cast<SHA256_CTX*>(state));
}
}  // namespace

Sha256::Sha256() {
  static_assert(sizeof(SHA256_CTX) <= sizeof state_ && alignof(SHA256_CTX) <= 8);
  SHA256_Init(new (state_) SHA256_CTX);
}

void Sha256::Update(std::string_view octets) {
  SHA256_Update(Context(state_), octets.data(), octets.size());
}

Digest Sha256::Finish() {
  Digest digest;
  SHA256_Final(digest.data(), Context(state_));
  return digest;
}

}  // namespace postern::trust
