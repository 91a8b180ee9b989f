// What the verification of every signature in a header comes to, DKIM's and ARC's: the hash of the
// signed fields, and the judgement of a key. For the verifiers of this folder.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "lib/core/dns/answer.h"
#include "lib/core/trust/dkim_key.h"
#include "lib/core/trust/dkim_signature.h"
#include "lib/core/trust/header_fields.h"
#include "lib/core/trust/sha256.h"

namespace postern::trust {

struct SignatureCheckLimits {
  int min_rsa_bits = 1024;     // RFC 8301 §3.2
  int max_rsa_bits = 8192;     // RFC 8301 §3.2 asks for 4096; beyond ours a check takes too long
  size_t max_key_records = 3;  // of one name; RFC 6376 §3.6.2.2 wants one there
  DkimKeyLimits key;
};

// KeyName is where the key is: selector._domainkey.domain (RFC 6376 §3.6.2.1), names beyond ASCII
// as A-labels (RFC 8616 §4). nullopt when no DNS name comes of it.
std::optional<dns::Name> KeyName(const DkimSignature& signature);

// AppendSignatureField appends the field `raw` whose b= is at [b_begin, b_end) of its value,
// canonical and with that b= empty (§3.7 step 2). No line end.
void AppendSignatureField(Canonicalization canonicalization, const RawField& field, size_t b_begin,
                          size_t b_end, std::string& out);

// HashSignedFields computes the hash that a signature over a message signs (§3.7): the fields of
// h=, each name taking the next one from the bottom up, then the signature's own field with b=
// empty. `own` is its place among the header's fields and is never taken for a name of h= (§3.5).
Digest HashSignedFields(const HeaderFields& header, const DkimSignature& signature, size_t own);

// HashSignedFields for a field that is not in the header yet: `field` is its whole text, b= empty.
Digest HashSignedFields(const HeaderFields& header, const DkimSignature& signature,
                        std::string_view field);

// KeyJudgement is what became of one signature once the DNS has answered.
struct KeyJudgement {
  enum class Kind : uint8_t { kGood, kTemporary, kUnusable, kDiffers };
  Kind kind = Kind::kUnusable;
  const char* reason = "";
  std::string explanation;  // without a full stop
  int key_bits = 0;         // 0: no key was found
  bool testing = false;     // the key says t=y
};

// JudgeKey finds the key for `signature` in `answer` to a question for `name`, and checks the
// signature over `digest` with it; with `body_differs` the signature is not worth checking and only
// the key is judged (kGood then says the key is). `check_identity` is DKIM's t=s. The records are
// tried in their order until one does.
KeyJudgement JudgeKey(const DkimSignature& signature, const dns::Name& name,
                      const dns::Answer& answer, const Digest& digest, bool body_differs,
                      bool check_identity, const SignatureCheckLimits& limits, DkimKeyCache* cache);

}  // namespace postern::trust
