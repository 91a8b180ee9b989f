// SeededWorld: the real machine, but for chance and time. The ids that a queue gives, and with them
// the octets of its pages, are the same again with the same seed.
#pragma once

#include <mutex>
#include <span>

#include "lib/rt/asio/asio_world.h"
#include "lib/rt/sim/random.h"

namespace postern::store {

class SeededWorld final : public rt::World {
 public:
  explicit SeededWorld(uint64_t seed) : random_(seed) {}

  rt::Clock& clock() override { return clock_; }
  rt::Random& random() override { return random_; }
  rt::Files& files() override { return real_.files(); }
  rt::Network& network() override { return real_.network(); }
  rt::Processes& processes() override { return real_.processes(); }
  size_t worker_count() const override { return real_.worker_count(); }
  rt::Executor& worker(size_t index) override { return real_.worker(index); }

  void Run() { real_.Run(); }
  void Stop() { real_.Stop(); }
  // Advance lets `time` pass; by itself none does.
  void Advance(Duration time) { clock_.Advance(time); }
  // Reseed begins the numbers of another seed.
  void Reseed(uint64_t seed) { random_.Reseed(seed); }

 private:
  class Clock final : public rt::Clock {
   public:
    Instant Now() override {
      const std::lock_guard lock(mutex_);
      return Instant{1'000'000'000 + absl::ToInt64Nanoseconds(passed_)};
    }
    WallTime WallNow() override {
      const std::lock_guard lock(mutex_);
      return absl::FromUnixSeconds(1'760'000'000) + passed_;
    }
    void Advance(Duration time) {
      const std::lock_guard lock(mutex_);
      passed_ += time;
    }

   private:
    std::mutex mutex_;
    Duration passed_;
  };
  class Random final : public rt::Random {
   public:
    explicit Random(uint64_t seed) : numbers_(seed) {}
    void Fill(std::span<uint8_t> octets) override {
      const std::lock_guard lock(mutex_);
      numbers_.Fill(octets);
    }
    void Reseed(uint64_t seed) {
      const std::lock_guard lock(mutex_);
      numbers_ = rt::sim::SeededRandom(seed);
    }

   private:
    std::mutex mutex_;
    rt::sim::SeededRandom numbers_;
  };

  rt::AsioWorld real_;
  Clock clock_;
  Random random_;
};

}  // namespace postern::store
