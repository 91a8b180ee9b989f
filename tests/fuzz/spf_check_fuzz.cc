// A whole SPF check: the first line of the input is the sender, the second the HELO name, the rest
// a zone that answers.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "lib/core/base/check.h"
#include "lib/core/trust/iprev.h"
#include "lib/core/trust/received_spf.h"
#include "lib/core/trust/spf_check.h"

namespace {

std::string_view TakeLine(std::string_view* text) {
  const size_t end = text->find('\n');
  const std::string_view line = text->substr(0, end);
  text->remove_prefix(end == std::string_view::npos ? text->size() : end + 1);
  return line;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace postern;
  using namespace postern::trust;
  std::string_view text(reinterpret_cast<const char*>(data), size);
  SpfQuery query;
  query.sender = TakeLine(&text);
  query.helo = TakeLine(&text);
  query.receiver = "mx.example.net";
  const StatusOr<dns::ZoneData> zone = dns::ZoneData::Parse(text);
  if (!zone.ok()) return 0;
  for (const char* client : {"192.0.2.1", "2001:db8::1"}) {
    query.client = *IpAddress::Parse(client);
    for (const SpfIdentity identity : {SpfIdentity::kMailFrom, SpfIdentity::kHelo}) {
      query.identity = identity;
      const SpfLimits limits;
      dns::Inquiry<Spf> inquiry = CheckSpf(query, limits);
      while (!inquiry.questions().empty()) {
        std::vector<dns::Answer> answers;
        for (const dns::Question& question : inquiry.questions())
          answers.push_back(zone->Query(question.name, question.type));
        inquiry.Resume(std::move(answers));
      }
      // What a record may cost: a TXT each for the first and each of ten terms, ten names of each
      // mx, ptr once a term, %{p} and exp once.
      POSTERN_CHECK(inquiry.asked() <= 1 + limits.max_lookups * (2 + limits.max_mx_names) +
                                           2 * (1 + limits.max_ptr_names) + 1);
      const Spf spf = inquiry.Take();
      POSTERN_CHECK(spf.lookups <= limits.max_lookups);
      POSTERN_CHECK(!spf.reason.empty() && spf.explanation.rfind("SPF ", 0) == 0);
      POSTERN_CHECK(spf.published.size() <= limits.max_explanation_bytes);
      // The field is of one piece: each CRLF but the last is a fold, and no other line end is in
      // it.
      const std::string field = ReceivedSpf(spf, query);
      for (size_t i = 0; i + 2 < field.size(); ++i) {
        if (field[i] == '\r') POSTERN_CHECK(field[i + 1] == '\n' && field[i + 2] == ' ');
        if (field[i] == '\n') POSTERN_CHECK(i > 0 && field[i - 1] == '\r');
      }
    }
    dns::RunOnZone(*zone, CheckIprev(query.client));
  }
  return 0;
}
