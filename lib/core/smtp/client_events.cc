// The names of stages and reasons of the client's side, for logs and tests.
#include "lib/core/smtp/client_session.h"

namespace postern::smtp {

std::string_view ClientStageName(ClientStage stage) {
  switch (stage) {
    case ClientStage::kGreeting: return "greeting";
    case ClientStage::kHello: return "hello";
    case ClientStage::kStartTls: return "starttls";
    case ClientStage::kAuth: return "auth";
    case ClientStage::kReady: return "ready";
    case ClientStage::kMail: return "mail";
    case ClientStage::kRcpt: return "rcpt";
    case ClientStage::kData: return "data";
    case ClientStage::kBody: return "body";
    case ClientStage::kEndOfData: return "end-of-data";
    case ClientStage::kQuit: return "quit";
  }
  return "unknown";
}

std::string_view ClientCloseReasonName(ClientCloseReason reason) {
  switch (reason) {
    case ClientCloseReason::kQuit: return "quit";
    case ClientCloseReason::kGreeting: return "greeting-refused";
    case ClientCloseReason::kHello: return "hello-refused";
    case ClientCloseReason::kServerClosing: return "server-closing";
    case ClientCloseReason::kPeerClosed: return "peer-closed";
    case ClientCloseReason::kTimeout: return "timeout";
    case ClientCloseReason::kProtocol: return "protocol-error";
  }
  return "unknown";
}

}  // namespace postern::smtp
