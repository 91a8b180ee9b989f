// What the control socket says about the mail in the queue, and does to it.
#include <algorithm>
#include <utility>

#include "lib/core/base/json.h"
#include "lib/core/base/strings.h"
#include "lib/core/control/render.h"
#include "lib/server/control_gate.h"

namespace postern::server {

using control::QueueRow;
using control::Verb;
using queue::Envelope;
using queue::EnvelopeId;

namespace {

constexpr size_t kPage = 500;               // envelopes read at a time
constexpr size_t kMaxParkedShown = 10'000;  // by one command
constexpr size_t kBodyPieceBytes = 64 * 1024;

// NarrowTo makes `request` look for what `id` names: an envelope, a message, or all.
void NarrowTo(const std::string& id, store::ListRequest* request) {
  if (const std::optional<EnvelopeId> envelope = queue::ParseEnvelopeId(id)) {
    request->message = queue::MessageIdOf(*envelope);
  } else if (const std::optional<queue::MessageId> message = queue::ParseMessageId(id)) {
    request->message = *message;
  }
}

bool IsMeant(const std::string& id, const Envelope& envelope) {
  const std::optional<EnvelopeId> wanted = queue::ParseEnvelopeId(id);
  return !wanted.has_value() || *wanted == envelope.id;
}

std::string_view ConditionOf(const store::ParkedEnvelope& parked) {
  if (!parked.envelope.has_value()) return "unreadable";
  return parked.has_message ? "damaged" : "message-lost";
}

}  // namespace

rt::Task<int> ControlGate::ShowQueue(Call* call, std::vector<std::string> operands) {
  rt::Executor& loop = parts_.world->main_loop();
  store::ListRequest request;
  request.limit = kPage;
  if (!operands.empty()) NarrowTo(operands[0], &request);
  const bool json = call->request().json;
  bool first = true;
  for (;;) {
    const StatusOr<std::vector<Envelope>> page = co_await parts_.queue->List(loop, request);
    if (!page.ok()) {
      const int failed = co_await Done(call, page.status());
      co_return failed;
    }
    std::string text;
    for (const Envelope& envelope : *page) {
      QueueRow row;
      row.now = parts_.queue->Now();
      if (const std::optional<WallTime> began = parts_.scheduler->InFlightSince(envelope.id)) {
        row.state = QueueRow::State::kInFlight;
        row.started = *began;
      }
      if (json) {
        JsonWriter writer;
        control::QueueJson(envelope, row, &writer);
        StrAppend(text, first ? "[" : ",\n", writer.text());
        first = false;
      } else {
        text += control::QueueLine(envelope, row);
      }
    }
    const bool last = page->empty();
    if (!last) request.after = page->back().id;
    if (last && json) text += first ? "[]\n" : "]\n";
    const Status sent = co_await call->Output(std::move(text));
    if (!sent.ok() || last) co_return 0;
  }
}

rt::Task<int> ControlGate::ShowEnvelope(Call* call, std::string id) {
  const EnvelopeId number = queue::ParseEnvelopeId(id).value_or(0);
  const StatusOr<Envelope> found = co_await parts_.queue->Get(parts_.world->main_loop(), number);
  if (!found.ok()) {
    const int failed = co_await Done(call, found.status());
    co_return failed;
  }
  QueueRow row;
  row.now = parts_.queue->Now();
  JsonWriter json;
  control::QueueJson(*found, row, &json);
  std::string text = queue::Describe(*found);
  std::string in_json = json.Take() + "\n";
  const int done = co_await Plain(call, std::move(text), std::move(in_json));
  co_return done;
}

rt::Task<int> ControlGate::ShowMessage(Call* call, std::string id) {
  rt::Executor& loop = parts_.world->main_loop();
  queue::MessageId message = 0;
  if (const std::optional<EnvelopeId> envelope = queue::ParseEnvelopeId(id)) {
    message = queue::MessageIdOf(*envelope);
  } else {
    message = queue::ParseMessageId(id).value_or(0);
  }
  const StatusOr<std::shared_ptr<const store::Body>> body =
      co_await parts_.queue->OpenBody(loop, message);
  if (!body.ok()) {
    const int failed = co_await Done(call, body.status());
    co_return failed;
  }
  uint64_t at = 0;
  control::LfLines lf_lines;
  std::string whole;  // for JSON alone, which is one value
  while (at < (*body)->size_bytes()) {
    std::string piece(kBodyPieceBytes, '\0');
    auto read = loop.RunBlocking([&] { return (*body)->ReadAt(at, std::span<char>(piece)); });
    const StatusOr<size_t> got = co_await read;
    if (!got.ok() || *got == 0) {
      const Status lost =
          got.ok() ? DataLoss("the message is shorter than it should be") : got.status();
      const int failed = co_await Done(call, lost);
      co_return failed;
    }
    at += *got;
    piece.resize(*got);
    std::string lines = lf_lines.Take(piece);
    if (call->request().json) {
      whole += lines;
      continue;
    }
    const Status sent = co_await call->Output(std::move(lines));
    if (!sent.ok()) co_return 1;
  }
  std::string rest = lf_lines.End();
  if (call->request().json) rest = control::MessageJson(message, whole + rest);
  if (!rest.empty()) (void)co_await call->Output(std::move(rest));
  co_return 0;
}

rt::Task<int> ControlGate::ShowParked(Call* call) {
  rt::Executor& loop = parts_.world->main_loop();
  std::string text;
  JsonWriter json;
  json.BeginArray();
  EnvelopeId after = 0;
  for (size_t shown = 0; shown < kMaxParkedShown;) {
    const StatusOr<std::vector<store::ParkedEnvelope>> page =
        co_await parts_.queue->Parked(loop, after, kPage);
    if (!page.ok()) {
      const int failed = co_await Done(call, page.status());
      co_return failed;
    }
    if (page->empty()) break;
    for (const store::ParkedEnvelope& each : *page) {
      StrAppend(text, queue::EnvelopeIdText(each.id), "|", ConditionOf(each));
      json.BeginObject().Key("id").String(queue::EnvelopeIdText(each.id));
      json.Key("condition").String(ConditionOf(each));
      if (each.envelope.has_value()) {
        QueueRow row;
        row.now = parts_.queue->Now();
        const std::string line = control::QueueLine(*each.envelope, row);
        StrAppend(text, "|", line.substr(0, line.size() - 1));
        json.Key("envelope");
        control::QueueJson(*each.envelope, row, &json);
      }
      text += "\n";
      json.EndObject();
    }
    shown += page->size();
    after = page->back().id;
  }
  json.EndArray();
  std::string in_json = json.Take() + "\n";
  const int done = co_await Plain(call, std::move(text), std::move(in_json));
  co_return done;
}

rt::Task<int> ControlGate::FreeParked(Call* call, std::string id, bool plain) {
  rt::Executor& loop = parts_.world->main_loop();
  store::ListRequest wanted;
  NarrowTo(id, &wanted);
  const std::optional<EnvelopeId> one = queue::ParseEnvelopeId(id);
  size_t freed = 0;
  EnvelopeId after = 0;
  for (;;) {
    const StatusOr<std::vector<store::ParkedEnvelope>> page =
        co_await parts_.queue->Parked(loop, after, kPage);
    if (!page.ok()) {
      const int failed = co_await Done(call, page.status());
      co_return failed;
    }
    if (page->empty()) break;
    after = page->back().id;
    Ids ids;
    for (const store::ParkedEnvelope& each : *page) {
      if (wanted.message.has_value() && queue::MessageIdOf(each.id) != *wanted.message) continue;
      if (one.has_value() && each.id != *one) continue;
      ids.push_back(each.id);
    }
    if (ids.empty()) continue;
    const StatusOr<size_t> done = co_await parts_.queue->Free(loop, std::move(ids));
    if (!done.ok()) {
      const int failed = co_await Done(call, done.status());
      co_return failed;
    }
    freed += *done;
  }
  if (freed > 0) parts_.scheduler->Look();
  if (plain) {
    Status status = OkStatus();
    if (freed == 0) status = NotFound("nothing of it is parked that could be used");
    const int done = co_await Done(call, std::move(status));
    co_return done;
  }
  std::string text = control::CountText(freed, "freed");
  std::string json = StrCat("{\"freed\":", freed, "}\n");
  const int done = co_await Plain(call, std::move(text), std::move(json));
  co_return done;
}

rt::Task<StatusOr<bool>> ControlGate::Apply(Verb verb, const Envelope* envelope) {
  schedule::Scheduler& scheduler = *parts_.scheduler;
  switch (verb) {
    case Verb::kPauseEnvelope:
      if (envelope->held) co_return false;
      scheduler.Hold(envelope->id);
      co_return true;
    case Verb::kResumeEnvelope:
      if (!envelope->held) co_return false;
      scheduler.Release(envelope->id);
      co_return true;
    case Verb::kRemove: {
      const Status removed = scheduler.Remove(envelope->id);
      co_return removed.ok();
    }
    case Verb::kSchedule: {
      const Status scheduled = co_await scheduler.ScheduleNow(envelope->id);
      if (scheduled.code() == StatusCode::kResourceExhausted) co_return scheduled;
      co_return scheduled.ok();
    }
    default: co_return true;  // discover: it is known
  }
}

rt::Task<int> ControlGate::ForEach(Call* call, Verb verb, std::string id) {
  rt::Executor& loop = parts_.world->main_loop();
  store::ListRequest request;
  request.limit = kPage;
  NarrowTo(id, &request);
  size_t count = 0;
  size_t busy = 0;
  Status stopped = OkStatus();
  while (stopped.ok()) {
    const StatusOr<std::vector<Envelope>> page = co_await parts_.queue->List(loop, request);
    if (!page.ok()) {
      stopped = page.status();
      break;
    }
    if (page->empty()) break;
    request.after = page->back().id;
    for (const Envelope& envelope : *page) {
      if (!IsMeant(id, envelope)) continue;
      const StatusOr<bool> done = co_await Apply(verb, &envelope);
      if (!done.ok()) {
        stopped = done.status();
        break;
      }
      if (*done) ++count;
      if (!*done && parts_.scheduler->InFlightSince(envelope.id).has_value()) ++busy;
    }
  }
  if (verb == Verb::kDiscover) parts_.scheduler->Look();
  // What unreadable envelopes there are can only be removed.
  if (verb == Verb::kRemove && stopped.ok()) {
    if (const std::optional<EnvelopeId> one = queue::ParseEnvelopeId(id);
        one && count == 0 && busy == 0) {
      const StatusOr<std::vector<store::ParkedEnvelope>> parked =
          co_await parts_.queue->Parked(loop, *one - 1, 1);
      if (parked.ok() && !parked->empty() && parked->front().id == *one &&
          parts_.scheduler->Remove(*one).ok())
        ++count;
    }
  }
  if (!stopped.ok()) {
    const int failed = co_await Done(call, stopped);
    co_return failed;
  }
  const char* const what = verb == Verb::kPauseEnvelope    ? "paused"
                           : verb == Verb::kResumeEnvelope ? "resumed"
                           : verb == Verb::kRemove         ? "removed"
                           : verb == Verb::kSchedule       ? "scheduled"
                                                           : "discovered";
  if (busy > 0 && verb == Verb::kRemove) {
    std::string note =
        StrCat(busy, busy > 1 ? " envelopes are" : " envelope is", " being delivered now\n");
    (void)co_await call->Error(std::move(note));
  }
  std::string text = control::CountText(count, what);
  std::string json = StrCat("{\"", what, "\":", count, "}\n");
  const int done = co_await Plain(call, std::move(text), std::move(json));
  co_return done;
}

}  // namespace postern::server
