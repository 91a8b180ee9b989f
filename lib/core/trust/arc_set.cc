#include "lib/core/trust/arc_set.h"

#include <algorithm>

#include "lib/core/base/strings.h"
#include "lib/core/trust/signature_check.h"
#include "lib/core/trust/tag_list.h"

namespace postern::trust {
namespace {

constexpr size_t kAbsent = SIZE_MAX;

struct Slots {
  size_t results = kAbsent, message = kAbsent, seal = kAbsent;
};

ArcChain Broken(ArcChain chain, const char* fault, std::string why) {
  chain.sets.clear();
  chain.fault = fault;
  chain.explanation = std::move(why);
  return chain;
}

}  // namespace

uint32_t ReadArcResults(std::string_view value, std::string_view* results) {
  // §4.1.1: instance [CFWS] ";" authres-payload, and i= comes first.
  const size_t semicolon = value.find(';');
  if (semicolon == std::string_view::npos) return 0;
  const std::string_view front = TrimFws(value.substr(0, semicolon));
  const size_t equals = front.find('=');
  if (equals == std::string_view::npos || TrimFws(front.substr(0, equals)) != "i") return 0;
  const auto instance = ParseUint(TrimFws(front.substr(equals + 1)), kMaxArcSets);
  *results = TrimFws(value.substr(semicolon + 1));
  return static_cast<uint32_t>(instance.value_or(0));
}

ArcChain ReadArcChain(const HeaderFields& header, const SignatureLimits& limits) {
  ArcChain chain;
  const HeaderFields::Range results = header.Indexes("arc-authentication-results");
  const HeaderFields::Range messages = header.Indexes("arc-message-signature");
  const HeaderFields::Range seals = header.Indexes("arc-seal");
  chain.field_count = results.size() + messages.size() + seals.size();
  if (chain.field_count == 0) return chain;
  // §5.2 step 1: more sets than the limit are a failure.
  if (std::max({results.size(), messages.size(), seals.size()}) > kMaxArcSets)
    return Broken(std::move(chain), "structure", "there are more than 50 ARC sets");
  std::vector<Slots> slots(kMaxArcSets + 1);
  std::vector<ArcSet> sets(kMaxArcSets + 1);
  for (const uint32_t index : results) {
    std::string_view text;
    const uint32_t instance = ReadArcResults(header.fields()[index].value, &text);
    if (instance == 0) {
      return Broken(std::move(chain), "signature_syntax",
                    "an ARC-Authentication-Results does not begin with i= and a number from 1 to "
                    "50");
    }
    chain.newest_instance = std::max(chain.newest_instance, instance);
    if (slots[instance].results != kAbsent) {
      return Broken(std::move(chain), "structure",
                    StrCat("there are two ARC-Authentication-Results with i=", instance));
    }
    slots[instance].results = index;
    sets[instance].results = text;
  }
  for (const bool seal : {false, true}) {
    const char* name = seal ? "ARC-Seal" : "ARC-Message-Signature";
    for (const uint32_t index : seal ? seals : messages) {
      DkimSignature signature;
      const auto fault =
          ParseSignature(seal ? SignatureField::kArcSeal : SignatureField::kArcMessage,
                         header.fields()[index].value, &signature, limits);
      if (fault) {
        return Broken(std::move(chain), fault->reason,
                      StrCat("an ", name,
                             signature.instance != 0 ? StrCat(" (i=", signature.instance, ")")
                                                     : std::string(),
                             " cannot be used: ", fault->explanation));
      }
      chain.newest_instance = std::max(chain.newest_instance, signature.instance);
      size_t& slot = seal ? slots[signature.instance].seal : slots[signature.instance].message;
      if (slot != kAbsent) {
        return Broken(std::move(chain), "structure",
                      StrCat("there are two ", name, " with i=", signature.instance));
      }
      slot = index;
      ArcSet& set = sets[signature.instance];
      (seal ? set.seal : set.message) = std::move(signature);
    }
  }
  // §5.2 step 3: instances from 1 without a gap, each set whole.
  const uint32_t newest = chain.newest_instance;
  for (uint32_t i = 1; i <= newest; ++i) {
    if (slots[i].results == kAbsent || slots[i].message == kAbsent || slots[i].seal == kAbsent) {
      const char* missing = slots[i].results == kAbsent   ? "ARC-Authentication-Results"
                            : slots[i].message == kAbsent ? "ARC-Message-Signature"
                                                          : "ARC-Seal";
      return Broken(std::move(chain), "structure",
                    StrCat("the ARC set i=", i, " has no ", missing));
    }
    sets[i].instance = i;
    sets[i].results_index = slots[i].results;
    sets[i].message_index = slots[i].message;
    sets[i].seal_index = slots[i].seal;
  }
  // §5.2 step 2: the last handler saw that the chain was broken. Told before what is wrong with
  // cv= of the others, as the steps are numbered.
  if (sets[newest].seal.chain_status == "fail") {
    return Broken(std::move(chain), "sealed_as_failed",
                  StrCat("the newest ARC-Seal (i=", newest, ") says cv=fail"));
  }
  for (uint32_t i = 1; i <= newest; ++i) {
    const char* expected = i == 1 ? "none" : "pass";
    if (sets[i].seal.chain_status != expected) {
      return Broken(std::move(chain), "chain_status",
                    StrCat("the ARC-Seal i=", i, " says cv=", sets[i].seal.chain_status,
                           ", and only ", expected, " can stand there"));
    }
  }
  sets.resize(newest + 1);
  sets.erase(sets.begin());
  chain.sets = std::move(sets);
  return chain;
}

void AppendSealedSet(const HeaderFields& header, const ArcSet& set, bool last, std::string& out) {
  AppendCanonicalField(Canonicalization::kRelaxed, header.fields()[set.results_index].raw, out);
  out += "\r\n";
  AppendCanonicalField(Canonicalization::kRelaxed, header.fields()[set.message_index].raw, out);
  out += "\r\n";
  const RawField& seal = header.fields()[set.seal_index];
  if (last) {
    AppendSignatureField(Canonicalization::kRelaxed, seal, set.seal.b_begin, set.seal.b_end, out);
  } else {
    AppendCanonicalField(Canonicalization::kRelaxed, seal.raw, out);
    out += "\r\n";
  }
}

}  // namespace postern::trust
