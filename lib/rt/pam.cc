#include "lib/rt/pam.h"

#include <vector>

#include "lib/core/base/strings.h"
#include "lib/rt/helper.h"

namespace postern::rt {
namespace {

constexpr std::string_view kYes = "yes";
constexpr std::string_view kNo = "no";
constexpr size_t kQuestionFields = 6;
constexpr size_t kAnswerFields = 4;

}  // namespace

std::string EncodePamQuestion(const PamQuestion& question) {
  return EncodeFields({question.service.name, question.service.folder, question.user,
                       std::string(question.password.has_value() ? kYes : kNo),
                       question.password.value_or(""), question.remote});
}

std::optional<PamQuestion> DecodePamQuestion(std::string_view octets) {
  std::optional<std::vector<std::string>> fields = DecodeFields(octets, kQuestionFields);
  if (!fields || fields->size() != kQuestionFields) return std::nullopt;
  PamQuestion question;
  question.service = {std::move((*fields)[0]), std::move((*fields)[1])};
  question.user = std::move((*fields)[2]);
  if ((*fields)[3] == kYes) question.password = std::move((*fields)[4]);
  question.remote = std::move((*fields)[5]);
  return question;
}

std::string EncodePamAnswer(const StatusOr<PamAnswer>& answer) {
  std::vector<std::string> fields;
  AppendStatus(answer.status(), &fields);
  if (answer.ok()) {
    fields.emplace_back(answer->accepted ? kYes : kNo);
    fields.push_back(answer->reason);
  }
  return EncodeFields(fields);
}

StatusOr<PamAnswer> DecodePamAnswer(std::string_view octets) {
  std::optional<std::vector<std::string>> fields = DecodeFields(octets, kAnswerFields);
  if (!fields) return Unavailable("the helper's answer is not whole");
  POSTERN_RETURN_IF_ERROR(StatusOfFields(*fields, 0));
  if (fields->size() != kAnswerFields) return Unavailable("the helper's answer is not whole");
  return PamAnswer{(*fields)[2] == kYes, std::move((*fields)[3])};
}

}  // namespace postern::rt
