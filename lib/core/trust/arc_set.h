// ARC sets (RFC 8617 §4): the three fields that each handler adds, read into a chain, and the hash
// that a seal signs.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lib/core/trust/dkim_signature.h"
#include "lib/core/trust/header_fields.h"

namespace postern::trust {

inline constexpr uint32_t kMaxArcSets = 50;  // RFC 8617 §4.2.1

// ArcSet is one handler's set. Its fields are named by their places in the header.
struct ArcSet {
  uint32_t instance = 0;
  size_t results_index = 0, message_index = 0, seal_index = 0;
  std::string_view results;  // what the ARC-Authentication-Results says behind "i=N;", as written
  DkimSignature message;     // ARC-Message-Signature
  DkimSignature seal;        // ARC-Seal
};

// ArcChain is all sets, the first one first.
struct ArcChain {
  std::vector<ArcSet> sets;
  size_t field_count = 0;  // ARC fields in the header; 0: the message has no chain
  // When the chain is broken in its form, why; `sets` is then empty.
  const char* fault = "";   // "structure", "signature_syntax", "missing_tag", …
  std::string explanation;  // without a full stop
  bool ok() const { return *fault == '\0'; }
  uint32_t newest_instance = 0;  // as far as could be read
};

// ReadArcChain gathers the ARC fields of `header` and checks their form (§5.2 steps 1 to 3): one of
// each kind for each instance, instances from 1 without a gap, cv=none at the first and cv=pass at
// the others. The views live as long as `header`. Linear time.
ArcChain ReadArcChain(const HeaderFields& header, const SignatureLimits& limits = {});

// ReadArcResults splits the value of an ARC-Authentication-Results: "i=N; authserv-id; …". 0 when
// that is not its form (§4.1.1).
uint32_t ReadArcResults(std::string_view value, std::string_view* results);

// AppendSealedSet appends one set in the form that seals hash (§5.1.1): results, message signature
// and seal, relaxed. A seal signs all sets up to its own, the first one first; its own set is the
// `last` one, whose seal comes without b= and without a line end.
void AppendSealedSet(const HeaderFields& header, const ArcSet& set, bool last, std::string& out);

}  // namespace postern::trust
