// QueueAudit: the job that checks, as the server runs, that nothing in the queue is lost.
//
// At the start and then at an interval it walks through the queue, a few rows at a time, and
// compares: each envelope has its message and its place in the schedule, each message an envelope,
// and what was accepted is delivered, failed, removed or queued. What does not agree is an alarm in
// the log, by id where there is one. It changes nothing; a database that turns out to be damaged
// the queue rebuilds by itself.
#pragma once

#include <cstdint>

#include "lib/core/base/log.h"
#include "lib/core/base/time.h"
#include "lib/rt/executor.h"
#include "lib/rt/task.h"
#include "lib/rt/world.h"
#include "lib/store/queue/queue.h"

namespace postern::schedule {

struct QueueAuditOptions {
  // interval is the rest between two walks.
  Duration interval = absl::Minutes(10);
  // rows_per_tick is how many rows one tick looks at, and tick the rest between two of them: the
  // queue is taken for a few milliseconds in a hundred, a million rows take seven minutes.
  size_t rows_per_tick = 256;
  Duration tick = absl::Milliseconds(100);
  // max_alarms is how many findings of one walk are logged one by one; the rest are counted.
  size_t max_alarms = 100;
};

// QueueAuditCounters count since the start. For metrics.
struct QueueAuditCounters {
  uint64_t walks = 0;  // that came to their end
  uint64_t rows = 0;
  uint64_t findings = 0;
  uint64_t wrong_sums = 0;
};

// It lives on the main loop; all functions are called there.
class QueueAudit {
 public:
  // All references outlive it.
  QueueAudit(rt::World& world, store::Queue& queue, LogSink& log, QueueAuditOptions options = {});

  // Run works until Stop.
  rt::Task<void> Run();
  // Stop ends Run soon. Idempotent.
  void Stop() { stop_.Set(); }

  QueueAuditCounters counters() const { return counters_; }

 private:
  // Walk goes once through the queue; false when it had to be given up.
  rt::Task<bool> Walk();
  void Tell(const store::AuditFinding& finding, size_t* told);
  void TellSum(const store::QueueSum& sum);

  rt::Executor& loop_;
  store::Queue& queue_;
  LogSink& log_;
  const QueueAuditOptions options_;
  rt::Event stop_;
  QueueAuditCounters counters_;
};

}  // namespace postern::schedule
