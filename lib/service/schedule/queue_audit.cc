#include "lib/service/schedule/queue_audit.h"

#include <new>
#include <utility>

#include "lib/core/base/strings.h"

namespace postern::schedule {

QueueAudit::QueueAudit(rt::World& world, store::Queue& queue, LogSink& log,
                       QueueAuditOptions options)
    : loop_(world.main_loop()), queue_(queue), log_(log), options_(options), stop_(&loop_) {}

rt::Task<void> QueueAudit::Run() {
  while (!stop_.is_set()) {
    try {
      const bool whole = co_await Walk();
      if (whole) ++counters_.walks;
    } catch (const std::bad_alloc&) {
      // The next walk begins anew.
    }
    const Instant again = loop_.Now() + options_.interval;
    co_await stop_.Wait(again);
  }
}

rt::Task<bool> QueueAudit::Walk() {
  size_t told = 0;
  while (!stop_.is_set()) {
    const StatusOr<store::AuditPart> part = co_await queue_.Audit(loop_, options_.rows_per_tick);
    // The queue says itself what is wrong with its disk, and goes on with the walk when it can.
    if (!part.ok()) co_return false;
    counters_.rows += part->rows;
    for (const store::AuditFinding& finding : part->findings) Tell(finding, &told);
    if (part->sum) {
      if (!part->sum->Holds()) TellSum(*part->sum);
      if (told > options_.max_alarms) {
        LogRecord record;
        record.level = LogLevel::kError;
        record.subsystem = "queue";
        record.event = "ALARM: more messages are not in one state";
        record.fields.push_back(LogField{"count", StrCat(told - options_.max_alarms)});
        log_.Write(record);
      }
      co_return true;
    }
    const Instant next = loop_.Now() + options_.tick;
    co_await stop_.Wait(next);
  }
  co_return false;
}

void QueueAudit::Tell(const store::AuditFinding& finding, size_t* told) {
  ++counters_.findings;
  if (++*told > options_.max_alarms) return;
  LogRecord record;
  record.level = LogLevel::kError;
  record.subsystem = "queue";
  record.event = StrCat("ALARM: ", finding.what);
  record.fields.push_back(LogField{finding.id.size() > 8 ? "evpid" : "msgid", finding.id});
  log_.Write(record);
}

void QueueAudit::TellSum(const store::QueueSum& sum) {
  ++counters_.wrong_sums;
  LogRecord record;
  record.level = LogLevel::kError;
  record.subsystem = "queue";
  record.event = "ALARM: the queue does not add up";
  for (const auto& [name, value] : {std::pair{"queued-before", sum.queued_before},
                                    {"accepted", sum.accepted},
                                    {"delivered", sum.delivered},
                                    {"failed", sum.failed},
                                    {"removed", sum.removed},
                                    {"queued", sum.queued}}) {
    record.fields.push_back(LogField{name, StrCat(value)});
  }
  log_.Write(record);
}

}  // namespace postern::schedule
