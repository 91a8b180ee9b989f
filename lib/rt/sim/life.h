// Life: one life of a machine, from switching on to crash. Whatever belongs to it (streams,
// listeners, open files) asks whether it still runs, and what waits in it is told when it ends, so
// that coroutines unwind by errors.
#pragma once

#include <cstdint>
#include <map>
#include <utility>

#include "lib/core/base/status.h"
#include "lib/rt/sim/random.h"

namespace postern::rt::sim {

class Host;
class Simulation;

// Mortal is something that a crash must wake or cut.
class Mortal {
 public:
  virtual ~Mortal() = default;
  // OnHostDown is called once, in the event of the crash: it may schedule, but not resume a
  // coroutine.
  virtual void OnHostDown() = 0;
};

// HostIsDown is what every call of a dead life returns.
inline Status HostIsDown() { return Cancelled("the host is down"); }

class Life {
 public:
  Life(Simulation* simulation, Host* host, uint64_t number, SeededRandom random,
       int descriptor_limit)
      : simulation_(simulation),
        host_(host),
        number_(number),
        random_(random),
        descriptor_limit_(descriptor_limit) {}
  Life(const Life&) = delete;
  Life& operator=(const Life&) = delete;

  bool alive() const { return alive_; }
  uint64_t number() const { return number_; }
  Host& host() { return *host_; }
  Simulation& simulation() { return *simulation_; }
  SeededRandom& random() { return random_; }

  // TakeDescriptor counts one open file, stream or listener; false is EMFILE.
  bool TakeDescriptor() {
    if (descriptors_ >= descriptor_limit_) return false;
    ++descriptors_;
    return true;
  }
  void ReleaseDescriptor() { --descriptors_; }
  // TakeReserve takes the one descriptor kept for telling a peer that there are none; false when it
  // is in use.
  bool TakeReserve() { return !std::exchange(reserve_taken_, true); }
  void ReleaseReserve() { reserve_taken_ = false; }
  int descriptors() const { return descriptors_; }
  void set_descriptor_limit(int limit) { descriptor_limit_ = limit; }

  // Enroll and Dismiss keep the list of those to tell; in order of enrolment, for the sake of
  // repetition.
  uint64_t Enroll(Mortal* mortal) {
    mortals_[++last_enrolment_] = mortal;
    return last_enrolment_;
  }
  void Dismiss(uint64_t enrolment) { mortals_.erase(enrolment); }

  // End makes this life end.
  void End() {
    if (!alive_) return;
    alive_ = false;
    std::map<uint64_t, Mortal*> mortals;
    mortals.swap(mortals_);
    for (const auto& [enrolment, mortal] : mortals) mortal->OnHostDown();
  }

 private:
  Simulation* simulation_;
  Host* host_;
  uint64_t number_;
  SeededRandom random_;
  bool alive_ = true;
  int descriptors_ = 0;
  int descriptor_limit_;
  bool reserve_taken_ = false;
  uint64_t last_enrolment_ = 0;
  std::map<uint64_t, Mortal*> mortals_;
};

}  // namespace postern::rt::sim
