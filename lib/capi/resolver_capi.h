// postern_resolver: one interface over a zone, the network and a callback, for every check.
#pragma once

#include "postern/dns.h"
#include <utility>
#include <vector>

#include "lib/capi/error_capi.h"
#include "lib/core/dns/inquiry.h"

struct postern_resolver {
  virtual ~postern_resolver() = default;

  // Begin is called before the first question of a check: its time starts.
  virtual void Begin() {}
  // Ask answers `questions` in their order, and blocks meanwhile. Only a callback of the caller's
  // fails: then it gives its status.
  virtual postern_status Ask(const std::vector<postern::dns::Question>& questions,
                             std::vector<postern::dns::Answer>* answers) = 0;
};

namespace postern::capi {

// RunInquiry drives `inquiry` to its end with the answers of `resolver` and sets `*out`; or fails
// with POSTERN_ERR_CALLBACK.
template <typename T>
postern_status RunInquiry(postern_resolver* resolver, dns::Inquiry<T> inquiry, T* out,
                          postern_error** out_error) {
  resolver->Begin();
  while (!inquiry.questions().empty()) {
    std::vector<dns::Answer> answers;
    const postern_status asked = resolver->Ask(inquiry.questions(), &answers);
    if (asked != POSTERN_OK) {
      const postern_status failed =
          Fail(out_error, POSTERN_ERR_CALLBACK, "callback", "on_query failed");
      if (out_error != nullptr) (*out_error)->callback_status = asked;
      return failed;
    }
    inquiry.Resume(std::move(answers));
  }
  *out = inquiry.Take();
  return POSTERN_OK;
}

}  // namespace postern::capi
