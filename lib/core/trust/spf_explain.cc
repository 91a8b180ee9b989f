#include "lib/core/trust/spf_explain.h"

#include "lib/core/base/strings.h"

namespace postern::trust {
namespace {

// Way tells how the first domain came to the decisive record: " (to which example.org redirects)".
std::string Way(const std::vector<SpfStep>& steps, size_t decisive) {
  if (decisive == 0) return "";
  return StrCat(", to which ", Escape(steps[decisive - 1].domain), " redirects");
}

}  // namespace

const char* SpfResultName(SpfResult result) {
  switch (result) {
    case SpfResult::kNone: return "none";
    case SpfResult::kNeutral: return "neutral";
    case SpfResult::kPass: return "pass";
    case SpfResult::kFail: return "fail";
    case SpfResult::kSoftFail: return "softfail";
    case SpfResult::kTempError: return "temperror";
    case SpfResult::kPermError: return "permerror";
  }
  return "none";
}

const char* SpfIdentityName(SpfIdentity identity) {
  return identity == SpfIdentity::kHelo ? "helo" : "mailfrom";
}

std::string ExplainSpf(const Spf& spf, std::string_view problem, const IpAddress& client) {
  const std::vector<SpfStep>& steps = spf.steps;
  std::string said = StrCat("SPF ", SpfResultName(spf.result), ": ");
  switch (spf.result) {
    case SpfResult::kNone: return StrCat(said, problem);
    case SpfResult::kTempError:
    case SpfResult::kPermError: {
      said += problem;
      // By which terms of which records we got there.
      for (size_t i = steps.size(); i-- > 0;)
        if (!steps[i].term.empty())
          StrAppend(said, i + 1 == steps.size() ? ", at " : ", by ", Escape(steps[i].term, 80),
                    " of ", Escape(steps[i].domain));
      return said;
    }
    default: break;
  }
  // The directive that decided is in the first record that is not left by redirect.
  size_t decisive = 0;
  while (decisive + 1 < steps.size() && StartsWithIgnoreCase(steps[decisive].term, "redirect="))
    ++decisive;
  const SpfStep& step = steps[decisive];
  const std::string whose = StrCat(Escape(step.domain), "'s record", Way(steps, decisive));
  const std::string& reason = spf.reason;
  StrAppend(said, client.ToString(), " matches ");
  if (reason == "no_match")
    return StrCat(said, "no mechanism of ", whose, decisive > 0 ? ", and which" : ", which",
                  " does not say what to do then");
  if (reason == "matched_all" && spf.result != SpfResult::kPass)
    return StrCat(said, "no mechanism of ", whose, decisive > 0 ? ", and which" : ", which",
                  " ends in ", Escape(step.term));
  if (reason == "matched_all")
    return StrCat("SPF pass: ", whose, " lets every host send (", Escape(step.term), ")");
  StrAppend(said, Escape(step.term, 80), " of ", whose);
  for (size_t i = decisive + 1; i < steps.size(); ++i)
    if (!steps[i].term.empty() && !StartsWithIgnoreCase(steps[i].term, "redirect="))
      StrAppend(said, ", through ", Escape(steps[i].term, 80), " of ", Escape(steps[i].domain),
                "'s");
  return said;
}

std::string WhyNoSpfDomain(std::string_view domain, bool from_helo) {
  const char* const whose = from_helo ? "the client's HELO name" : "the sender's domain";
  if (domain.empty())
    return from_helo ? "the client gave no HELO name" : "the sender has no domain";
  const std::string named = StrCat(whose, " \"", Escape(domain, 80), "\" ");
  if (domain.front() == '[') return named + "is an address, not a name";
  if (domain.find('.') == std::string_view::npos) return named + "has only one label";
  return named + "cannot be a name in the DNS";
}

}  // namespace postern::trust
