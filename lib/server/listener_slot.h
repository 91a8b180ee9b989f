// ListenerSlot: where a listener stands in the configuration that it serves under. A session asks
// its listener's slot for certificates, logins and senders, so that it sees a reload that keeps the
// line, and keeps what it began under when the line is gone.
#pragma once

#include <memory>
#include <mutex>

#include "lib/server/runtime.h"

namespace postern::server {

// Any thread.
class ListenerSlot {
 public:
  struct View {
    std::shared_ptr<const Runtime> runtime;
    int index = policy::kNoIndex;  // into Config::listeners; kNoIndex: the socket nobody wrote

    // listener is the line; null for the socket that is there without one.
    const policy::Listener* listener() const {
      if (runtime == nullptr || index == policy::kNoIndex) return nullptr;
      return &runtime->config().listeners[static_cast<size_t>(index)];
    }
  };

  explicit ListenerSlot(View view) : view_(std::move(view)) {}
  View Get() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return view_;
  }
  void Set(View view) {
    const std::lock_guard<std::mutex> lock(mutex_);
    view_ = std::move(view);
  }

  // ViewOf reads the slot that a session's listener carries as its origin; empty for mail that this
  // process hands in itself.
  static View ViewOf(const std::shared_ptr<const void>& origin) {
    return origin == nullptr ? View() : static_cast<const ListenerSlot*>(origin.get())->Get();
  }

 private:
  mutable std::mutex mutex_;
  View view_;
};

}  // namespace postern::server
