// ARC validation (RFC 8617 §5.2): whether the chain of those who handled a message is whole. It
// stands beside DKIM on the same pass over the message and keeps results of its own, as any other
// method over header and body would.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lib/core/base/time.h"
#include "lib/core/dns/inquiry.h"
#include "lib/core/trust/arc_set.h"
#include "lib/core/trust/message_scan.h"
#include "lib/core/trust/signature_check.h"

namespace postern::trust {

// ArcResult has the words of RFC 8617 §4.4, and one more for a DNS that did not answer, which §5.2
// leaves open: the chain can be neither believed nor called broken.
enum class ArcResult : uint8_t { kNone, kPass, kFail, kTempError };
const char* ArcResultName(ArcResult result);  // "none", "pass", "fail", "temperror"

struct ArcVerifyOptions {
  SignatureLimits signature;
  SignatureCheckLimits check;
  DkimKeyCache* key_cache = nullptr;  // as DkimVerifyOptions has it
};

// ArcSetVerdict tells of one set what a receiver may want to know.
struct ArcSetVerdict {
  uint32_t instance = 0;
  std::string domain;          // d= of its seal
  std::string selector;        // s= of its seal
  std::string message_domain;  // d= of its message signature
  std::string results;         // the Authentication-Results as the handler saw them, unfolded
  bool seal_good = false;
  bool message_good = false;  // its message signature still holds
};

struct ArcVerdict {
  ArcResult result = ArcResult::kNone;
  std::string reason;               // "good", "no_chain", "structure", "seal_differs", …
  std::string explanation;          // for people: "ARC pass: …"
  std::vector<ArcSetVerdict> sets;  // the first one first; empty when the chain has no form
  uint32_t instances = 0;           // sets in the chain
  // §5.2 step 5: the least instance whose message signature, with all after it, still holds; 0 when
  // all do: nothing was changed since the first seal.
  uint32_t oldest_pass = 0;
};

// ArcVerifier reads one message. Not thread-safe.
class ArcVerifier : public MessageScan::Reader {
 public:
  explicit ArcVerifier(ArcVerifyOptions options = {});
  ~ArcVerifier() override;

  void OnHeader(const HeaderFields& header, BodyHasher& body) override;
  void OnUnreadable(const char* reason, std::string why) override;

  // Check asks for the keys and gives the verdict. After the scan's Finish, once; verifier and scan
  // must live until it is done.
  dns::Inquiry<ArcVerdict> Check();

  // chain lends what OnHeader found.
  const ArcChain& chain() const { return chain_; }

 private:
  ArcVerifyOptions options_;
  const HeaderFields* header_ = nullptr;
  const BodyHasher* body_ = nullptr;
  ArcChain chain_;
  std::vector<int> body_numbers_;  // of chain_.sets
  ArcVerdict verdict_;
};

// CheckArc validates a whole message that is in memory.
dns::Inquiry<ArcVerdict> CheckArc(std::string message, MessageScanOptions scan_options,
                                  ArcVerifyOptions options);

}  // namespace postern::trust
