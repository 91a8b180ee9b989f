// A key record from a stranger's DNS, and a private key file.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "lib/core/base/check.h"
#include "lib/core/trust/dkim_key.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace postern::trust;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  DkimKeyRecord record;
  if (!ParseDkimKeyRecord(text, &record)) {
    POSTERN_CHECK(record.revoked == (record.key == nullptr));
    if (record.key != nullptr) record.key->Verify(std::string(32, 'x'), text.substr(0, 256));
    // Octets of a note take three each when they are written.
    DkimKeyLimits limits;
    limits.max_record_bytes *= 4;
    DkimKeyRecord again;
    POSTERN_CHECK(!ParseDkimKeyRecord(record.ToString(), &again, limits));
    POSTERN_CHECK(again.public_octets == record.public_octets && again.testing == record.testing &&
                  again.strict == record.strict && again.kind == record.kind);
  }
  for (const KeyKind kind : {KeyKind::kRsa, KeyKind::kEd25519}) {
    const auto key = PublicKey::Parse(kind, text);
    if (key.ok()) POSTERN_CHECK((*key)->bits() > 0);
  }
  const auto key = PrivateKey::ParsePem(text);
  if (key.ok()) {
    const auto again = PrivateKey::ParsePem((*key)->ToPem());
    POSTERN_CHECK(again.ok() && (*again)->PublicOctets() == (*key)->PublicOctets());
  }
  DkimZoneText("s._domainkey.example.org.", text);
  return 0;
}
