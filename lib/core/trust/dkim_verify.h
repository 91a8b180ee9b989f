// DKIM verification (RFC 6376 §6, RFC 8301, RFC 8463): all signatures of a message in one pass.
//
//   DkimVerifier verifier;
//   MessageScan scan({&verifier});
//   scan.Feed(…); scan.Finish();
//   const DkimVerdict verdict = co_await verifier.Check(now);
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lib/core/base/time.h"
#include "lib/core/dns/inquiry.h"
#include "lib/core/trust/message_scan.h"
#include "lib/core/trust/signature_check.h"

namespace postern::trust {

// DkimResult has the words of RFC 8601 §2.7.1.
enum class DkimResult : uint8_t {
  kNone,       // the message has no signature
  kPass,       // the signature is good
  kFail,       // body or signed fields are not what was signed
  kPolicy,     // not looked at, or not acceptable to us (too many signatures, too large a header)
  kNeutral,    // the field is malformed; or it fails with a key that says t=y
  kTempError,  // the DNS did not answer
  kPermError,  // no usable key, an algorithm that is not allowed, an expired signature
};
const char* DkimResultName(DkimResult result);  // "none", "pass", …

struct DkimVerifyOptions {
  SignatureLimits signature;
  SignatureCheckLimits check;
  // How many signatures are looked at, from the top; the others are kPolicy. RFC 6376 §6.1 leaves
  // the number to the verifier.
  size_t max_signatures = 5;
  // A signature made later than this ahead of us is not valid yet (§3.5, t=).
  Duration future_tolerance = absl::Hours(24);
  // Keys read before; null for none. It must outlive the check and belong to its thread.
  DkimKeyCache* key_cache = nullptr;
};

// DkimSignatureVerdict is what became of one signature.
struct DkimSignatureVerdict {
  DkimResult result = DkimResult::kPermError;
  std::string reason;       // a stable word, "body_hash_differs"; "good" for a pass
  std::string explanation;  // for people: "DKIM fail: body hash differs; …"
  DkimSignature signature;  // as far as it could be read
  size_t field_index = 0;   // its place among the fields of the header
  int key_bits = 0;         // 0: no key
  bool testing = false;  // the key says t=y: §3.6.1 wants no difference to mail without signature
  uint64_t unsigned_body_bytes = 0;  // what l= leaves out, in canonical octets
};

// DkimVerdict has one verdict for each signature, in the order of the header; or none, and then
// `result`, `reason` and `explanation` say why there is none.
struct DkimVerdict {
  std::vector<DkimSignatureVerdict> signatures;
  DkimResult result = DkimResult::kNone;  // of the best: a pass if there is one
  std::string reason;
  std::string explanation;
};

// DkimVerifier reads one message. Not thread-safe.
class DkimVerifier : public MessageScan::Reader {
 public:
  explicit DkimVerifier(DkimVerifyOptions options = {});
  ~DkimVerifier() override;

  void OnHeader(const HeaderFields& header, BodyHasher& body) override;
  void OnUnreadable(const char* reason, std::string why) override;

  // Check asks for the keys, each name once and all together, and gives the verdict. After the
  // scan's Finish, once; verifier and scan must live until it is done. `now` is when the message
  // came in.
  dns::Inquiry<DkimVerdict> Check(WallTime now);

 private:
  struct Candidate;
  void Judge(const Candidate& candidate, const dns::Answer* answer, int64_t now_s,
             DkimSignatureVerdict* verdict) const;

  DkimVerifyOptions options_;
  const HeaderFields* header_ = nullptr;
  const BodyHasher* body_ = nullptr;
  std::vector<Candidate> candidates_;
  DkimVerdict verdict_;
};

// CheckDkim verifies a whole message that is in memory.
dns::Inquiry<DkimVerdict> CheckDkim(std::string message, MessageScanOptions scan_options,
                                    DkimVerifyOptions options, WallTime now);

}  // namespace postern::trust
