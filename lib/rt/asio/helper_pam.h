// The helper's side of PAM (lib/rt/pam.h): the services that may be asked, and the child that asks
// one.
#pragma once

#include <set>
#include <string_view>

#include "lib/rt/pam.h"

namespace postern::rt {

// NamedPamServices are those that the server named while it still had its own privileges. A folder
// of services that anybody could name would make him root: what a service's file says is loaded.
using NamedPamServices = std::set<PamService>;

// PamServiceText is the request that names one, AddPamService takes it, of kMaxHelperPamServices.
std::string PamServiceText(const PamService& service);
void AddPamService(std::string_view request, NamedPamServices* services);

// DoPam is what a child does with the question in `request`: it answers on `reply` and ends. It
// stays who the helper is, in a session of its own, by which its programs are ended with it.
[[noreturn]] void DoPam(const NamedPamServices& services, std::string_view request, int reply);

}  // namespace postern::rt
