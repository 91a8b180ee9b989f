// AskResolver: an inquiry (core/dns/inquiry.h) gets its answers from a resolver.
#pragma once

#include <utility>
#include <vector>

#include "lib/core/dns/inquiry.h"
#include "lib/rt/task.h"
#include "lib/service/resolve/resolver.h"

namespace postern::resolve {

// AskResolver drives `inquiry` to its end on `loop`. Questions that stand together are asked one
// after the other. Past `deadline` each question is answered kTimeout at once, so it ends, with
// what the inquiry makes of that. `resolver` outlives the task.
template <typename T>
rt::Task<T> AskResolver(Resolver& resolver, rt::Executor& loop, dns::Inquiry<T> inquiry,
                        Instant deadline) {
  while (!inquiry.questions().empty()) {
    std::vector<dns::Answer> answers;
    const std::vector<dns::Question> questions = inquiry.questions();
    for (const dns::Question& question : questions) {
      dns::Answer answer = co_await resolver.Resolve(loop, question.name, question.type, deadline);
      answers.push_back(std::move(answer));
    }
    inquiry.Resume(std::move(answers));
  }
  co_return inquiry.Take();
}

}  // namespace postern::resolve
