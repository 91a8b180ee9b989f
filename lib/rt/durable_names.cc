#include "lib/rt/durable_names.h"

#include <vector>

namespace postern::rt {

Status DurableNames::Ensure(Files& files, const std::string& path) {
  std::vector<std::string> made;
  for (std::string at = path; !at.empty() && at != "/" && at != ".";) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (known_.contains(at)) break;
    }
    const size_t slash = at.rfind('/');
    const std::string parent = slash == std::string::npos ? "."
                               : slash == 0               ? "/"
                                                          : at.substr(0, slash);
    const Status synced = files.SyncDirectory(parent);
    if (!synced.ok() && synced.code() != StatusCode::kPermissionDenied) return synced;
    made.push_back(at);
    at = parent;
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  if (known_.size() + made.size() > limit_) known_.clear();
  known_.insert(made.begin(), made.end());
  return OkStatus();
}

void DurableNames::Know(const std::string& path) {
  const std::lock_guard<std::mutex> lock(mutex_);
  // It stands for those above it as well.
  if (known_.contains(path)) return;
  if (known_.size() >= limit_) known_.clear();
  for (size_t length = path.size(); length != std::string::npos && length > 0;
       length = path.rfind('/', length - 1)) {
    known_.insert(path.substr(0, length));
  }
}

bool DurableNames::Knows(const std::string& path) {
  const std::lock_guard<std::mutex> lock(mutex_);
  return known_.contains(path);
}

void DurableNames::Forget(const std::string& path) {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (size_t length = path.size(); length != std::string::npos && length > 0;
       length = path.rfind('/', length - 1)) {
    known_.erase(path.substr(0, length));
  }
}

}  // namespace postern::rt
