// A filter that says anything. The client goes through a session with it and keeps its promises:
// each step gets one verdict, changes come only at the end of a message and only those agreed, a
// header's value is one field, and a failed connection stays failed.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "lib/core/milter/client.h"

using namespace postern::milter;
using postern::Instant;

namespace {

void Check(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "fault: %s\n", what);
  std::abort();
}

void CheckValue(std::string_view value) {
  for (size_t i = 0; i < value.size(); ++i) {
    if (value[i] == '\r') Check(i + 1 < value.size() && value[i + 1] == '\n', "a lone CR");
    if (value[i] != '\n') continue;
    Check(i > 0 && value[i - 1] == '\r', "a lone LF");
    Check(i + 1 < value.size() && (value[i + 1] == ' ' || value[i + 1] == '\t'),
          "a value that is more than one field");
  }
}

bool Take(Client& client, int step, Instant now) {
  switch (step) {
    case 0: return client.Connect("a.test", Family::kInet, 25, "192.0.2.1", now);
    case 1: return client.Helo("a.test", now);
    case 2: return client.Mail("<a@b.test>", {"SIZE=1"}, now);
    case 3: return client.Rcpt("<a@b.test>", {}, now);
    case 4: return client.Data(now);
    case 5: return client.Unknown("XXXX", now);
    case 6: return client.Header("Subject", " a\r\n b", now);
    case 7: return client.EndOfHeaders(now);
    case 8: return client.Body("body\r\n", now);
    case 9: return client.Body("body\r\n", now);
    default: return client.EndOfMessage(now);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const uint8_t flags = data[0];
  const size_t piece_bytes = 1 + data[1];
  std::string_view input(reinterpret_cast<const char*>(data) + 2, size - 2);
  auto options = std::make_shared<ClientOptions>();
  options->version = 2 + flags % 5;
  options->max_packet_bytes = 512;
  options->max_changes = 8;
  options->max_change_bytes = 512;
  options->max_body_bytes = 512;
  options->max_reply_text_bytes = 128;
  Instant now{1};
  Client client(options, now);
  client.macros().Set("i", "1");
  int step = 0;
  bool asked = false;
  for (;;) {
    now.ns += 1'000'000;
    client.Wrote(client.PendingOutput().size());
    const ClientEvent event = client.NextEvent(now);
    switch (event.kind) {
      case ClientEvent::Kind::kNeedInput: {
        if (input.empty()) {
          if ((flags & 64) != 0) {
            client.FeedEnd();
          } else {
            Check(!client.NextDeadline().IsNever(), "a wait without an end");
            client.OnDeadline(client.NextDeadline());
          }
          break;
        }
        const std::string_view piece = input.substr(0, piece_bytes);
        input.remove_prefix(client.Feed(piece));
        break;
      }
      case ClientEvent::Kind::kReady:
        Check(!asked, "a step without its verdict");
        if (step == 24) {
          client.Quit((flags & 128) != 0);
          return 0;
        }
        if (step == 11) client.Abort();
        asked = Take(client, step < 11 ? step : step - 11, now);
        ++step;
        break;
      case ClientEvent::Kind::kVerdict:
        Check(asked, "a verdict without a step");
        asked = false;
        break;
      case ClientEvent::Kind::kChange:
        Check(asked && event.step == Step::kEndOfMessage, "a change out of its place");
        Check(event.change->value.empty() || !event.change->name.empty(), "a field without name");
        CheckValue(event.change->value);
        break;
      case ClientEvent::Kind::kFailed:
        Check(!client.Helo("a", now), "a step on a failed connection");
        Check(client.NextEvent(now).kind == ClientEvent::Kind::kFailed, "a failure that ends");
        return 0;
    }
  }
}
