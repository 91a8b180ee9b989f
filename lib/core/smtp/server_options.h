// What the operator may set about the SMTP server session: names, offers, bounds and times. Each
// bound cites where it comes from; all sessions of a listener share one object.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "lib/core/base/time.h"
#include "lib/core/sasl/mechanism.h"

namespace postern::smtp {

// Extension is one ESMTP service extension as a bit, for ServerOptions::extensions. The rows are in
// extensions.cc.
enum Extension : uint32_t {
  kExtensionPipelining = 1u << 0,     // RFC 2920
  kExtensionEightBitMime = 1u << 1,   // RFC 6152
  kExtensionSmtpUtf8 = 1u << 2,       // RFC 6531
  kExtensionSize = 1u << 3,           // RFC 1870
  kExtensionDsn = 1u << 4,            // RFC 3461
  kExtensionChunking = 1u << 5,       // RFC 3030 §2
  kExtensionBinaryMime = 1u << 6,     // RFC 3030 §3; needs kExtensionChunking
  kExtensionEnhancedCodes = 1u << 7,  // RFC 2034
  kExtensionStartTls = 1u << 8,       // RFC 3207; offered while tls_available and not yet in TLS
  kExtensionAuth = 1u << 9,           // RFC 4954; offered while auth_available allows it
  kExtensionLimits = 1u << 10,        // RFC 9422
  kExtensionHelp = 1u << 11,          // RFC 5321 §4.1.1.8
};
inline constexpr uint32_t kAllExtensions = (1u << 12) - 1;

struct ServerOptions {
  std::string hostname = "localhost";    // in the greeting and in the EHLO reply
  std::string banner = "ESMTP Postern";  // the greeting is "220 <hostname> <banner>"
  // qualify_domain is given to a recipient without a domain; when empty, only "postmaster" may come
  // without one.
  std::string qualify_domain;

  uint32_t extensions = kAllExtensions;  // what may be offered; a parameter of one that is not
                                         // offered is refused with 555

  bool tls_available = false;     // STARTTLS is offered
  bool tls_required = false;      // 530 5.5.1 to MAIL and VRFY before TLS
  bool auth_available = false;    // AUTH is offered, with what of `mechanisms` the channel allows
  bool auth_required = false;     // 530 5.5.1 to MAIL before AUTH
  bool auth_without_tls = false;  // AUTH in the clear too (RFC 4954 §4 asks servers not to)

  sasl::MechanismSet mechanisms = sasl::kPasswordMechanisms;

  // Bounds, in octets unless the name says otherwise. 0 means none where it says so.
  uint64_t max_message_bytes = 36'700'160;  // 35 MiB as smtpd's max-message-size; 0: none. RFC
                                            // 1870; RFC 5321 §4.5.3.1.7 wants >= 64 KiB
  size_t max_recipients = 1000;  // a message; RFC 5321 §4.5.3.1.8 wants >= 100. More: 452 4.5.3
  size_t max_messages = 100;     // a session; more: 452 4.5.3. RFC 9422 MAILMAX
  // RFC 5321 §4.5.3.1.4 gives 512 octets with CRLF, to which extensions add (SIZE 26, BODY 17,
  // SMTPUTF8 10, AUTH 500, DSN 600).
  size_t max_command_line_bytes = 2048;
  size_t max_auth_line_bytes = 12288;  // RFC 4954 §4.1, with CRLF
  // RFC 5321 §4.5.3.1.6 gives 1000 octets a text line with CRLF; real mail has longer ones. Longer
  // than this: 500 at the end.
  size_t max_text_line_bytes = 1'048'576;
  // what Feed keeps at most; grown on demand, given back when empty
  size_t input_buffer_bytes = 32'768;
  // pending replies beyond this stop the session at kNeedOutput
  size_t output_buffer_bytes = 16'384;
  // a command line that never ends is cut off here: 500, 421 and close
  size_t max_overlong_line_bytes = 65'536;
  // A message that is refused already is read over to its end, so that both sides stay in step, up
  // to this many octets; then the reply comes at once and the session closes.
  uint64_t max_discard_bytes = 134'217'728;

  // Patience with a peer that errs.
  size_t max_errors = 20;  // 4xx and 5xx of ours for bad commands; then 421 4.7.0 and close
  size_t max_refused_recipients = 100;  // a session (directory harvest); then 421 4.7.0 and close
  size_t max_auth_failures = 5;         // a session; then 421 4.7.0 and close
  // NOOP, RSET, VRFY, HELP, EHLO between two messages; each one more is an error
  size_t max_idle_commands = 100;

  // What a bare CR, a bare LF or a NUL in the text of a message does (RFC 5321 §2.3.8): when set,
  // the message is refused at its end with 550 5.6.0; otherwise it is accepted and MessageEnd tells
  // of it. Neither ends the data.
  bool refuse_bare_line_ends = true;
  bool close_after_bare_line_ends = true;  // and the session is closed after that 550, with 421
  // People type at port 25, and netcat sends what they type: a command line may end in LF alone.
  // DATA and BDAT may not even then, because what follows them is no command (500 5.5.2; behind
  // BDAT the session closes).
  bool accept_bare_lf_in_commands = true;

  // Times (RFC 5321 §4.5.3.2 as the server sees it).
  // §4.5.3.2.7: from one reply to the end of the next command line
  Duration command_timeout = absl::Minutes(5);
  Duration data_first_timeout = absl::Minutes(2);  // §4.5.3.2.4: from 354 to the first octet
  Duration data_block_timeout = absl::Minutes(3);  // §4.5.3.2.5: between two octets of a message
  Duration write_timeout = absl::Minutes(5);       // for pending output to move
  // from MAIL to the end of data: against one octet a minute
  Duration transaction_timeout = absl::Hours(1);
  Duration session_timeout = absl::Hours(4);  // in all
};

}  // namespace postern::smtp
