// What the control socket tells of the server's state, once or for as long as somebody looks.
#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "lib/core/base/json.h"
#include "lib/core/base/strings.h"
#include "lib/core/control/metrics.h"
#include "lib/core/control/relay_lines.h"
#include "lib/core/control/render.h"
#include "lib/server/control_gate.h"

namespace postern::server {

using control::StatBook;

namespace {

constexpr Duration kMonitorInterval = absl::Seconds(1);
constexpr int kLinesBetweenHeaders = 25;
constexpr Duration kTraceInterval = absl::Milliseconds(100);
constexpr int kTracePausesBetweenSigns = 50;

// ProtocolOf is how a destination is spoken to, as in the URLs of smtpd.conf.
std::string_view ProtocolOf(const relay::ConnectionState& state) {
  if (state.lmtp) return "lmtp";
  switch (state.tls) {
    case queue::RelayTls::kNever: return "smtp+notls";
    case queue::RelayTls::kRequired: return "smtp+tls";
    case queue::RelayTls::kImplicit: return "smtps";
    case queue::RelayTls::kOpportunistic: break;
  }
  return "smtp";
}

std::string NameOf(const relay::ConnectionState& state) {
  const uint16_t usual = state.tls == queue::RelayTls::kImplicit ? 465 : 25;
  const bool is_usual = state.port == usual && !state.lmtp;
  return control::RelayName(state.route_host, is_usual ? uint16_t{0} : state.port,
                            ProtocolOf(state), !state.by_mx);
}

void Newest(std::optional<Duration>* of, Duration age) { *of = std::min(of->value_or(age), age); }

}  // namespace

// NumbersOfRelays are those that upstream has of its deliveries. A name appears once it is touched.
void ControlGate::NumbersOfRelays(const schedule::SchedulerCounters& scheduler,
                                  StatBook* book) const {
  std::set<std::string> hosts, relays, connectors, domains, sources;
  size_t connections = 0, routes = 0;
  for (relay::RelayDeliverer* const relay : parts_.relays) {
    for (const relay::ConnectionState& each : relay->Connections()) {
      ++connections;
      relays.insert(NameOf(each));
      domains.insert(each.route_host);
      sources.insert(each.source);
      connectors.insert(StrCat(each.source, " ", NameOf(each)));
      hosts.insert(each.address);
    }
    for (const relay::RouteState& each : relay->Routes()) {
      ++routes;
      hosts.insert(each.address);
      sources.insert(each.source);
    }
  }
  const uint64_t local =
      scheduler.in_flight - std::min(scheduler.in_flight, scheduler.relays_in_flight);
  const auto touched = [book](const char* name, bool used, uint64_t value) {
    if (used || value > 0) book->Set(name, static_cast<int64_t>(value));
  };
  const auto delivered = [book](std::string_view by) {
    return book->Get(StrCat(by, ".delivery.ok")) + book->Get(StrCat(by, ".delivery.tempfail")) +
               book->Get(StrCat(by, ".delivery.permfail")) >
           0;
  };
  const bool mda = delivered("mda"), mta = delivered("mta");
  touched("mda.envelope", mda, local);
  touched("mda.running", mda, local);
  touched("mta.connector", mta, connectors.size());
  touched("mta.domain", mta, domains.size());
  touched("mta.envelope", mta, scheduler.relays_in_flight);
  touched("mta.host", mta, hosts.size());
  touched("mta.relay", mta, relays.size());
  touched("mta.route", mta, routes);
  touched("mta.session", mta, connections);
  touched("mta.source", mta, sources.size());
  touched("mta.task", mta, scheduler.relay_batches);
}

rt::Task<StatBook> ControlGate::Numbers() {
  StatBook book = parts_.log->Numbers();
  const StatusOr<store::QueueCounts> counts =
      co_await parts_.queue->Counts(parts_.world->main_loop());
  if (counts.ok()) {
    book.Set("scheduler.envelope", static_cast<int64_t>(counts->envelopes));
    book.Set("queue.message", static_cast<int64_t>(counts->messages));
    book.Set("queue.held", static_cast<int64_t>(counts->held));
    book.Set("queue.parked", static_cast<int64_t>(counts->parked));
  }
  const store::QueueStatistics queue = parts_.queue->statistics();
  book.Set("queue.commit", static_cast<int64_t>(queue.commits));
  book.Set("queue.commit.failed", static_cast<int64_t>(queue.failed_commits));
  book.Set("queue.transaction", static_cast<int64_t>(queue.transactions));
  book.Set("queue.healthy", parts_.queue->health().healthy ? 1 : 0);
  const schedule::SchedulerCounters scheduler = parts_.scheduler->counters();
  book.Set("scheduler.envelope.inflight", static_cast<int64_t>(scheduler.in_flight));
  book.Set("scheduler.envelope.incoming", static_cast<int64_t>(scheduler.committed));
  book.Set("scheduler.envelope.gone", static_cast<int64_t>(scheduler.delivered + scheduler.relayed +
                                                           scheduler.failed + scheduler.removed));
  book.Set("scheduler.ramqueue.envelope", static_cast<int64_t>(scheduler.ready));
  if (scheduler.expired > 0)
    book.Set("scheduler.envelope.expired", static_cast<int64_t>(scheduler.expired));
  if (scheduler.removed > 0)
    book.Set("scheduler.envelope.removed", static_cast<int64_t>(scheduler.removed));
  if (scheduler.notices > 0) book.Set("queue.bounce", static_cast<int64_t>(scheduler.notices));
  NumbersOfRelays(scheduler, &book);
  if (service_ != nullptr) book.Set("control.session", static_cast<int64_t>(service_->sessions()));
  book.Set("uptime", absl::ToInt64Seconds(parts_.world->clock().Now() - started_));
  co_return book;
}

// ShowStats is for `metrics` as well: the same numbers.
rt::Task<int> ControlGate::ShowStats(Call* call) {
  const StatBook book = co_await Numbers();
  const int64_t uptime = book.Get("uptime");
  std::string help;
  const std::optional<control::Command> command = control::MatchVerb(call->request().words, &help);
  std::string text = command.has_value() && command->verb == control::Verb::kMetrics
                         ? control::OpenMetrics(book)
                         : control::StatsText(book, uptime);
  std::string json = control::StatsJson(book, uptime);
  const int done = co_await Plain(call, std::move(text), std::move(json));
  co_return done;
}

rt::Task<int> ControlGate::ShowStatus(Call* call) {
  const auto word = [](bool paused) { return paused ? "paused" : "running"; };
  const char* const mda = word(parts_.scheduler->paused(true));
  const char* const mta = word(parts_.scheduler->paused(false));
  const char* const smtp = word(parts_.ports->smtp_paused());
  JsonWriter json;
  json.BeginObject().Key("mda").String(mda).Key("mta").String(mta).Key("smtp").String(smtp);
  const store::QueueHealth health = parts_.queue->health();
  json.Key("queue_healthy")
      .Bool(health.healthy)
      .Key("queue_error")
      .String(health.error)
      .EndObject();
  std::string text = StrCat("MDA ", mda, "\nMTA ", mta, "\nSMTP ", smtp, "\n");
  std::string in_json = json.Take() + "\n";
  const int done = co_await Plain(call, std::move(text), std::move(in_json));
  co_return done;
}

rt::Task<int> ControlGate::ShowHosts(Call* call) {
  std::map<std::string, control::HostLine> hosts;
  for (relay::RelayDeliverer* const relay : parts_.relays) {
    for (const relay::ConnectionState& each : relay->Connections()) {
      control::HostLine& host = hosts[each.address];
      host.name = each.host;
      ++host.connections;
    }
    for (const relay::RouteState& each : relay->Routes()) {
      control::HostLine& host = hosts[each.address];
      if (host.name.empty()) host.name = each.host;
      ++host.references;
      if (each.tried.has_value()) Newest(&host.last, *each.tried);
    }
  }
  std::string text;
  JsonWriter json;
  json.BeginArray();
  for (auto& [address, host] : hosts) {
    host.address = address;
    text += control::HostText(host);
    json.BeginObject().Key("address").String(address).Key("name").String(host.name);
    json.Key("connections").Int(static_cast<int64_t>(host.connections)).EndObject();
  }
  json.EndArray();
  std::string in_json = json.Take() + "\n";
  const int done = co_await Plain(call, std::move(text), std::move(in_json));
  co_return done;
}

rt::Task<int> ControlGate::ShowHostStats(Call* call) {
  std::string text;
  JsonWriter json;
  json.BeginArray();
  for (const auto& [domain, stat] : parts_.log->HostStats()) {
    StrAppend(text, Escape(domain), "|", stat.unix_s, "|", Escape(stat.status, 1024), "\n");
    json.BeginObject().Key("domain").String(domain).Key("time").Int(stat.unix_s);
    json.Key("status").String(stat.status).EndObject();
  }
  json.EndArray();
  std::string in_json = json.Take() + "\n";
  const int done = co_await Plain(call, std::move(text), std::move(in_json));
  co_return done;
}

rt::Task<int> ControlGate::ShowRoutes(Call* call) {
  std::string text;
  JsonWriter json;
  json.BeginArray();
  for (relay::RelayDeliverer* const relay : parts_.relays) {
    for (const relay::RouteState& each : relay->Routes()) {
      const bool blocked = each.blocked > absl::ZeroDuration();
      control::RouteLine line;
      line.id = each.id;
      line.source = each.source;
      line.address = each.address;
      line.host = each.host;
      line.is_new = each.connections == 0;
      line.disabled = blocked;
      line.lowering = !blocked && each.failures > 0;
      line.keepalive = each.keeps_connection;
      line.connections = each.connections;
      line.penalty = each.failures;
      line.timeout = each.blocked;
      text += control::RouteText(line);
      json.BeginObject().Key("id").Int(static_cast<int64_t>(each.id));
      json.Key("source").String(each.source).Key("address").String(each.address);
      json.Key("port").Int(each.port).Key("host").String(each.host);
      json.Key("connections").Int(static_cast<int64_t>(each.connections));
      json.Key("penalty").Int(each.failures).Key("disabled").Bool(blocked);
      json.Key("seconds").Int(absl::ToInt64Seconds(each.blocked)).EndObject();
    }
  }
  json.EndArray();
  std::string in_json = json.Take() + "\n";
  const int done = co_await Plain(call, std::move(text), std::move(in_json));
  co_return done;
}

rt::Task<int> ControlGate::ShowRelays(Call* call) {
  struct Row {
    control::RelayLine line;
    std::map<std::string, control::RelayLine::Connector> connectors;  // by our address
  };
  std::map<std::string, Row> rows;
  for (relay::RelayDeliverer* const relay : parts_.relays) {
    for (const relay::ConnectionState& each : relay->Connections()) {
      Row& row = rows[NameOf(each)];
      ++row.line.connections;
      if (!each.idle) ++row.line.tasks;
      Newest(&row.line.last, each.age);
      control::RelayLine::Connector& connector = row.connectors[each.source];
      ++connector.connections;
      Newest(&connector.last, each.age);
    }
  }
  std::string text;
  JsonWriter json;
  json.BeginArray();
  for (auto& [name, row] : rows) {
    row.line.name = name;
    json.BeginObject().Key("relay").String(name);
    json.Key("connections").Int(static_cast<int64_t>(row.line.connections));
    json.Key("connectors").BeginArray();
    for (auto& [source, connector] : row.connectors) {
      connector.source = source;
      row.line.connectors.push_back(connector);
      json.BeginObject().Key("source").String(source);
      json.Key("connections").Int(static_cast<int64_t>(connector.connections)).EndObject();
    }
    text += control::RelayText(row.line);
    json.EndArray().EndObject();
  }
  json.EndArray();
  std::string in_json = json.Take() + "\n";
  const int done = co_await Plain(call, std::move(text), std::move(in_json));
  co_return done;
}

rt::Task<int> ControlGate::ShowMtaPaused(Call* call) {
  std::set<relay::PausedRelay> paused;
  for (relay::RelayDeliverer* const relay : parts_.relays)
    paused.insert(relay->paused().begin(), relay->paused().end());
  std::string text;
  JsonWriter json;
  json.BeginArray();
  for (const relay::PausedRelay& each : paused) {
    StrAppend(text, Escape(each.source), " -> ", Escape(each.destination), "\n");
    json.BeginObject().Key("source").String(each.source);
    json.Key("destination").String(each.destination).EndObject();
  }
  json.EndArray();
  std::string in_json = json.Take() + "\n";
  const int done = co_await Plain(call, std::move(text), std::move(in_json));
  co_return done;
}

rt::Task<int> ControlGate::Monitor(Call* call) {
  StatBook before;  // the first line is what the counters stand at
  for (int line = 0;; ++line) {
    StatBook now = co_await Numbers();
    std::string text;
    if (call->request().json) {
      text = control::MonitorJson(before, now);
    } else {
      if (line % kLinesBetweenHeaders == 0) {
        if (line > 0) text += "\n";
        text += control::MonitorHeader();
      }
      text += control::MonitorLine(before, now);
    }
    before = std::move(now);
    const Status sent = co_await call->Output(std::move(text));
    if (!sent.ok()) co_return 0;
    const bool go_on = co_await call->Pause(kMonitorInterval);
    if (!go_on) co_return 0;
  }
}

rt::Task<int> ControlGate::Trace(Call* call, std::string what) {
  if (what.size() < 3) {
    Status wrong = InvalidArgument("trace wants a subsystem, an id, or a part of an address");
    const int failed = co_await Done(call, std::move(wrong));
    co_return failed;
  }
  const std::shared_ptr<Watch> watch = parts_.log->AddWatch(what, call->request().json);
  struct Drop {
    LogTap* log;
    std::shared_ptr<Watch> watch;
    ~Drop() { log->DropWatch(watch); }
  } const drop{parts_.log, watch};
  for (int pause = 1;; ++pause) {
    size_t lost = 0;
    std::string text;
    for (const std::string& line : watch->Take(&lost)) text += line;
    if (lost > 0) {
      std::string note = StrCat(lost, " lines more were too many\n");
      const Status told = co_await call->Error(std::move(note));
      if (!told.ok()) co_return 0;
    }
    Status sent = OkStatus();
    if (!text.empty()) {
      sent = co_await call->Output(std::move(text));
    } else if (pause % kTracePausesBetweenSigns == 0) {
      sent = co_await call->SignOfLife();
    }
    if (!sent.ok()) co_return 0;
    const bool go_on = co_await call->Pause(kTraceInterval);
    if (!go_on) co_return 0;
  }
}

}  // namespace postern::server
