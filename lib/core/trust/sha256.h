// Sha256: a running SHA-256, which may be copied in the middle to know the hash of a prefix too.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace postern::trust {

using Digest = std::array<uint8_t, 32>;

class Sha256 {
 public:
  Sha256();
  void Update(std::string_view octets);
  // Finish gives the hash of all that was put in. After it only destruction and assignment make
  // sense; a copy made before can go on.
  Digest Finish();

 private:
  alignas(8) unsigned char state_[128];  // BoringSSL's SHA256_CTX, which headers need not know
};

// DigestView lends the octets of `digest`.
inline std::string_view DigestView(const Digest& digest) {
  return std::string_view(reinterpret_cast<const char*>(digest.data()), digest.size());
}

}  // namespace postern::trust
