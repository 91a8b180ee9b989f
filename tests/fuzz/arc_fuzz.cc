// A message with ARC sets from a stranger, validated and then sealed: what we seal as passing, or
// as the first set, validates.
#include "tests/fuzz/answer_all.h"
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "lib/core/base/check.h"
#include "lib/core/base/strings.h"
#include "lib/core/mail/base64.h"
#include "lib/core/trust/arc_seal.h"

namespace {

using namespace postern;

const std::shared_ptr<const trust::PrivateKey>& Key() {
  static const std::shared_ptr<const trust::PrivateKey> key =
      *trust::PrivateKey::FromEd25519Seed(std::string(32, 'k'));
  return key;
}

// Answered has every question answered with our own key.
trust::ArcVerdict Answered(dns::Inquiry<trust::ArcVerdict> inquiry) {
  static const std::string text =
      StrCat("v=DKIM1; k=ed25519; p=", mail::Base64Encode(Key()->PublicOctets()));
  return AnswerAll(std::move(inquiry), text);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string message(reinterpret_cast<const char*>(data), size);
  trust::ArcSealOptions options;
  options.key = {Key(), "example.org", "s", ""};
  trust::ArcVerifier verifier;
  trust::ArcSealer sealer(options);
  trust::MessageScan scan({&verifier, &sealer});
  scan.Feed(message);
  scan.Finish();
  const trust::ArcVerdict verdict = Answered(verifier.Check());
  POSTERN_CHECK(!verdict.reason.empty() && !verdict.explanation.empty());
  const StatusOr<std::string> fields = sealer.Seal(verdict, absl::FromUnixSeconds(1));
  if (!fields.ok() || verdict.result == trust::ArcResult::kFail) return 0;
  const trust::ArcVerdict after = Answered(trust::CheckArc(StrCat(*fields, message), {}, {}));
  POSTERN_CHECK(after.result == trust::ArcResult::kPass);
  return 0;
}
