// The envelope of a message: who sends it, to whom, and what was asked for on the way (RFC 5321
// §2.3.1, RFC 3461).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "lib/core/mail/address.h"

namespace postern::mail {

enum class BodyType : uint8_t { k7Bit, k8BitMime, kBinaryMime };

// DsnReturn is RET= of RFC 3461 §4.3.
enum class DsnReturn : uint8_t { kUnset, kFull, kHeaders };

// DsnNotify is NOTIFY= of RFC 3461 §4.1, as a set of bits; 0 means it was not given (failures and
// delays are told).
enum DsnNotify : uint8_t {
  kNotifyUnset = 0,
  kNotifyNever = 1,
  kNotifySuccess = 2,
  kNotifyFailure = 4,
  kNotifyDelay = 8,
};

// ReversePath is what MAIL FROM said.
struct ReversePath {
  Address address;  // empty: the null reverse-path
  BodyType body = BodyType::k7Bit;
  bool smtputf8 = false;
  std::optional<uint64_t> declared_size_bytes;  // SIZE=
  DsnReturn dsn_return = DsnReturn::kUnset;
  std::string dsn_envelope_id;  // ENVID=, xtext decoded: printable ASCII
  std::string auth;  // AUTH= (RFC 4954 §5), xtext decoded; "<>" or an address; empty when absent
};

// ForwardPath is what one RCPT TO said.
struct ForwardPath {
  Address address;
  uint8_t dsn_notify = kNotifyUnset;
  std::string dsn_original_recipient;  // ORCPT=, "type;address", xtext decoded: printable ASCII
                                       // (UTF-8 for utf-8;)
};

}  // namespace postern::mail
