// Bare names in the header of mail that begins its way here ("To: bob") get a domain (RFC 5321
// §6.4, RFC 6409 §8.1): the message may go where they mean somebody else.
#pragma once

#include <string>
#include <string_view>

namespace postern::service {

// A field with more bare names than this stays as it is.
inline constexpr size_t kMaxQualifiedNames = 100;

// TakesQualification tells whether a field called `name` has addresses that are completed: From, To
// and Cc.
bool TakesQualification(std::string_view name);

// QualifyAddresses returns `field` (name, folding and line end included) with "@" and `domain`
// behind each mailbox that is a single word: bare, or in angle brackets. Names, comments, groups
// and whole addresses stay, and so does a field that cannot be read or a line of which would get
// longer than RFC 5322 §2.1.1 allows. Linear time.
std::string QualifyAddresses(std::string_view field, std::string_view domain);

}  // namespace postern::service
