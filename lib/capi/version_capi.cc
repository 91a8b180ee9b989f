#include "postern/version.h"

#define POSTERN_TEXT_OF(x) #x
#define POSTERN_TEXT(x) POSTERN_TEXT_OF(x)

extern "C" {

const char* postern_version(void) {
  return POSTERN_TEXT(POSTERN_VERSION_MAJOR) "." POSTERN_TEXT(
      POSTERN_VERSION_MINOR) "." POSTERN_TEXT(POSTERN_VERSION_PATCH);
}

const char* postern_features(void) {
  return "smtp relay queue maildir mbox imap tls sasl-plain sasl-login sqlite";
}

}  // extern "C"
