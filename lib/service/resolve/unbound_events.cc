#include "lib/service/resolve/unbound_events.h"

#include <exception>
#include <new>
#include <sys/time.h>

// The header wants these names to be known.
struct ub_event;
#include <unbound.h>

#include <unbound-event.h>

namespace postern::resolve {
namespace {

// Event is one ub_event: a descriptor, a timer, or both. libunbound owns it and frees it by the
// table's `free`.
struct Event : ub_event, rt::Timer {
  rt::Executor* loop = nullptr;
  int fd = -1;
  short bits = 0;
  void (*callback)(int, short, void*) = nullptr;
  void* argument = nullptr;

  std::unique_ptr<rt::FdWatch> watch;
  bool added = false;
  // *alive turns false when libunbound frees the event, perhaps in its own callback.
  std::shared_ptr<bool> alive = std::make_shared<bool>(true);

  void Disarm() {
    watch.reset();
    loop->Disarm(this);
    added = false;
  }

  void Fire(short what) {
    // As in libevent: an event that does not persist is over before its callback runs, which may
    // add it again.
    if ((bits & UB_EV_PERSIST) == 0) Disarm();
    callback(fd, what, argument);
  }

  int Arm(const timeval* timeout) {
    Disarm();
    if (fd >= 0 && (bits & (UB_EV_READ | UB_EV_WRITE)) != 0) {
      rt::FdInterest interest;
      interest.read = (bits & UB_EV_READ) != 0;
      interest.write = (bits & UB_EV_WRITE) != 0;
      std::weak_ptr<bool> life = alive;
      watch = loop->WatchFd(fd, interest, [this, life](rt::FdInterest ready) {
        if (life.expired() || !added) return;
        short what = 0;
        if (ready.read) what |= UB_EV_READ;
        if (ready.write) what |= UB_EV_WRITE;
        what &= bits;
        if (what != 0) Fire(what);
      });
      if (watch == nullptr) return -1;
    }
    if (timeout != nullptr && (bits & UB_EV_TIMEOUT) != 0) {
      run = [](rt::Timer* timer) { static_cast<Event*>(timer)->Fire(UB_EV_TIMEOUT); };
      loop->Arm(this, loop->Now() + absl::DurationFromTimeval(*timeout));
    }
    added = true;
    return 0;
  }
};

Event* Of(ub_event* event) { return static_cast<Event*>(event); }

void AddBits(ub_event* event, short bits) { Of(event)->bits |= bits; }
void DelBits(ub_event* event, short bits) { Of(event)->bits &= static_cast<short>(~bits); }
void SetFd(ub_event* event, int fd) { Of(event)->fd = fd; }
void Free(ub_event* event) {
  Of(event)->Disarm();
  delete Of(event);
}
// TryToArm keeps exceptions out of libunbound's C.
int TryToArm(Event* event, const timeval* timeout) noexcept {
  try {
    return event->Arm(timeout);
  } catch (const std::exception&) {
    event->Disarm();
    return -1;
  }
}
int Add(ub_event* event, timeval* timeout) { return TryToArm(Of(event), timeout); }
int Del(ub_event* event) {
  Of(event)->Disarm();
  return 0;
}
int AddTimer(ub_event* event, ub_event_base*, void (*callback)(int, short, void*), void* argument,
             timeval* timeout) {
  Of(event)->callback = callback;
  Of(event)->argument = argument;
  Of(event)->bits |= UB_EV_TIMEOUT;
  return TryToArm(Of(event), timeout);
}
int NoSignal(ub_event*, timeval*) { return -1; }
int NoSignalEnd(ub_event*) { return -1; }
void NoWindows(ub_event*) {}
void NoWindowsBlock(ub_event*, int) {}

ub_event_vmt* EventTable() {
  static ub_event_vmt table = {AddBits,  DelBits, SetFd,    Free,        Add,       Del,
                               AddTimer, Del,     NoSignal, NoSignalEnd, NoWindows, NoWindowsBlock};
  return &table;
}

}  // namespace

struct UnboundEvents::Base : ub_event_base {
  rt::Executor* loop = nullptr;
};

UnboundEvents::UnboundEvents(rt::Executor* loop) : base_(std::make_unique<Base>()) {
  static ub_event_base_vmt table = {
      [](ub_event_base*) {},
      [](ub_event_base*) { return -1; },
      [](ub_event_base*, timeval*) { return -1; },
      [](ub_event_base* base, int fd, short bits, void (*callback)(int, short, void*),
         void* argument) -> ub_event* {
        Event* event = nullptr;
        try {
          event = new Event;
        } catch (const std::bad_alloc&) {
          return nullptr;
        }
        event->magic = UB_EVENT_MAGIC;
        event->vmt = EventTable();
        event->loop = static_cast<Base*>(base)->loop;
        event->fd = fd;
        event->bits = bits;
        event->callback = callback;
        event->argument = argument;
        return event;
      },
      [](ub_event_base*, int, void (*)(int, short, void*), void*) -> ub_event* { return nullptr; },
      [](ub_event_base*, void*, void (*)(int, short, void*), void*) -> ub_event* {
        return nullptr;
      },
  };
  base_->magic = UB_EVENT_MAGIC;
  base_->vmt = &table;
  base_->loop = loop;
}

UnboundEvents::~UnboundEvents() = default;
ub_event_base* UnboundEvents::base() { return base_.get(); }

}  // namespace postern::resolve
