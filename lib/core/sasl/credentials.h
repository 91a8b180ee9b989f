// Credentials: what a client gave to prove who it is. They are wiped when they die.
#pragma once

#include <string>
#include <string_view>

namespace postern::sasl {

// WipeString overwrites the octets of `s` in a way the compiler may not leave out, then empties it.
void WipeString(std::string& s);

// Credentials holds one set of names and password, as octets (UTF-8 by the standards, not checked
// here). Moving leaves the source empty; destruction and assignment wipe what was held.
struct Credentials {
  std::string authorization_id;   // whom to act as; empty: the same as authentication_id
  std::string authentication_id;  // whose password this is
  std::string password;

  Credentials() = default;
  Credentials(Credentials&& other) noexcept;
  Credentials& operator=(Credentials&& other) noexcept;
  Credentials(const Credentials&) = delete;
  Credentials& operator=(const Credentials&) = delete;
  ~Credentials() { Wipe(); }

  void Wipe();
};

}  // namespace postern::sasl
