// A signature field from a stranger, of each kind, and its text written again.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "lib/core/base/check.h"
#include "lib/core/trust/dkim_signature.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace postern::trust;
  const std::string_view value(reinterpret_cast<const char*>(data), size);
  for (const SignatureField kind :
       {SignatureField::kDkim, SignatureField::kArcMessage, SignatureField::kArcSeal}) {
    DkimSignature signature;
    if (ParseSignature(kind, value, &signature)) continue;
    POSTERN_CHECK(signature.b_begin <= signature.b_end && signature.b_end <= value.size());
    // What was read and written again reads as the same.
    const std::string text = PrintSignature(kind, signature, 15);
    DkimSignature again;
    const auto fault = ParseSignature(kind, text, &again);
    POSTERN_CHECK(!fault);
    POSTERN_CHECK(again.signature == signature.signature &&
                  again.body_hash == signature.body_hash && again.domain == signature.domain &&
                  again.fields == signature.fields && again.identity == signature.identity &&
                  again.body_length == signature.body_length &&
                  again.instance == signature.instance);
  }
  return 0;
}
