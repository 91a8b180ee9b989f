// What CAPABILITY says (RFC 3501 §6.1.1, §7.2.1). An extension is a row of the table in
// capability.cc, and stands there only when it is built.
#pragma once

#include <cstdint>
#include <string>

#include "lib/core/imap/command_table.h"
#include "lib/core/sasl/mechanism.h"

namespace postern::imap {

struct CapabilityContext {
  State state = State::kNotAuthenticated;
  bool starttls = false;       // STARTTLS may be used now
  bool login_allowed = false;  // LOGIN and AUTHENTICATE may be used now
  // what AUTHENTICATE may be used with
  sasl::MechanismSet mechanisms = sasl::BitOf(sasl::Mechanism::kPlain);
  uint64_t append_limit_bytes = 0;
};

// FormatCapabilities writes the names that hold in `context`, with blanks between: "IMAP4rev1
// LITERAL+ …".
std::string FormatCapabilities(const CapabilityContext& context);

// CanEnable tells whether ENABLE of `name` (upper case) has an effect here (RFC 5161 §3.1).
bool CanEnable(std::string_view name);

}  // namespace postern::imap
