// A configuration in the grammar of before OpenSMTPD 6.4 (`accept from any for domain x deliver to
// mbox`) in today's words.
//
// Lines that mean the same today stay as they are, comments included. A rule becomes an `action`
// and a `match`; the action stands above its first rule and serves all rules that deliver alike.
// Two things changed more than their words and are said in full: `from local` took clients that
// had logged in, so such a rule becomes two where a listener has `auth`; and the protocols of
// `relay via` were named otherwise (`tls://` is `smtp+tls://`, `smtp://` was without TLS). What
// they and `tls` demanded was verified only where the rule said `verify`: others get `tls
// no-verify`.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "lib/core/policy/diagnostic.h"

namespace postern::policy {

struct UpgradeLimits {
  size_t max_bytes = 16 << 20;  // of the file, as ParseOptions::max_file_bytes
  size_t max_words = 100'000;   // of one line with its continuations
};

struct Upgrade {
  // text is the whole file in today's words. What cannot be said in them stays as a comment.
  std::string text;
  // diff is a unified diff from the file to `text`, with three lines of context; empty when nothing
  // changes: the file is in today's grammar.
  std::string diff;
  // diagnostics are errors for what cannot be said today, and warnings for what changes its
  // meaning a little, each at the old file's line.
  Diagnostics diagnostics;
};

// UpgradeConfig of its own result changes nothing: a statement that could not be read again as it
// was meant stays as it is, with an error. It reads `text` in linear time. `file_name` is for the
// diff and the diagnostics; included files are not read. It never fails: what it does not know
// stays as it is.
Upgrade UpgradeConfig(const std::string& file_name, std::string_view text,
                      const UpgradeLimits& limits = {});

}  // namespace postern::policy
