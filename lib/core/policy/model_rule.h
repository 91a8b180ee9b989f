// `match`.
#pragma once

#include <cstdint>

#include "lib/core/policy/diagnostic.h"
#include "lib/core/policy/model_base.h"

namespace postern::policy {

// Criterion is one test of a rule or a filter. Without table it asks for presence alone (`auth`,
// `rdns`).
struct Criterion {
  bool present = false;
  bool negated = false;
  bool regex = false;
  TableId table = kNoIndex;
};

enum class FromKind : uint8_t { kLocal, kAny, kSource, kSocket, kRdns };
enum class ForKind : uint8_t { kLocal, kAny, kDomain };

// Rule is one `match`. `from auth`, `from mail-from` and `for rcpt-to` stand as kAny with the auth,
// mail-from or rcpt-to criterion, which is what they mean.
struct Rule {
  SourceLocation location;
  FromKind from_kind = FromKind::kLocal;
  Criterion from;
  ForKind for_kind = ForKind::kLocal;
  Criterion to;
  Criterion auth;
  Criterion helo;
  Criterion mail_from;
  Criterion rcpt_to;
  Criterion tag;
  Criterion tls;
  int action = kNoIndex;  // kNoIndex: reject

  bool IsReject() const { return action == kNoIndex; }
};

}  // namespace postern::policy
