#include "lib/core/control/render.h"

#include <cstdio>

#include "lib/core/base/strings.h"

namespace postern::control {
namespace {

// Part makes a text from outside fit between two bars.
std::string Part(std::string_view text) {
  std::string out;
  for (const char c : Escape(text, queue::kMaxStoredTextBytes)) {
    if (c == '|') {
      out += "\\x7c";
    } else {
      out += c;
    }
  }
  return out;
}

// PathOf is an address as the queue's listing has it: the null one is "@".
std::string PathOf(const mail::Address& address) {
  const std::string text = address.ToString();
  return text.empty() ? "@" : text;
}

int64_t Unix(WallTime time) { return time == absl::InfinitePast() ? 0 : absl::ToUnixSeconds(time); }

std::string_view SourceOf(const queue::Envelope& envelope) {
  if (envelope.client.is_unix() || envelope.client_name == "localhost") {
    if (envelope.client.is_unix() || envelope.client.address.IsAny()) return "local";
  }
  return envelope.client.address.is_v6() ? "inet6" : "inet4";
}

std::string_view KindOf(const queue::Envelope& envelope) {
  if (envelope.bounce) return "bounce";
  return envelope.kind == queue::Envelope::Kind::kRelay ? "mta" : "mda";
}

std::vector<std::string_view> FlagsOf(const queue::Envelope& envelope) {
  std::vector<std::string_view> flags;
  if (envelope.bounce) flags.push_back("bounce");
  if (envelope.authenticated) flags.push_back("auth");
  if (envelope.internal) flags.push_back("internal");
  if (envelope.held) flags.push_back("suspend");
  return flags;
}

std::string_view StateOf(const QueueRow& row) {
  switch (row.state) {
    case QueueRow::State::kPending: return "pending";
    case QueueRow::State::kInFlight: return "inflight";
    case QueueRow::State::kOffline: break;
  }
  return "offline";
}

// SecondsOf is how long until the next attempt, or since this one began.
int64_t SecondsOf(const queue::Envelope& envelope, const QueueRow& row) {
  if (row.state == QueueRow::State::kInFlight) return absl::ToInt64Seconds(row.now - row.started);
  return Unix(envelope.next_attempt) - Unix(row.now);
}

WallTime LastTry(const queue::Envelope& envelope, const QueueRow& row) {
  return row.state == QueueRow::State::kInFlight ? row.started : envelope.last_attempt;
}

// The columns of `monitor`: the name, the stat, and whether it is shown as it is, not as what was
// added.
struct Column {
  const char* name;
  const char* stat;
  enum class Form : uint8_t { kCurrent, kAdded, kTaken } form;
};
constexpr Column kColumns[] = {
    {"clients", "smtp.session", Column::Form::kCurrent},
    {"connected", "smtp.session", Column::Form::kAdded},
    {"disconnected", "smtp.session", Column::Form::kTaken},
    {"envelopes", "scheduler.envelope", Column::Form::kCurrent},
    {"enqueued", "scheduler.envelope.incoming", Column::Form::kAdded},
    {"dequeued", "scheduler.envelope.gone", Column::Form::kAdded},
    {"ok", "scheduler.delivery.ok", Column::Form::kAdded},
    {"tempfail", "scheduler.delivery.tempfail", Column::Form::kAdded},
    {"permfail", "scheduler.delivery.permfail", Column::Form::kAdded},
    {"loop", "scheduler.delivery.loop", Column::Form::kAdded},
    {"expired", "scheduler.envelope.expired", Column::Form::kAdded},
    {"removed", "scheduler.envelope.removed", Column::Form::kAdded},
    {"bounced", "queue.bounce", Column::Form::kAdded},
};

int64_t ValueOf(const Column& column, const StatBook& before, const StatBook& now) {
  const auto added = [&](std::string_view stat) { return now.Get(stat) - before.Get(stat); };
  switch (column.form) {
    case Column::Form::kCurrent: return now.Get(column.stat);
    case Column::Form::kAdded:
      return std::string_view(column.stat) == "smtp.session" ? added("smtp.session.total")
                                                             : added(column.stat);
    case Column::Form::kTaken: break;
  }
  return added("smtp.session.total") - added("smtp.session");
}

}  // namespace

std::string QueueLine(const queue::Envelope& envelope, const QueueRow& row) {
  std::string line = StrCat(queue::EnvelopeIdText(envelope.id), "|", SourceOf(envelope), "|",
                            KindOf(envelope), "|");
  line += StrJoin(FlagsOf(envelope), ",");
  StrAppend(line, "|", Part(PathOf(envelope.sender.address)), "|", Part(PathOf(envelope.recipient)),
            "|", Part(PathOf(envelope.destination)), "|", Unix(envelope.created), "|",
            Unix(envelope.expires()), "|", Unix(LastTry(envelope, row)), "|", envelope.attempts,
            "|", StateOf(row), "|");
  if (row.state != QueueRow::State::kOffline) StrAppend(line, SecondsOf(envelope, row));
  StrAppend(line, "|", Part(envelope.last_error), "\n");
  return line;
}

void QueueJson(const queue::Envelope& envelope, const QueueRow& row, JsonWriter* json) {
  json->BeginObject();
  json->Key("id").String(queue::EnvelopeIdText(envelope.id));
  json->Key("message").String(queue::MessageIdText(envelope.message_id()));
  json->Key("source").String(SourceOf(envelope));
  json->Key("type").String(KindOf(envelope));
  json->Key("flags").BeginArray();
  for (const std::string_view flag : FlagsOf(envelope)) json->String(flag);
  json->EndArray();
  json->Key("sender").String(envelope.sender.address.ToString());
  json->Key("recipient").String(envelope.recipient.ToString());
  json->Key("destination").String(envelope.destination.ToString());
  json->Key("action").String(envelope.action);
  json->Key("created").Int(Unix(envelope.created));
  json->Key("expires").Int(Unix(envelope.expires()));
  json->Key("last_try").Int(Unix(LastTry(envelope, row)));
  json->Key("retries").Int(envelope.attempts);
  json->Key("state").String(StateOf(row));
  if (row.state != QueueRow::State::kOffline) json->Key("seconds").Int(SecondsOf(envelope, row));
  json->Key("error").String(envelope.last_error);
  json->EndObject();
}

std::string StatsText(const StatBook& book, int64_t uptime_seconds) {
  std::string text;
  for (const auto& [name, value] : book.all()) {
    if (name != "uptime") StrAppend(text, name, "=", value, "\n");
  }
  StrAppend(text, "uptime=", uptime_seconds, "\nuptime.human=", UptimeText(uptime_seconds), "\n");
  return text;
}

std::string StatsJson(const StatBook& book, int64_t uptime_seconds) {
  JsonWriter json(true);
  json.BeginObject();
  for (const auto& [name, value] : book.all()) {
    if (name != "uptime") json.Key(name).Int(value);
  }
  json.Key("uptime").Int(uptime_seconds);
  json.EndObject();
  return json.Take() + "\n";
}

std::string MonitorHeader() {
  return "--- client ---  -- envelope --   ---- relay/delivery --- ------- misc -------\n"
         "curr conn disc  curr  enq  deq   ok tmpfail prmfail loop expire remove bounce\n";
}

std::string MonitorLine(const StatBook& before, const StatBook& now) {
  // Where a group of columns begins, and how wide each is, as the header has them.
  constexpr const char* kForms[] = {"%4lld",    " %4lld",   " %4lld",    "  %4lld",   " %4lld",
                                    " %4lld",   " %4lld",   "    %4lld", "    %4lld", " %4lld",
                                    "   %4lld", "   %4lld", "   %4lld"};
  std::string line;
  size_t i = 0;
  for (const Column& column : kColumns) {
    char text[40];
    snprintf(text, sizeof text, kForms[i++], static_cast<long long>(ValueOf(column, before, now)));
    line += text;
  }
  return line + "\n";
}

std::string MonitorJson(const StatBook& before, const StatBook& now) {
  JsonWriter json;
  json.BeginObject();
  for (const Column& column : kColumns) json.Key(column.name).Int(ValueOf(column, before, now));
  json.EndObject();
  return json.Take() + "\n";
}

std::string LfLines::Take(std::string_view octets) {
  std::string out;
  out.reserve(octets.size());
  for (const char c : octets) {
    if (std::exchange(cr_, false) && c != '\n') out += '\r';
    if (c == '\r') {
      cr_ = true;
    } else {
      out += c;
    }
  }
  return out;
}

std::string MessageJson(queue::MessageId id, std::string_view content) {
  JsonWriter json;
  json.BeginObject().Key("message").String(queue::MessageIdText(id));
  json.Key("content").String(content).EndObject();
  return json.Take() + "\n";
}

std::string CountText(uint64_t count, std::string_view what) {
  const bool many = count > 1 || (count == 0 && what == "discovered");
  return StrCat(count, many ? " envelopes " : " envelope ", what, "\n");
}

}  // namespace postern::control
