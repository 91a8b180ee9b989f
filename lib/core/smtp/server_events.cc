// The names of events and reasons, for logs and tests.
#include "lib/core/smtp/server_session.h"

namespace postern::smtp {

std::string_view CloseReasonName(CloseReason reason) {
  switch (reason) {
    case CloseReason::kQuit: return "quit";
    case CloseReason::kPeerClosed: return "peer-closed";
    case CloseReason::kTimeout: return "timeout";
    case CloseReason::kRefused: return "refused";
    case CloseReason::kTooManyErrors: return "too-many-errors";
    case CloseReason::kNotSmtp: return "not-smtp";
    case CloseReason::kProtocol: return "protocol-error";
    case CloseReason::kShutdown: return "shutdown";
  }
  return "unknown";
}

std::string_view ResetReasonName(ResetReason reason) {
  switch (reason) {
    case ResetReason::kRset: return "rset";
    case ResetReason::kHello: return "hello";
    case ResetReason::kTls: return "starttls";
    case ResetReason::kRefused: return "refused";
    case ResetReason::kDefective: return "defective";
    case ResetReason::kTooBig: return "too-big";
    case ResetReason::kClosed: return "closed";
  }
  return "unknown";
}

std::string_view EventKindName(ServerEvent::Kind kind) {
  using Kind = ServerEvent::Kind;
  switch (kind) {
    case Kind::kNeedInput: return "need-input";
    case Kind::kNeedOutput: return "need-output";
    case Kind::kAwaitingDecision: return "awaiting-decision";
    case Kind::kAwaitingTls: return "awaiting-tls";
    case Kind::kCommandLine: return "command-line";
    case Kind::kConnected: return "connected";
    case Kind::kHello: return "hello";
    case Kind::kStartTls: return "starttls";
    case Kind::kAuthenticate: return "authenticate";
    case Kind::kAuthSecret: return "auth-secret";
    case Kind::kMailFrom: return "mail-from";
    case Kind::kRcptTo: return "rcpt-to";
    case Kind::kDataBegin: return "data-begin";
    case Kind::kBodyChunk: return "body-chunk";
    case Kind::kMessageEnd: return "message-end";
    case Kind::kTransactionReset: return "transaction-reset";
    case Kind::kProtocolError: return "protocol-error";
    case Kind::kClosed: return "closed";
  }
  return "unknown";
}

}  // namespace postern::smtp
