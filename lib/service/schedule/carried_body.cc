#include "lib/service/schedule/carried_body.h"

#include <string>
#include <utility>

namespace postern::schedule {
namespace {

// DowngradedBody is a message in its new form, made as it is read.
class DowngradedBody final : public store::Body {
 public:
  DowngradedBody(std::shared_ptr<const store::Body> source, message::DowngradePlan plan)
      : source_(std::move(source)), plan_(std::move(plan)) {}

  uint64_t size_bytes() const override { return plan_.size_bytes; }
  StatusOr<size_t> ReadAt(uint64_t offset, std::span<char> into) const override {
    return message::ReadDowngraded(
        plan_, offset, into,
        [this](uint64_t at, std::span<char> octets) { return source_->ReadAt(at, octets); });
  }

 private:
  const std::shared_ptr<const store::Body> source_;
  const message::DowngradePlan plan_;
};

StatusOr<std::string> ReadAll(const store::Body& body) {
  std::string octets(body.size_bytes(), '\0');
  size_t have = 0;
  while (have < octets.size()) {
    const StatusOr<size_t> got = body.ReadAt(have, std::span<char>(octets).subspan(have));
    if (!got.ok()) return got.status();
    if (*got == 0) return DataLoss("message is shorter than the queue says");
    have += *got;
  }
  return octets;
}

}  // namespace

StatusOr<CarriedBody> CarryBody(std::shared_ptr<const store::Body> source,
                                message::Carriage carriage,
                                const message::DowngradeOptions& options) {
  StatusOr<message::DowngradePlan> plan = message::DowngradePlan();
  if (const std::optional<std::string_view> memory = source->InMemory()) {
    plan = message::PlanDowngrade(*memory, carriage, options);
  } else {
    const StatusOr<std::string> octets = ReadAll(*source);
    if (!octets.ok()) return octets.status();
    plan = message::PlanDowngrade(*octets, carriage, options);
  }
  if (!plan.ok()) return plan.status();
  CarriedBody carried;
  carried.eight_bit = plan->eight_bit;
  carried.eight_bit_header = plan->eight_bit_header;
  if (plan->changed) {
    carried.body = std::make_shared<DowngradedBody>(std::move(source), *std::move(plan));
  } else {
    carried.body = std::move(source);
  }
  return carried;
}

}  // namespace postern::schedule
