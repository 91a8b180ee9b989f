#include "lib/server/submission_words.h"

#include "lib/core/base/strings.h"

namespace postern::server {

Status ReadSubmission(const std::vector<std::string>& words, Submission* out) {
  size_t i = 0;
  for (; i < words.size() && words[i] != "--"; i += 2) {
    if (i + 1 == words.size()) return InvalidArgument(StrCat(Escape(words[i]), " wants a value"));
    const std::string& value = words[i + 1];
    if (words[i] == "-f") {
      out->reverse_path = value;
    } else if (words[i] == "-l") {
      out->login = value;
    } else if (words[i] == "-V") {
      out->envelope_id = value;
    } else if (words[i] == "-R") {
      if (EqualsIgnoreCase(value, "full")) {
        out->dsn_return = mail::DsnReturn::kFull;
      } else if (EqualsIgnoreCase(value, "hdrs")) {
        out->dsn_return = mail::DsnReturn::kHeaders;
      } else {
        return InvalidArgument("-R is full or hdrs");
      }
    } else if (words[i] == "-N") {
      for (const std::string_view each : Split(value, ',')) {
        if (EqualsIgnoreCase(each, "never"))
          out->dsn_notify |= mail::kNotifyNever;
        else if (EqualsIgnoreCase(each, "success"))
          out->dsn_notify |= mail::kNotifySuccess;
        else if (EqualsIgnoreCase(each, "failure"))
          out->dsn_notify |= mail::kNotifyFailure;
        else if (EqualsIgnoreCase(each, "delay"))
          out->dsn_notify |= mail::kNotifyDelay;
        else
          return InvalidArgument("-N is never, or some of success, failure and delay");
      }
      if ((out->dsn_notify & mail::kNotifyNever) != 0 && out->dsn_notify != mail::kNotifyNever)
        return InvalidArgument("-N never stands alone");
    } else {
      return InvalidArgument(StrCat("unknown option ", Escape(words[i])));
    }
  }
  for (++i; i < words.size(); ++i) out->recipients.push_back(words[i]);
  if (out->recipients.empty()) return InvalidArgument("a message needs a recipient");
  return OkStatus();
}

}  // namespace postern::server
