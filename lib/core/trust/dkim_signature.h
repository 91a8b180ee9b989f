// Signature fields, read and written: DKIM-Signature (RFC 6376 §3.5), and of ARC the
// ARC-Message-Signature and the ARC-Seal, which are made of the same tags (RFC 8617 §4.1).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/core/trust/dkim_canonical.h"
#include "lib/core/trust/dkim_key.h"

namespace postern::trust {

enum class SignatureField : uint8_t { kDkim, kArcMessage, kArcSeal };

struct DkimSignature {
  std::string algorithm;             // a=, as written
  KeyKind key_kind = KeyKind::kRsa;  // of a=; the hash is always SHA-256
  Canonicalization header_canonicalization = Canonicalization::kSimple;  // c=
  Canonicalization body_canonicalization = Canonicalization::kSimple;
  std::string domain;                    // d=, as written
  std::string selector;                  // s=
  std::string identity;                  // i= of DKIM, decoded; "@domain" when it is left out
  std::string signature;                 // b=, its octets
  std::string body_hash;                 // bh=, its octets
  std::vector<std::string> fields;       // h=, as written
  std::optional<uint64_t> body_length;   // l=
  std::optional<uint64_t> signed_at_s;   // t=, seconds since 1970
  std::optional<uint64_t> expires_at_s;  // x=
  std::string copied_fields;             // z=, as written
  uint32_t instance = 0;                 // i= of ARC
  std::string chain_status;              // cv= of an ARC-Seal: "none", "pass", "fail"

  // Where the value of b= stands in the text that was parsed, white space included: it is left out
  // when the field is hashed (§3.7).
  size_t b_begin = 0, b_end = 0;
  // The start of b= without white space: RFC 8601 §2.7.1's header.b (RFC 6008).
  std::string b_start;

  // identity_domain is what follows the last "@" of `identity`.
  std::string_view identity_domain() const;
};

// SignatureFault says why a field is no signature that we can check.
struct SignatureFault {
  const char* reason = "";  // "signature_syntax", "missing_tag", "version_unknown", …
  std::string explanation;  // a sentence for people, without a full stop
  bool is_syntax = true;    // the field breaks the grammar; else it asks for what is not allowed
};

struct SignatureLimits {
  size_t max_field_bytes = 64 * 1024;  // ours: of one signature field
  size_t max_signed_fields = 1000;     // ours: names in h=
};

// ParseSignature reads `value`, the text behind the colon. When it returns a fault, `*signature`
// has what could be read: domain and selector for a report. Linear time.
std::optional<SignatureFault> ParseSignature(SignatureField kind, std::string_view value,
                                             DkimSignature* signature,
                                             const SignatureLimits& limits = {});

// PrintSignature writes the value of a field, folded so that no line passes 78 columns where that
// is possible; `name_bytes` are taken on the first line by the name and its colon. b= comes last
// for DKIM. With an empty `signature` the text is what is hashed, and PrintSignature with the
// signature in it differs from it in nothing but the value of b=. ARC's tags stand in the order of
// the alphabet, as most sealers have them.
std::string PrintSignature(SignatureField kind, const DkimSignature& signature, size_t name_bytes);

}  // namespace postern::trust
