// Whom the helper's children may become.
#pragma once

#include <cstdint>
#include <set>
#include <utility>

#include "lib/rt/helper.h"

namespace postern::rt {

// NamedPairs are the pairs of user and group that the operator's userbases named at the start.
using NamedPairs = std::set<std::pair<uint32_t, uint32_t>>;

// CheckPair tells whether the user who.uid may be taken together with the group who.gid, and fills
// `*groups` with the groups to take on. An account of the machine has its own groups and is in no
// other, unless the pair is a named one. A pair whose user the machine does not know is one of a
// userbase: beyond those that were named, neither may be below 1000 (the system's own), and the
// group must be nobody's. Nobody is root, or in root's group. kPermissionDenied says which.
Status CheckPair(const Credentials& who, const NamedPairs& named, std::vector<uint32_t>* groups);

// BecomeUser makes this process `who` for good, where CheckPair or `grant` lets it.
Status BecomeUser(const Credentials& who, const HelperGrant& grant, const NamedPairs& named);

}  // namespace postern::rt
