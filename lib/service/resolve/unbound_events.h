// The event base that libunbound runs on (unbound-event.h), made of an rt::Executor: its
// descriptors are watched and its timers kept by our loop.
#pragma once

#include <memory>

#include "lib/rt/executor.h"

struct ub_event_base;

namespace postern::resolve {

// UnboundEvents belongs to the loop. It must outlive the ub_ctx that was made with base().
class UnboundEvents {
 public:
  explicit UnboundEvents(rt::Executor* loop);
  ~UnboundEvents();
  UnboundEvents(const UnboundEvents&) = delete;
  UnboundEvents& operator=(const UnboundEvents&) = delete;

  // base lends what ub_ctx_create_ub_event wants.
  ub_event_base* base();

 private:
  struct Base;
  std::unique_ptr<Base> base_;
};

}  // namespace postern::resolve
