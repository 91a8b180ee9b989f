#include "lib/core/mailbox/mailbox.h"

namespace postern::mailbox {

StatusOr<AppendResult> Append(MailStore& store, const std::string& name, std::string_view content,
                              const AppendOptions& options) {
  StatusOr<std::unique_ptr<Appender>> appender = store.StartAppend(name);
  if (!appender.ok()) return appender.status();
  POSTERN_RETURN_IF_ERROR((*appender)->StartMessage(options));
  POSTERN_RETURN_IF_ERROR((*appender)->Write(content));
  return (*appender)->Commit();
}

}  // namespace postern::mailbox
