#include "lib/service/filter/milter_rest.h"

#include <algorithm>
#include <utility>

#include "lib/core/base/strings.h"

namespace postern::service {

std::optional<std::string> MilterRest::Refusal(Instant now, Duration patience) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!resting_) return std::nullopt;
  if (now < until_) {
    const int64_t seconds = absl::ToInt64Seconds(absl::Ceil(until_ - now, absl::Seconds(1)));
    return StrCat(why_, " (", seconds, "s before it is tried again)");
  }
  until_ = now + patience;  // one tries it, for all
  return std::nullopt;
}

void MilterRest::Reached() {
  const std::lock_guard<std::mutex> lock(mutex_);
  resting_ = false;
  pause_ = absl::ZeroDuration();
}

void MilterRest::Failed(Instant begun, Instant now, std::string why) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (now - begun < options_.slow) {
    resting_ = false;
    pause_ = absl::ZeroDuration();
    return;
  }
  // Those who waited beside the first one say the same, and that is one failure.
  if (resting_ && begun < failed_) return;
  pause_ = std::min(pause_ == absl::ZeroDuration() ? options_.first_pause : pause_ * 2,
                    options_.longest_pause);
  resting_ = true;
  failed_ = now;
  until_ = now + pause_;
  why_ = std::move(why);
}

std::shared_ptr<MilterRest> MilterRests::Of(const Endpoint& endpoint) {
  const std::string key = endpoint.ToString();
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto known = rests_.find(key);
  if (known != rests_.end()) return known->second;
  if (rests_.size() >= kMaxSockets) rests_.clear();
  return rests_.emplace(key, std::make_shared<MilterRest>()).first->second;
}

}  // namespace postern::service
