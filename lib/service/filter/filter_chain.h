// FilterChain: several filters as one, in their order.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "lib/service/smtp/session_filter.h"

namespace postern::service {

// FilterChain asks its members in turn, in each phase those that care for it. What one decides,
// whatever it is (to reject, to rewrite, to junk, or that this is enough: FilterVerdict::last),
// ends the phase; later phases are asked anew. Each verdict but the silent "go on" of a phase
// nobody cares for is told to all of them as kFilterResponse.
//
// The content goes through those that want it one after the other: each writes straight into the
// next one, which takes it before more is given, so that nothing gathers in between. At the end
// they are ended in their order; the first that refuses or discards has the word, and those behind
// it are broken off. The envelope's changes of all are gathered.
class FilterChain final : public SessionFilter {
 public:
  explicit FilterChain(std::vector<std::unique_ptr<SessionFilter>> members);
  ~FilterChain() override;

  uint32_t phases() const override { return phases_; }
  uint32_t events() const override { return events_; }
  bool wants_content() const override { return !stages_.empty(); }

  rt::Task<FilterVerdict> Ask(FilterQuestion question) override;
  void Report(const FilterReport& report) override;
  void BeginContent(const FilterQuestion& question, ContentSink* next) override;
  rt::Task<Status> Content(std::string_view piece) override;
  rt::Task<FilterVerdict> EndContent() override;
  void AbortContent() override;

 private:
  class Stage;

  void ReportVerdict(const FilterQuestion& question, const FilterVerdict& verdict);

  std::vector<std::unique_ptr<SessionFilter>> members_;
  std::array<std::vector<SessionFilter*>, kSmtpPhaseCount> by_phase_;
  std::vector<std::unique_ptr<Stage>> stages_;  // those that want content
  size_t ended_ = 0;                            // of the stages, in the message under way
  uint32_t phases_ = 0;
  uint32_t events_ = 0;
};

// FilterResponseText is a verdict as kFilterResponse tells it: "proceed", "junk", "reject|550 no",
// "rewrite|name".
std::string FilterResponseText(const FilterVerdict& verdict);

}  // namespace postern::service
