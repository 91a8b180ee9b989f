#include "lib/rt/sim/simulation.h"

#include <algorithm>

#include "lib/core/base/strings.h"
#include "lib/rt/sim/fabric.h"
#include "lib/rt/sim/host.h"

namespace postern::rt::sim {

Simulation::Simulation(const SimulationOptions& options)
    : options_(options), random_(options.seed), fabric_(std::make_unique<Fabric>(this)) {}

Simulation::~Simulation() = default;

Host& Simulation::AddHost(HostOptions options) {
  hosts_.push_back(std::make_unique<Host>(this, std::move(options)));
  return *hosts_.back();
}

Host* Simulation::FindHost(std::string_view name) {
  for (const auto& host : hosts_) {
    if (host->name() == name) return host.get();
  }
  return nullptr;
}

Simulation::EventId Simulation::At(Instant when, Executor* context, std::function<void()> fn) {
  uint32_t index;
  if (free_slots_.empty()) {
    index = static_cast<uint32_t>(slots_.size());
    slots_.emplace_back();
  } else {
    index = free_slots_.back();
    free_slots_.pop_back();
  }
  Slot& slot = slots_[index];
  slot.fn = std::move(fn);
  slot.context = context;
  slot.used = true;
  heap_.push_back(Entry{std::max(when, now_).ns, ++sequence_, index, slot.generation});
  std::push_heap(heap_.begin(), heap_.end(), Later());
  return (static_cast<uint64_t>(slot.generation) << 32) | (index + 1u);
}

void Simulation::Release(uint32_t index) {
  Slot& slot = slots_[index];
  slot.fn = nullptr;
  slot.used = false;
  ++slot.generation;
  free_slots_.push_back(index);
}

void Simulation::Cancel(EventId id) {
  const uint32_t index = static_cast<uint32_t>(id) - 1u;
  if (index >= slots_.size()) return;
  if (!slots_[index].used || slots_[index].generation != static_cast<uint32_t>(id >> 32)) return;
  Release(index);
  ++stale_;
  if (stale_ > 1024 && stale_ > heap_.size() / 2) Compact();
}

void Simulation::Compact() {
  std::erase_if(heap_, [this](const Entry& entry) { return IsStale(entry); });
  std::make_heap(heap_.begin(), heap_.end(), Later());
  stale_ = 0;
}

void Simulation::DropStale() {
  while (!heap_.empty() && IsStale(heap_.front())) {
    std::pop_heap(heap_.begin(), heap_.end(), Later());
    heap_.pop_back();
    --stale_;
  }
}

bool Simulation::Step() {
  DropStale();
  if (heap_.empty()) return false;
  const Entry entry = heap_.front();
  std::pop_heap(heap_.begin(), heap_.end(), Later());
  heap_.pop_back();
  // SpendTime may have moved the clock past the event's time.
  now_ = std::max(now_, Instant{entry.at_ns});
  ++steps_;
  Mix(static_cast<uint64_t>(now_.ns) ^ (entry.sequence << 40));
  // The slot is free before the callback runs: it may schedule, and cancelling itself does nothing.
  std::function<void()> fn = std::move(slots_[entry.slot].fn);
  Executor* const context = slots_[entry.slot].context;
  Release(entry.slot);
  Executor* const before = std::exchange(current_, context);
  fn();
  current_ = before;
  return true;
}

RunResult Simulation::RunUntil(const std::function<bool()>& done, Instant limit) {
  const uint64_t last_step = steps_ + options_.step_limit;
  for (;;) {
    if (done && done()) return RunResult::kPredicate;
    DropStale();
    if (heap_.empty()) {
      if (limit.IsNever()) return RunResult::kIdle;
      now_ = std::max(now_, limit);
      return RunResult::kTime;
    }
    if (heap_.front().at_ns > limit.ns) {
      now_ = std::max(now_, limit);
      return RunResult::kTime;
    }
    if (steps_ >= last_step) return RunResult::kStepLimit;
    Step();
  }
}

RunResult Simulation::Run(Instant limit) { return RunUntil(nullptr, limit); }

void Simulation::Tell(const std::string& line) {
  if (!sink_) return;
  std::string stamped = StrCat(now_.ns / 1'000'000'000, ".");
  const std::string nanos = std::to_string(now_.ns % 1'000'000'000);
  stamped.append(9 - nanos.size(), '0').append(nanos).append(" ").append(line);
  sink_(stamped);
}

}  // namespace postern::rt::sim
