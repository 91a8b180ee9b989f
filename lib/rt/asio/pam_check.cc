#include "lib/rt/asio/pam_check.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <pwd.h>
#include <vector>

#include "lib/core/base/strings.h"

namespace postern::rt {
namespace {

constexpr char kLibrary[] = "libpam.so.0";
constexpr size_t kLookupBytes = 64 << 10;
constexpr size_t kMaxPasswordBytes = 511;  // libpam's PAM_MAX_RESP_SIZE, with its end
constexpr size_t kMaxReasonBytes = 400;
// A module may ask anew for ever; one that asks as often as this is not talking with a person.
constexpr int kMaxPrompts = 32;

// What of Linux-PAM's binary interface is used here, as its headers (security/pam_appl.h, stable
// since 1996) have it: so that neither to build nor to run Postern takes libpam.
struct Handle;
struct Message {
  int style;
  const char* text;
};
struct Response {
  char* text;  // of malloc: the module frees it
  int unused;
};
struct Conversation {
  int (*talk)(int count, const Message** messages, Response** responses, void* data);
  void* data;
};
enum Style { kPromptHidden = 1, kPromptShown = 2, kErrorText = 3, kInfoText = 4 };
enum Item { kUserItem = 2, kRemoteItem = 4, kFailDelayItem = 10 };
constexpr int kNoEmptyPasswords = 1;  // PAM_DISALLOW_NULL_AUTHTOK
enum Code {
  kSuccess = 0,
  kOpenErr = 1,
  kSymbolErr = 2,
  kBufferErr = 5,
  kPermDenied = 6,
  kAuthErr = 7,
  kAuthInfoUnavailable = 9,
  kUserUnknown = 10,
  kMaxTries = 11,
  kNewPasswordRequired = 12,
  kAccountExpired = 13,
  kCredentialsExpired = 16,
  kConversationErr = 19,
  kAbort = 26,
  kPasswordExpired = 27,
  kModuleUnknown = 28,
};

// MeansTheUser tells whether a result is about who logs in, and not about the machine.
bool MeansTheUser(int code) {
  switch (code) {
    case kPermDenied:
    case kAuthErr:
    case kUserUnknown:
    case kMaxTries:
    case kNewPasswordRequired:
    case kAccountExpired:
    case kCredentialsExpired:
    case kPasswordExpired: return true;
    default: return false;
  }
}

// MeansTheMachine tells whether a result is surely about the machine. What remains may be either:
// pam_exec gives PAM_SYSTEM_ERR for each program that says no.
bool MeansTheMachine(int code) {
  switch (code) {
    case kOpenErr:
    case kSymbolErr:
    case kBufferErr:
    case kAuthInfoUnavailable:
    case kConversationErr:
    case kAbort:
    case kModuleUnknown: return true;
    default: return false;
  }
}

struct Library {
  int (*start)(const char*, const char*, const Conversation*, Handle**) = nullptr;
  int (*start_in)(const char*, const char*, const Conversation*, const char*, Handle**) = nullptr;
  int (*end)(Handle*, int) = nullptr;
  int (*set_item)(Handle*, int, const void*) = nullptr;
  int (*get_item)(const Handle*, int, const void**) = nullptr;
  int (*authenticate)(Handle*, int) = nullptr;
  int (*check_account)(Handle*, int) = nullptr;
  const char* (*text_of)(Handle*, int) = nullptr;
};

template <typename Function>
bool Take(void* library, const char* name, Function* into) {
  *into = reinterpret_cast<Function>(::dlsym(library, name));
  return *into != nullptr;
}

StatusOr<Library> Load() {
  void* const library = ::dlopen(kLibrary, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* const why = ::dlerror();
    return FailedPrecondition(
        StrCat("PAM is not on this machine: ", why == nullptr ? kLibrary : why));
  }
  Library functions;
  (void)Take(library, "pam_start_confdir", &functions.start_in);  // since 1.4
  const bool whole = Take(library, "pam_start", &functions.start) &&
                     Take(library, "pam_end", &functions.end) &&
                     Take(library, "pam_set_item", &functions.set_item) &&
                     Take(library, "pam_get_item", &functions.get_item) &&
                     Take(library, "pam_authenticate", &functions.authenticate) &&
                     Take(library, "pam_acct_mgmt", &functions.check_account) &&
                     Take(library, "pam_strerror", &functions.text_of);
  if (!whole) return FailedPrecondition(StrCat(kLibrary, " lacks functions of PAM"));
  return functions;
}

// Talk is what the modules' conversation with the user is made from.
struct Talk {
  const PamQuestion* question = nullptr;
  int prompts = 0;
  std::string said;  // what they had to tell him
};

int Converse(int count, const Message** messages, Response** responses, void* data) {
  auto* const talk = static_cast<Talk*>(data);
  if (count <= 0 || count > kMaxPrompts) return kConversationErr;
  auto* const given =
      static_cast<Response*>(::calloc(static_cast<size_t>(count), sizeof(Response)));
  if (given == nullptr) return kConversationErr;
  bool ok = true;
  for (int i = 0; i < count && ok; ++i) {
    const Message& message = *messages[i];
    const std::string* answer = nullptr;
    switch (message.style) {
      case kPromptHidden:
        if (talk->question->password.has_value()) answer = &*talk->question->password;
        ok = answer != nullptr && ++talk->prompts <= kMaxPrompts;
        break;
      case kPromptShown:
        answer = &talk->question->user;
        ok = ++talk->prompts <= kMaxPrompts;
        break;
      case kErrorText:
      case kInfoText:
        if (message.text != nullptr && talk->said.size() < kMaxReasonBytes)
          StrAppend(talk->said, talk->said.empty() ? "" : "; ", message.text);
        break;
      default: ok = false;
    }
    if (ok && answer != nullptr) {
      given[i].text = ::strdup(answer->c_str());
      ok = given[i].text != nullptr;
    }
  }
  if (ok) {
    *responses = given;
    return kSuccess;
  }
  for (int i = 0; i < count; ++i) {
    if (given[i].text == nullptr) continue;
    ::explicit_bzero(given[i].text, ::strlen(given[i].text));
    ::free(given[i].text);
  }
  ::free(given);
  return kConversationErr;
}

// NoDelay stands in for the sleep after a failure.
void NoDelay(int, unsigned, void*) {}

// IsRoot tells whether `user` is uid 0 by any name; what cannot be looked up is not.
bool IsRoot(const std::string& user, bool* known) {
  std::vector<char> buffer(kLookupBytes);
  passwd entry{};
  passwd* found = nullptr;
  (void)::getpwnam_r(user.c_str(), &entry, buffer.data(), buffer.size(), &found);
  *known = found != nullptr;
  return found != nullptr && found->pw_uid == 0;
}

// Ask is the dialogue with PAM behind a start that went well.
StatusOr<PamAnswer> Ask(const Library& pam, Handle* handle, const PamQuestion& question,
                        const Talk& talk) {
  const auto outcome = [&](std::string_view step, int code) -> StatusOr<PamAnswer> {
    const char* const text = pam.text_of(handle, code);
    std::string why = StrCat(step, ": ", text == nullptr ? "" : text, " (", code, ")");
    if (!talk.said.empty()) StrAppend(why, "; it said: ", talk.said);
    if (why.size() > kMaxReasonBytes) why.resize(kMaxReasonBytes);
    if (MeansTheUser(code)) return PamAnswer{false, std::move(why)};
    return Error(MeansTheMachine(code) ? StatusCode::kUnavailable : StatusCode::kAborted, why);
  };
  int code = pam.set_item(handle, kFailDelayItem, reinterpret_cast<const void*>(&NoDelay));
  if (code == kSuccess && !question.remote.empty())
    code = pam.set_item(handle, kRemoteItem, question.remote.c_str());
  if (code != kSuccess) return outcome("pam_set_item", code);
  if (question.password.has_value()) {
    code = pam.authenticate(handle, kNoEmptyPasswords);
    if (code != kSuccess) return outcome("pam_authenticate", code);
  }
  code = pam.check_account(handle, kNoEmptyPasswords);
  if (code != kSuccess) return outcome("pam_acct_mgmt", code);
  const void* name = nullptr;
  code = pam.get_item(handle, kUserItem, &name);
  if (code != kSuccess) return outcome("pam_get_item", code);
  if (name == nullptr || static_cast<const char*>(name) != question.user)
    return PamAnswer{false, "a module made another user of this one"};
  return PamAnswer{true, ""};
}

}  // namespace

StatusOr<PamAnswer> AskPam(const PamQuestion& question) {
  const StatusOr<Library> pam = Load();
  if (!pam.ok()) return pam.status();
  if (!question.service.folder.empty() && pam->start_in == nullptr)
    return FailedPrecondition(
        StrCat("this machine's ", kLibrary, " is older than 1.4 and takes no folder of services"));
  const bool nobody = question.user.empty() || question.user.find('\0') != std::string::npos;
  if (const std::optional<std::string>& password = question.password;
      password && (password->empty() || password->size() > kMaxPasswordBytes ||
                   password->find('\0') != std::string::npos))
    return PamAnswer{false, "the password is empty, has NUL or is too long"};
  bool known = false;
  if (!nobody && IsRoot(question.user, &known))
    return PamAnswer{false, "root does not log in by mail"};
  if (!nobody && !question.password.has_value() && !known)
    return PamAnswer{false, "no account of the system's"};

  Talk talk;
  talk.question = &question;
  const Conversation conversation{Converse, &talk};
  Handle* handle = nullptr;
  const PamService& service = question.service;
  const char* const user = nobody ? nullptr : question.user.c_str();
  const int started = service.folder.empty()
                          ? pam->start(service.name.c_str(), user, &conversation, &handle)
                          : pam->start_in(service.name.c_str(), user, &conversation,
                                          service.folder.c_str(), &handle);
  if (started != kSuccess || handle == nullptr) {
    return FailedPrecondition(StrCat("pam_start: the service ", service.name,
                                     service.folder.empty() ? "" : " in ", service.folder,
                                     " cannot be read (", started, ")"));
  }
  StatusOr<PamAnswer> answer = PamAnswer{false, "no user"};
  if (!nobody) answer = Ask(*pam, handle, question, talk);
  (void)pam->end(handle, answer.ok() && answer->accepted ? kSuccess : kAuthErr);
  return answer;
}

}  // namespace postern::rt
