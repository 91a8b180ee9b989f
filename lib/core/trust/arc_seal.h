// ARC sealing (RFC 8617 §5.1): one more set on the chain of a message. Nothing here seals unless it
// is asked to: the IETF is moving ARC to historic, and no policy of ours turns it on.
//
//   ArcVerifier verifier;  ArcSealer sealer(options);
//   MessageScan scan({&verifier, &sealer});
//   scan.Feed(…); scan.Finish();
//   const ArcVerdict verdict = co_await verifier.Check();
//   StatusOr<std::string> fields = sealer.Seal(verdict, now);   // goes in front of the message
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "lib/core/trust/arc_verify.h"
#include "lib/core/trust/dkim_sign.h"

namespace postern::trust {

struct ArcSealOptions {
  DkimSigningKey key;       // key, domain and selector; the identity is not used
  std::string authserv_id;  // who we are in Authentication-Results; empty: `key.domain`
  // What was found out about the message, "spf=pass smtp.mailfrom=…; dkim=…": it becomes the
  // ARC-Authentication-Results. Empty: taken from the message's own Authentication-Results fields
  // of `authserv_id`, which the caller vouches for.
  std::string results;
  std::vector<std::string> fields = DefaultArcSignedFields();  // h= of the message signature
  // Fields that nobody may add behind us without breaking the message signature: it is made like a
  // DKIM-Signature (RFC 8617 §4.1.2), for which RFC 6376 §8.15 says why.
  std::vector<std::string> oversigned = DefaultOversignedFields();
  Canonicalization body_canonicalization = Canonicalization::kRelaxed;
  bool timestamp = true;  // t=
  size_t max_signed_fields = 500;

  // DefaultArcSignedFields are DKIM's and DKIM-Signature itself (RFC 8617 §4.1.2).
  static const std::vector<std::string>& DefaultArcSignedFields();
};

// GatherResults joins the results of all Authentication-Results fields of `authserv_id` in the
// header's order, "spf=pass …; dkim=…", unfolded; "none" when there are none (RFC 8601 §2.2).
std::string GatherResults(const HeaderFields& header, std::string_view authserv_id);

// ArcSealer makes one set for one message. Not thread-safe.
class ArcSealer : public MessageScan::Reader {
 public:
  explicit ArcSealer(ArcSealOptions options);
  ~ArcSealer() override;

  void OnHeader(const HeaderFields& header, BodyHasher& body) override;
  void OnUnreadable(const char* reason, std::string why) override;

  // Seal gives the three fields, each with its CRLF, to be put in front of the message. `verdict`
  // is what ArcVerifier found on the same scan: cv= says it. After the scan's Finish.
  // Deterministic. kFailedPrecondition: the chain was sealed as failed before, or is full, and gets
  // no more sets (§5.1); kUnavailable: `verdict` is a temporary error, so nothing true can be
  // sealed; kInvalidArgument: the options, or the header (CheckSignableHeader).
  StatusOr<std::string> Seal(const ArcVerdict& verdict, WallTime now) const;

 private:
  ArcSealOptions options_;
  const HeaderFields* header_ = nullptr;
  const BodyHasher* body_ = nullptr;
  int body_number_ = -1;
  std::string unreadable_;
};

}  // namespace postern::trust
