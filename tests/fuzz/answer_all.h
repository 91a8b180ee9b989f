// One answer for every question that an inquiry has.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "lib/core/dns/inquiry.h"

namespace postern {

// AnswerAll answers every question with `text` as the record.
template <typename T>
T AnswerAll(dns::Inquiry<T> inquiry, const std::string& text) {
  while (!inquiry.questions().empty()) {
    std::vector<dns::Answer> answers;
    for (const dns::Question& question : inquiry.questions()) {
      dns::Answer answer;
      answer.kind = dns::Answer::Kind::kOk;
      answer.records.push_back(
          dns::Record{question.name, dns::Type::kTxt, 1, dns::TxtData{{text}}});
      answers.push_back(std::move(answer));
    }
    inquiry.Resume(std::move(answers));
  }
  return inquiry.Take();
}

}  // namespace postern
