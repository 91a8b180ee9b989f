// Rules and their failures in words.
#pragma once

#include <string>
#include <string_view>

#include "lib/core/policy/ruleset.h"

namespace postern::policy {

// RuleText gives `rule` as a line of a configuration, with what it leaves out left out:
// `match from any for domain <ours> action "box"`. Tables in place are shown up to a few entries.
std::string RuleText(const Config& config, const Rule& rule);

// ActionText gives the action likewise: `action "box" maildir "~/Maildir" junk alias <aliases>`.
std::string ActionText(const Config& config, const Action& action);

// WhyNot says in a sentence why condition `failed` (as Ruleset::FirstFailure names it) of `rule`
// does not hold for `context`: "203.0.113.9 is not this machine".
std::string WhyNot(const Ruleset& ruleset, const Rule& rule, std::string_view failed,
                   const EnvelopeContext& context);

}  // namespace postern::policy
