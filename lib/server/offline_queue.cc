#include "lib/server/offline_queue.h"

#include <utility>

#include "lib/core/base/json.h"
#include "lib/core/base/strings.h"
#include "lib/core/control/render.h"
#include "lib/core/control/verbs.h"
#include "lib/store/queue/spool_reader.h"
#include "lib/store/queue/spool_seal.h"

namespace postern::server {
namespace {

using control::QueueRow;
using control::Verb;
using queue::EnvelopeId;
using queue::MessageId;

constexpr size_t kPage = 500;  // envelopes read at a time
constexpr size_t kBodyPieceBytes = 64 * 1024;
constexpr QueueRow kOffline = {QueueRow::State::kOffline, WallTime(), WallTime()};

int Failed(const Status& status, const OfflineOutput& output) {
  output(true, StrCat("command failed: ", Message(status), "\n"));
  return 1;
}

int ShowQueue(store::SpoolReader& reader, const control::Command& command, bool json,
              const OfflineOutput& output) {
  store::ListRequest request;
  request.limit = kPage;
  if (!command.operands.empty()) request.message = queue::ParseMessageId(command.operands[0]);
  bool first = true;
  size_t unreadable = 0;
  for (;;) {
    const StatusOr<store::SpoolReader::Page> page = reader.List(request);
    if (!page.ok()) return Failed(page.status(), output);
    std::string text;
    for (const queue::Envelope& envelope : page->envelopes) {
      if (json) {
        JsonWriter writer;
        control::QueueJson(envelope, kOffline, &writer);
        StrAppend(text, std::exchange(first, false) ? "[" : ",\n", writer.text());
      } else {
        text += control::QueueLine(envelope, kOffline);
      }
    }
    unreadable += page->unreadable.size();
    request.after = page->last;
    if (page->end && json) text += first ? "[]\n" : "]\n";
    if (!text.empty()) output(false, text);
    if (page->end) break;
  }
  if (unreadable == 0) return 0;
  output(true, StrCat(unreadable, unreadable > 1 ? " envelopes are" : " envelope is",
                      " damaged: the server will say more when it starts\n"));
  return 1;
}

int ShowEnvelope(store::SpoolReader& reader, EnvelopeId id, bool json,
                 const OfflineOutput& output) {
  const StatusOr<queue::Envelope> envelope = reader.Get(id);
  if (!envelope.ok()) return Failed(envelope.status(), output);
  JsonWriter writer;
  control::QueueJson(*envelope, kOffline, &writer);
  output(false, json ? writer.Take() + "\n" : queue::Describe(*envelope));
  return 0;
}

int ShowMessage(store::SpoolReader& reader, MessageId id, bool json, const OfflineOutput& output) {
  const StatusOr<std::shared_ptr<const store::Body>> body = reader.OpenBody(id);
  if (!body.ok()) return Failed(body.status(), output);
  control::LfLines lines;
  std::string whole;  // for JSON alone, which is one value
  for (uint64_t at = 0; at < (*body)->size_bytes();) {
    std::string piece(kBodyPieceBytes, '\0');
    const StatusOr<size_t> got = (*body)->ReadAt(at, std::span<char>(piece));
    if (!got.ok()) return Failed(got.status(), output);
    if (*got == 0) return Failed(DataLoss("the message is shorter than it should be"), output);
    at += *got;
    piece.resize(*got);
    std::string text = lines.Take(piece);
    if (json) {
      whole += text;
    } else {
      output(false, text);
    }
  }
  const std::string rest = lines.End();
  if (!json) {
    if (!rest.empty()) output(false, rest);
    return 0;
  }
  output(false, control::MessageJson(id, whole + rest));
  return 0;
}

}  // namespace

StatusOr<int> AnswerOffline(rt::World& world, const policy::Config& config,
                            const std::string& spool, const control::Request& request,
                            const OfflineOutput& output) {
  std::string help;
  const std::optional<control::Command> command = control::MatchVerb(request.words, &help);
  if (!command.has_value()) {
    output(true, help);
    return 1;
  }
  if (command->verb != Verb::kShowQueue && command->verb != Verb::kShowEnvelope &&
      command->verb != Verb::kShowMessage)
    return Unimplemented("it takes a server that runs");
  store::QueueOptions options;
  if (!config.queue.encryption_key.empty()) {
    StatusOr<std::shared_ptr<const store::SpoolSeal>> seal = store::SpoolSeal::Make(
        config.queue.compression, config.queue.encryption_key, world.random());
    if (!seal.ok()) return seal.status();
    options.seal = *std::move(seal);
  }
  store::SpoolReader reader(world.files(), spool, options);
  const std::string first = command->operands.empty() ? std::string() : command->operands[0];
  const std::optional<EnvelopeId> envelope = queue::ParseEnvelopeId(first);
  switch (command->verb) {
    case Verb::kShowEnvelope:
      return ShowEnvelope(reader, envelope.value_or(0), request.json, output);
    case Verb::kShowMessage:
      return ShowMessage(reader,
                         envelope.has_value() ? queue::MessageIdOf(*envelope)
                                              : queue::ParseMessageId(first).value_or(0),
                         request.json, output);
    default: break;
  }
  return ShowQueue(reader, *command, request.json, output);
}

}  // namespace postern::server
