// All checks of one message, in C++. Header-only over postern/auth.h; C++17; no exceptions of its
// own.
#ifndef POSTERN_AUTH_HPP
#define POSTERN_AUTH_HPP

#include "auth.h"
#include "dmarc.hpp"
#include "result.hpp"
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace postern {

// Connection is how a message came; all of it may be empty.
struct Connection {
  std::string client_address;
  std::string helo;
  std::string mail_from;
  std::string authserv_id;
  std::string auth_user;
  long long now_unix_s = 0;  // 0: the system's clock
  bool lf_lines = false;
  int utf8 = POSTERN_AUTH_UTF8_AS_MESSAGE;  // how Authentication-Results is written
};

// Authentication is what was found out about one message.
class Authentication {
 public:
  // Check asks `resolver`, on this thread.
  static Result<Authentication> Check(postern_resolver* resolver, std::string_view message,
                                      const Connection& connection,
                                      const postern_dmarc_options* dmarc = nullptr) {
    postern_auth_options options = POSTERN_AUTH_OPTIONS_INIT;
    options.client_address = connection.client_address.c_str();
    options.helo = connection.helo.c_str();
    options.mail_from = connection.mail_from.c_str();
    options.authserv_id = connection.authserv_id.c_str();
    options.auth_user = connection.auth_user.c_str();
    options.now_unix_s = connection.now_unix_s;
    options.lf_lines = connection.lf_lines ? 1 : 0;
    options.dmarc = dmarc;
    options.utf8 = connection.utf8;
    postern_auth* auth = nullptr;
    postern_error* error = nullptr;
    const postern_status status =
        postern_auth_check(&auth, resolver, message.data(), message.size(), &options, &error);
    if (status != POSTERN_OK) return Error::Take(status, error);
    return Authentication(auth);
  }
  explicit Authentication(postern_auth* auth) : auth_(auth) {}

  DmarcCode dmarc() const { return static_cast<DmarcCode>(postern_auth_dmarc(auth_.get())); }
  DmarcDisposition disposition() const {
    return static_cast<DmarcDisposition>(postern_auth_disposition(auth_.get()));
  }
  // method gives "pass" and the like for "spf", "dkim", "arc", "dmarc", "iprev"; empty when it was
  // not checked. What is lent here lives as long as the object.
  std::string_view method(const char* name) const { return postern_auth_method(auth_.get(), name); }
  // field is Authentication-Results with name and line end.
  std::string_view field() const { return postern_auth_results(auth_.get()); }
  std::vector<std::string_view> explanations() const {
    std::vector<std::string_view> all;
    for (std::size_t i = 0;; ++i) {
      const std::string_view one = postern_auth_explanation(auth_.get(), i);
      if (one.empty()) return all;
      all.push_back(one);
    }
  }
  std::string_view json() const { return postern_auth_json(auth_.get()); }
  // ReportRow is the row of an aggregate report about this message, with which `done` was done.
  Result<DmarcRow> ReportRow(DmarcDisposition done, const std::string& envelope_to = {}) const {
    postern_dmarc_row* row = nullptr;
    postern_error* error = nullptr;
    const postern_status status =
        postern_auth_dmarc_row(&row, auth_.get(), static_cast<int32_t>(done),
                               envelope_to.empty() ? nullptr : envelope_to.c_str(), &error);
    if (status != POSTERN_OK) return Error::Take(status, error);
    return DmarcRow(row);
  }

 private:
  struct Free {
    void operator()(postern_auth* auth) const { postern_auth_free(auth); }
  };
  std::unique_ptr<postern_auth, Free> auth_;
};

// RemoveForgedResults gives `message` without Authentication-Results fields that claim to be of
// `authserv_id`.
inline Result<std::string> RemoveForgedResults(std::string_view message,
                                               const std::string& authserv_id) {
  postern_auth_header* header = nullptr;
  postern_error* error = nullptr;
  const postern_status status = postern_auth_remove_forged(&header, message.data(), message.size(),
                                                           authserv_id.c_str(), &error);
  if (status != POSTERN_OK) return Error::Take(status, error);
  std::string text(internal::View(postern_auth_header_text(header)));
  text.append(message.substr(postern_auth_header_body_offset(header)));
  postern_auth_header_free(header);
  return text;
}

}  // namespace postern

#endif  // POSTERN_AUTH_HPP
